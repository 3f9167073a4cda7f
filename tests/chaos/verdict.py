"""What must hold after the faults: every acknowledged file is there with its bytes, once, and nothing is left over."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import httpx

from tests import services
from tests.chaos.ledger import AcknowledgedFile, Ledger
from tests.chaos.system import System
from tests.process.consistency import count, rows, violations

#: How long queued work may take to be done once nothing is broken any more.
DRAIN_SECONDS = 120.0
#: How long leases that a wrong clock wrote may break the rules.
CORRECTION_SECONDS = 15.0
OPEN = "windlass_jobs_job WHERE state IN ('queued', 'running')"
#: What must have no rows, beside the rules of ``consistency``.
NEVER = {
    "an upload became several files": (
        "SELECT upload_id, count(*) AS files FROM windlass_files_fileasset WHERE upload_id IS NOT NULL "
        "GROUP BY upload_id HAVING count(*) > 1"
    ),
    "one upload of a client became several files": (
        "SELECT reference, count(*) AS files FROM windlass_files_fileasset WHERE reference IS NOT NULL "
        "GROUP BY reference HAVING count(*) > 1"
    ),
    "a file has a rendition twice": (
        "SELECT file_id, name, count(*) AS renditions FROM windlass_files_rendition "
        "GROUP BY file_id, name HAVING count(*) > 1"
    ),
    "a file has a stage twice": (
        "SELECT file_id, run, stage, count(*) AS jobs FROM windlass_jobs_job "
        "GROUP BY file_id, run, stage HAVING count(*) > 1"
    ),
    "a file is stuck": "SELECT id, status FROM windlass_files_fileasset WHERE status IN ('PENDING', 'PROCESSING')",
    "an object has several references and no file": (
        "SELECT id, key FROM windlass_files_blob WHERE id NOT IN "
        "(SELECT blob_id FROM windlass_files_fileasset WHERE blob_id IS NOT NULL)"
    ),
}


def inconsistent(system: System, *, after_wrong_clock: bool = False) -> list[str]:
    """The rules that the database breaks, at any moment; after a wrong clock, once times had time to be corrected."""
    if after_wrong_clock:
        until(lambda: not violations(system.server), CORRECTION_SECONDS)
    return violations(system.server)


def final(system: System, ledger: Ledger) -> list[str]:
    """What does not hold once the clients have ended and nothing is broken any more. Deletes what was verified."""
    system.mended.touch()
    with httpx.Client(base_url=system.url, timeout=30, trust_env=False) as http:
        found = list(_drained(system, http))
        found += [text for file in list(ledger.files.values()) for text in _wrong(http, ledger, file)]
    found += [f"{rule}: {row}" for rule, sql in NEVER.items() for row in rows(system.server, sql)]
    found += inconsistent(system)
    found += _left_over(system)
    found += _damaged_database(system)
    system.mended.unlink()
    return found


def _drained(system: System, http: httpx.Client) -> Iterator[str]:
    """Retry dead letters until only those of poisoned files are left, and wait for queued work."""
    until(lambda: http.put("/error-handling/service-level", json={"automatic": True}).is_success, 30)
    http.post("/error-handling/retry-tasks", json={"all": True})
    if not until(lambda: count(system.server, OPEN) == 0, DRAIN_SECONDS):
        yield f"{count(system.server, OPEN)} jobs are open after {DRAIN_SECONDS:.0f} s"


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition became true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if condition():
                return True
        time.sleep(0.2)
    return False


def _wrong(http: httpx.Client, ledger: Ledger, file: AcknowledgedFile) -> Iterator[str]:
    """What is wrong with an acknowledged file. A right one is deleted: a long run needs no more space than a short."""
    record = http.get(f"/files/{file.id}/")
    name = f"{file.id} of {file.dialect}"
    if not record.is_success:
        yield f"{name} is lost: {record.status_code}"
        return
    status = record.json()["status"]
    if status != ("FAILED" if file.poisoned else "READY"):
        yield f"{name} is {status}: {http.get(f'/files/{file.id}/status/').json().get('message')}"
    elif not file.poisoned:
        served = hashlib.sha256(http.get(f"/files/{file.id}/download/").content).hexdigest()
        if {served, record.json()["checksum"]} != {file.sha256}:
            yield f"{name} has other bytes: {served}, recorded {record.json()['checksum']}, sent {file.sha256}"
            return
    http.delete(f"/files/{file.id}/").raise_for_status()
    ledger.verified(file)


def _left_over(system: System) -> list[str]:
    """Objects that no row names after the sweep, which here ignores how old they are."""
    code = (
        "import django; django.setup()\n"
        "from windlass.files import api as files\n"
        "from windlass.storage.registry import store\n"
        "import json\n"
        "swept = files.delete_orphans(store(), older_than_hours=-2)\n"
        "print(json.dumps([swept[0], files.delete_orphans(store(), older_than_hours=-2, dry_run=True)[0]]))"
    )
    home = {"WINDLASS_HOME": str(system.home), "DJANGO_SETTINGS_MODULE": "windlass.settings"}
    environment = system.server.environment | home
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    if ended.returncode:
        return [f"the sweep failed: {ended.stderr[-500:]}"]
    _, left = json.loads(ended.stdout)
    return [f"{left} objects that no row names are left after the sweep"] if left else []


def _damaged_database(system: System) -> list[str]:
    if system.database is None:
        with contextlib.closing(sqlite3.connect(system.home / "windlass.sqlite3", timeout=30)) as database:
            answer = [row[0] for row in database.execute("PRAGMA integrity_check")]
        return [] if answer == ["ok"] else [f"integrity_check: {answer}"]
    programs = services.find_postgres()
    assert programs is not None
    url = system.server.environment["DATABASE_URL"].rpartition("/")[2]
    command = [programs / "pg_amcheck", "--host=127.0.0.1", f"--port={system.database.port}", "--username=windlass"]
    checked = subprocess.run([*command, "--install-missing", url], capture_output=True, text=True, timeout=120)
    return [] if checked.returncode == 0 else [f"pg_amcheck: {checked.stdout[-500:]}{checked.stderr[-500:]}"]
