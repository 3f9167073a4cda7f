"""What dead letters have to do with files: which can be seen, and how a file goes on when its job is retried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from windlass.events.api import Recorder
from windlass.files.api import (
    FileAsset,
    FileStatus,
    IllegalTransition,
    has_type,
    load_file,
    resume_failed_stage,
)
from windlass.jobs import api as jobs
from windlass.jobs.api import DeadLetterFilter, Job, RetryResult

_OF_FILE = ("filename", "owner", "size")


def find_dead_letters(selection: DeadLetterFilter | None = None, *, mime_type: str | None = None) -> QuerySet[Job]:
    """The selected dead letters, the newest first, except those of files in the trash.

    ``mime_type``: only of files of this detected type; ``image/*`` matches all images.
    """
    trashed = FileAsset.objects.filter(trashed_at__isnull=False)
    found = jobs.dead_letters(selection).exclude(file_id__in=trashed.values("id"))
    if mime_type is None:
        return found
    return found.filter(file_id__in=FileAsset.objects.filter(has_type(mime_type)).values("id"))


def dead_letter_documents(letters: Sequence[Job], longest_message: int | None = None) -> list[dict[str, Any]]:
    """Dead letters as ``jobs.dead_letter_document`` has them, each with the ``filename``, ``owner`` and ``size`` of its
    file; null where the file is deleted. One query for all of them."""
    files = FileAsset.objects.filter(id__in={job.file_id for job in letters})
    rows = files.values_list("id", "original_filename", "owner", "size")
    known = {row[0]: dict(zip(_OF_FILE, row[1:], strict=True)) for row in rows}
    nothing = dict.fromkeys(_OF_FILE)
    return [jobs.dead_letter_document(job, longest_message) | known.get(job.file_id, nothing) for job in letters]


def resume_file(recorder: Recorder, job: Job) -> RetryResult:
    """Make the file of a retried job ready to be processed on, from the first step that is not finished.

    A file that has failed is pending again. A ready one, whose backfill failed, stays in service.
    """
    asset = load_file(job.file_id)
    if asset is None:
        return RetryResult.NOT_FOUND
    if asset.run != job.run or asset.blob is None or asset.status not in (FileStatus.FAILED, FileStatus.READY):
        return RetryResult.NOT_DEAD
    try:
        resume_failed_stage(recorder, asset, job.stage, job.dead_step)
    except IllegalTransition:
        return RetryResult.NOT_DEAD
    return RetryResult.QUEUED
