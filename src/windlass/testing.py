"""Helpers for the tests of projects that use Windlass: files without a server and a worker, and a storage of their own.

They work in Django's ``TestCase`` and with pytest-django, inside the test's transaction.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import override_settings

from windlass import conf
from windlass.accounts.api import principal_of_user
from windlass.django.signals import send_pending_signals as send_signals
from windlass.events.api import EventType, recording
from windlass.files.api import FileAsset, FileStatus
from windlass.jobs import api as jobs
from windlass.kernel.clock import now
from windlass.kernel.principals import ANONYMOUS
from windlass.processing.api import run_job
from windlass.protocols.intents import Description
from windlass.receiving.local_file import store_local_file
from windlass.storage.registry import forget_stores

__all__ = ["make_file", "make_ready_file", "run_jobs", "send_signals", "temporary_storage"]

_HOLDER = "windlass.testing"


def make_file(
    content: bytes = b"content", name: str = "file.txt", *, user: Any = None, profile: str = "default"
) -> FileAsset:
    """Store a file of this user as an upload does: its status is PENDING, and ``run_jobs`` processes it.

    Without a user its owner is ``anonymous``. Raises the problem with which an upload is refused, such as FileTooLarge.
    """
    principal = ANONYMOUS if user is None else principal_of_user(user)
    assert principal is not None, "this user may not sign in"
    description = Description(filename=name, declared_type=guess_type(name)[0], profile=profile)
    return store_local_file(io.BytesIO(content), len(content), description, principal)


def make_ready_file(
    content: bytes = b"content", name: str = "file.txt", *, user: Any = None, profile: str = "default", **facts: Any
) -> FileAsset:
    """``make_file`` whose file is READY at once, without being processed, in a few milliseconds.

    Its type is guessed from its name; ``facts`` are other columns of the record: ``width=640, page_count=3``.
    """
    # One transaction, so that the job is cancelled before a worker, or an eager call, can run it.
    with recording() as recorder:
        file = make_file(content, name, user=user, profile=profile)
        jobs.cancel_of_file(file.id)
        columns = {"mime_type": file.declared_mime_type or "application/octet-stream"} | facts
        columns |= {"status": FileStatus.READY, "gate_passed": True, "progress": 100}
        FileAsset.objects.filter(pk=file.pk).update(**columns)
        recorder.add(EventType.FILE_READY, owner=file.owner, file_id=file.id, data={"progress": 100})
    file.refresh_from_db()
    return file


def run_jobs() -> int:
    """Run every job that is due in this thread, as a worker does, until none is left; return how many were run.

    The steps run in the sandbox, whose first child takes a second. A job that failed is due again only after a pause.
    """
    run = 0
    while due := list(
        jobs.Job.objects.filter(state=jobs.JobState.QUEUED, due_at__lte=now()).values_list("id", flat=True)
    ):
        for job_id in due:
            run_job(job_id, holder=_HOLDER)
            run += 1
    return run


@contextmanager
def temporary_storage() -> Iterator[Path]:
    """Keep the bytes of files in a directory that is deleted at the end of the block; yields it.

    In a ``TestCase``: ``self.enterContext(temporary_storage())``. Profiles that name another store keep theirs.
    """
    with tempfile.TemporaryDirectory(prefix="windlass-testing-") as name:
        home = Path(name)
        own: dict[str, Any] = {"AUTH_MODE": conf.get().auth_mode, **(getattr(settings, "WINDLASS", None) or {})}
        own |= {"STORAGE_BACKEND": "local", "WINDLASS_HOME": home, "MEDIA_ROOT": home / "media"}
        try:
            with override_settings(WINDLASS=own):
                _use_current_settings()
                yield home
        finally:
            _use_current_settings()


def _use_current_settings() -> None:
    conf.reload()
    forget_stores()
