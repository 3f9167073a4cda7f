"""The sweep recovers jobs; a task that fails stops no other. The scheduler keeps SQLite's WAL short."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.core import checks
from django.db import connection

from tests import django_home
from tests.claims import try_claim

django_home.set_up()

from windlass.conf.system_checks import check_settings  # noqa: E402  after Django
from windlass.files.api import PeriodicTaskState, UploadSession  # noqa: E402
from windlass.files.concatenation import unfinished_concatenations  # noqa: E402
from windlass.jobs import api as jobs  # noqa: E402
from windlass.jobs.api import Job, JobState, Stage  # noqa: E402
from windlass.kernel.clock import now  # noqa: E402
from windlass.operations import scheduler, sweep  # noqa: E402
from windlass.operations.wal_checkpoint import Checkpointer  # noqa: E402


@pytest.fixture(scope="module")
def home() -> Path:
    return django_home.migrated()


@pytest.fixture
def job(home: Path) -> Job:
    Job.objects.all().delete()
    return jobs.enqueue(Stage.INTAKE, uuid.uuid4())


def test_expired_concatenations_hide_none_that_lives(home: Path) -> None:
    parts = {"owner": "joined", "dialect": "tus", "profile": "default", "parts": [str(uuid.uuid4())], "store": "local"}

    def session(hours: int) -> UploadSession:
        return UploadSession(store_key=str(uuid.uuid4()), expires_at=now() + timedelta(hours=hours), **parts)

    UploadSession.objects.bulk_create(session(-1) for _ in range(100))
    living = session(1)
    living.save()
    assert unfinished_concatenations() == [living.id]
    UploadSession.objects.filter(owner="joined").delete()


def test_the_job_of_a_dead_worker_is_queued_again_and_notified(job: Job) -> None:
    try_claim(job.id, "worker-1")
    Job.objects.filter(id=job.id).update(lease_until=now() - timedelta(seconds=1))
    report = sweep.sweep()
    assert (report.counts["claims_revoked"], report.counts["notifications_sent"], report.failed) == (1, 1, ())
    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    assert job.notified_at is not None


def test_a_second_sweep_sends_no_notification_again(job: Job) -> None:
    Job.objects.filter(id=job.id).update(notified_at=None)
    assert sweep.sweep().counts["notifications_sent"] == 1
    assert sweep.sweep().counts["notifications_sent"] == 0


def test_a_failing_task_does_not_stop_the_others(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    Job.objects.filter(id=job.id).update(notified_at=None)
    monkeypatch.setattr(sweep.processing, "revoke_claims", lambda running: 1 // 0)
    report = sweep.sweep()
    assert report.failed == ("expired_claims",)
    assert report.counts["notifications_sent"] == 1


def test_housekeeping_deletes_old_jobs(job: Job) -> None:
    Job.objects.filter(id=job.id).update(
        state=JobState.DONE, due_at=now() - timedelta(days=31), updated_at=now() - timedelta(days=31)
    )
    report = sweep.housekeeping()
    assert report.counts["jobs_pruned"] >= 1
    assert not Job.objects.filter(id=job.id).exists()


def test_whole_tables_are_counted_beside_the_sweep(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting takes minutes in large tables, and jobs wait for the sweep."""
    counted = PeriodicTaskState.objects.filter(name__in=("records", "owners"))
    counted.delete()
    assert sweep.sweep().failed == ()
    assert not counted.exists()
    stop = threading.Event()
    monkeypatch.setattr(stop, "wait", lambda seconds: stop.set())
    scheduler._count_figures(stop)
    assert counted.count() == 2


def test_the_wal_is_checkpointed_only_after_new_writes(job: Job, home: Path) -> None:
    """Never a second time with nothing new: that is the half of SQLite's old race that is ours to leave out."""
    checkpointer = Checkpointer()
    checkpointer.run()
    assert checkpointer.run() is False
    Job.objects.filter(id=job.id).update(last_error="x" * 10_000)
    assert checkpointer.run() is True
    assert checkpointer.run() is False
    alone = sqlite3.connect(f"file:{home}/windlass.sqlite3?mode=ro&immutable=1", uri=True)  # reads no log
    try:
        (found,) = alone.execute("select last_error from windlass_jobs_job where id = ?", [job.id.hex]).fetchone()
    finally:
        alone.close()
    assert found == "x" * 10_000


def test_ordinary_connections_checkpoint_only_a_very_long_wal(home: Path) -> None:
    found = []

    def ask() -> None:
        with connection.cursor() as cursor:
            found.append(cursor.execute("PRAGMA wal_autocheckpoint").fetchone()[0])
        connection.close()

    thread = threading.Thread(target=ask)  # its connection is a new one
    thread.start()
    thread.join()
    assert found == [16384]


def test_system_checks_name_a_bad_setting(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_settings in checks.registry.registry.registered_checks
    assert check_settings(None) == []
    monkeypatch.setenv("WINDLASS_DURABILITY", "mostly")
    (error,) = check_settings(None)
    assert (error.id, error.level) == ("windlass.E001", checks.ERROR)
    assert "DURABILITY" in error.msg


@pytest.mark.parametrize(
    ("environment", "warning"),
    [
        ({"WINDLASS_ALLOWED_HOSTS": "*"}, "windlass.W001"),
        ({"WINDLASS_CELERY_TASK_ALWAYS_EAGER": "true"}, "windlass.W004"),
    ],
)
def test_system_checks_warn_of_unwise_settings(
    home: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], warning: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert [message.id for message in check_settings(None)] == [warning]
