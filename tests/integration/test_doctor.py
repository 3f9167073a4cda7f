"""``windlass doctor`` finds each planted problem, and the command that it names mends it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.integration.asgi_client import make_file

pytest_plugins = ["tests.integration.record_plane"]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _alone(records_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test starts without jobs and backups, and sends no notification."""
    from windlass.files.models import BackupRun
    from windlass.jobs.api import Job

    monkeypatch.setattr("windlass.jobs.notify.notify_workers", lambda job_id, stage: None)
    Job.objects.all().delete()
    BackupRun.objects.all().delete()
    yield
    Job.objects.all().delete()
    BackupRun.objects.all().delete()


@pytest.fixture
def run(records_home: Path) -> Callable[[str], Any]:
    """Return a function that runs a command line on this home."""

    def run(line: str) -> Any:
        program, *arguments = shlex.split(line)
        if program != "windlass":
            return subprocess.run([program, *arguments], check=True)
        from windlass.cli import app

        return CliRunner().invoke(app, [*arguments, "--home", str(records_home)])

    return run


def findings(name: str) -> list[Any]:
    from windlass.operations.doctor import Severity, diagnose

    return [each for each in diagnose() if each.name == name and each.severity is not Severity.OK]


def found_and_mended(name: str, severity: str, run: Callable[[str], Any]) -> str:
    """Check that there is one finding of this name, and none after its command; return its text."""
    (found,) = findings(name)
    assert found.severity == severity
    run(found.command)
    assert findings(name) == []
    return str(found.detail)


def a_job(**values: Any) -> Any:
    from windlass.files.api import FileStatus
    from windlass.jobs.api import Job
    from windlass.kernel.clock import now

    asset = make_file("doctor", b"abc", status=FileStatus.PROCESSING)
    defaults = {"stage": "describe", "file_id": asset.id, "due_at": now(), "attempts": 1, "max_attempts": 5}
    return Job.objects.create(**(defaults | values))


def test_a_claim_of_a_worker_that_is_gone(run: Callable[[str], Any]) -> None:
    from windlass.kernel.clock import now

    job = a_job(state="running", lease_holder="worker-gone", lease_until=now() - timedelta(minutes=5), lease_epoch=1)
    assert "worker-gone" in found_and_mended("claims", "error", run)
    job.refresh_from_db()
    assert job.state == "queued"


def test_a_dead_letter(run: Callable[[str], Any]) -> None:
    from windlass.files.api import FileAsset, FileStatus
    from windlass.kernel.clock import now

    job = a_job(state="dead", dead_at=now(), dead_step="trial", dead_error_class="TransientError")
    FileAsset.objects.filter(id=job.file_id).update(status=FileStatus.FAILED)
    assert "1 jobs have used up" in found_and_mended("dead_letters", "warning", run)


def test_an_orphaned_object(run: Callable[[str], Any], records_home: Path) -> None:
    import io

    from windlass.storage.registry import store

    store().put("objects/ab/orphan", io.BytesIO(b"of nobody"), 9)
    path = store().local_path("objects/ab/orphan")
    assert path is not None
    os.utime(path, (1_000_000_000, 1_000_000_000))
    assert "9 bytes" in found_and_mended("sweep", "warning", run)
    assert not path.exists()


def test_a_pinned_service_level(run: Callable[[str], Any]) -> None:
    from windlass.events import api as events
    from windlass.resilience.service_level import ServiceLevel

    events.pin_service_level(ServiceLevel.BASIC, "for a test", "somebody")
    (found,) = findings("service_level")
    assert (found.severity, found.command) == ("warning", "windlass level auto")
    assert "pinned by somebody" in found.detail
    run(found.command)
    assert events.read_level().automatic


def test_an_open_breaker(run: Callable[[str], Any], configure: Callable[..., None]) -> None:
    from windlass.events.circuit_breakers import change_circuit, read_circuit
    from windlass.kernel.clock import now
    from windlass.resilience.circuits import Circuit, State

    configure(CLAMAV_URL="tcp://127.0.0.1:9")
    before = read_circuit("scanner")
    opened = Circuit(State.OPEN, before.generation + 1, failures=3, opened_at=now().timestamp())
    assert change_circuit("scanner", before, opened)
    assert "scanner is open" in found_and_mended("breakers", "warning", run)


def test_triggers_without_their_table(run: Callable[[str], Any]) -> None:
    from windlass.database.connection import connection
    from windlass.files import name_index

    with connection().cursor() as cursor:
        cursor.execute(f"DROP TABLE {name_index.TRIGRAMS}")
    assert "no file can be recorded" in found_and_mended("name_index", "error", run)
    make_file("doctor", b"abc").delete()


def test_a_home_that_others_can_write_to(run: Callable[[str], Any], records_home: Path) -> None:
    records_home.chmod(0o1777)  # shared on purpose, so the server leaves it as it is
    try:
        assert str(records_home) in found_and_mended("permissions", "error", run)
        assert records_home.stat().st_mode & 0o777 == 0o700
    finally:
        records_home.chmod(0o700)


def test_backups_that_are_missing_or_old(run: Callable[[str], Any], tmp_path: Path) -> None:
    import threading

    from windlass.files.models import BackupRun
    from windlass.kernel.clock import now
    from windlass.operations.backup.create import make_backup

    (found,) = findings("backups")
    assert (found.severity, found.command) == ("warning", "windlass backup TARGET")
    make_backup(str(tmp_path / "backups"), stop=threading.Event())
    BackupRun.objects.update(missing_count=0)
    assert findings("backups") == []
    BackupRun.objects.update(started_at=now() - timedelta(days=8))
    (found,) = findings("backups")
    assert "8 days old" in found.detail
    assert found.command == f"windlass backup {tmp_path / 'backups'}"


def test_a_restore_that_has_not_ended(run: Callable[[str], Any], records_home: Path) -> None:
    from windlass.operations.backup.unfinished_restore import Mark, remove_mark, write_mark

    write_mark(records_home, Mark("/srv/backups", "20260101t000000z-abcdef"))
    try:
        (found,) = findings("restore")
        assert (found.severity, found.command) == ("error", "windlass restore /srv/backups")
        ended = run("windlass doctor --json --no-orphans")
        assert ended.exit_code == 1
        assert found.command in [json.loads(line)["command"] for line in ended.stdout.splitlines()]
    finally:
        remove_mark(records_home)


def test_every_part_is_reported_once_with_its_severity(run: Callable[[str], Any]) -> None:
    ended = run("windlass doctor --json --no-orphans")
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    names = {line["name"] for line in lines}
    assert {"settings", "home", "database", "storage", "broker", "sandbox", "steps", "disk", "clock"} <= names
    assert "sweep" not in names
    (versions,) = (line for line in lines if line["name"] == "versions")
    for part in ("windlass", "python", "django", "sqlite", "libmagic", "libvips", "ffmpeg", "broker embedded"):
        assert part in versions["detail"]
    assert "unknown" not in versions["detail"]
    assert {line["severity"] for line in lines} <= {"ok", "warning", "error"}
    assert all(line["command"] for line in lines if line["severity"] == "error")
    assert ended.exit_code == any(line["severity"] == "error" for line in lines)
