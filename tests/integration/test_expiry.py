"""How uploads expire: by the sweep and by the command, through the same code."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests import django_home

django_home.set_up()

from tests.new_uploads import new_upload  # noqa: E402  after Django
from windlass.files import api as files  # noqa: E402
from windlass.files import uploads  # noqa: E402
from windlass.files.api import UploadSession, UploadStatus  # noqa: E402
from windlass.files.models import UploadSession as Session  # noqa: E402
from windlass.kernel.clock import now  # noqa: E402
from windlass.operations import sweep  # noqa: E402
from windlass.storage.contract import ObjectMissing  # noqa: E402
from windlass.storage.registry import store  # noqa: E402

Make = Callable[..., UploadSession]


@pytest.fixture
def make() -> Make:
    """Begins an upload with so many bytes of content, and with columns as they are given."""
    django_home.migrated()
    Session.objects.all().delete()

    def begin(size: int = 10, **columns: Any) -> UploadSession:
        key = f"objects/{uuid.uuid4()}"
        writer = store().open_writer(key, store().create(key))
        writer.write(0, [bytes(size)])
        writer.close()
        new = new_upload("user:9", 100)
        session = files.create_upload(new, upload_id=uuid.uuid4(), key=key, state={})
        Session.objects.filter(id=session.id).update(**columns)
        return session

    return begin


def ago(hours: float) -> datetime:
    return now() - timedelta(hours=hours)


def status(session: UploadSession) -> str | None:
    return Session.objects.filter(id=session.id).values_list("status", flat=True).first()


def is_stored(session: UploadSession) -> bool:
    try:
        store().info(session.store_key)
    except ObjectMissing:
        return False
    return True


def command(*arguments: str) -> str:
    said = StringIO()
    call_command("cleanup_expired_uploads", *arguments, stdout=said)
    return said.getvalue()


def test_the_sweep_and_the_command_expire_the_same_uploads(make: Make) -> None:
    for run in (sweep.sweep, command):
        expired, living = make(expires_at=ago(1)), make()
        busy = make(expires_at=ago(1), lease_holder="web", lease_until=now() + timedelta(minutes=1))
        forgotten = make(status=UploadStatus.CANCELLED, ended_at=ago(25))
        remembered = make(status=UploadStatus.EXPIRED, ended_at=ago(23))
        run()
        assert (status(expired), is_stored(expired)) == ("expired", False)
        assert (status(living), is_stored(living)) == ("active", True)
        assert (status(busy), is_stored(busy)) == ("active", True)
        assert status(forgotten) is None
        assert status(remembered) == "expired"


def test_the_command_reports_its_figures(make: Make) -> None:
    make(30, expires_at=ago(1))
    make(12, expires_at=ago(1))
    make(status=UploadStatus.COMPLETED, ended_at=ago(25))
    assert command() == "2 uploads expired, 42 bytes (42 bytes) freed, 1 ended uploads forgotten.\n"
    assert command() == "0 uploads expired, 0 bytes (0 bytes) freed, 0 ended uploads forgotten.\n"


def test_a_dry_run_changes_nothing_and_reports_the_same_figures(make: Make) -> None:
    session, ended = make(30, expires_at=ago(1)), make(status=UploadStatus.COMPLETED, ended_at=ago(25))
    said = command("--dry-run")
    assert said == (
        "1 uploads would be expired, 30 bytes (30 bytes) would be freed, 1 ended uploads would be forgotten.\n"
    )
    assert (status(session), is_stored(session), status(ended)) == ("active", True, "completed")


def test_verbose_names_each_upload(make: Make) -> None:
    session = make(30, expires_at=ago(1))
    assert f"expired {session.id} tus user:9 'a.bin' active 0 of 100 bytes, 30 on disk" in command("--verbose")
    make(30, expires_at=ago(1))
    assert "tus" not in command()


def test_hours_expires_idle_uploads_early(make: Make) -> None:
    idle, fresh = make(updated_at=ago(5)), make(updated_at=ago(1))
    assert command().startswith("0 uploads")
    assert command("--hours", "2").startswith("1 uploads")
    assert (status(idle), status(fresh)) == ("expired", "active")
    assert command("--hours", "0.5").startswith("1 uploads")


@pytest.mark.parametrize("hours", ["-1", "many", "nan", "inf"])
def test_invalid_hours_are_refused(make: Make, hours: str) -> None:
    session = make(expires_at=ago(1))
    with pytest.raises(CommandError):
        command(f"--hours={hours}")
    assert status(session) == "active"


def test_an_upload_that_was_leased_meanwhile_does_not_expire(make: Make) -> None:
    """Listed as idle, then leased by a request: the row is no longer as it was seen."""
    session = make(updated_at=ago(5))
    (seen,) = uploads.expired_uploads(idle_hours=2)
    lease = files.take_lease(session.id, "web", 10)
    assert lease is not None
    assert files.end_upload(seen, UploadStatus.EXPIRED, as_seen=seen) is None
    assert is_stored(session)


def test_all_batches_of_uploads_expire(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windlass.files.uploads._BATCH", 2)
    for _ in range(5):
        make(1, expires_at=ago(1))
    assert command().startswith("5 uploads expired, 5 bytes")
