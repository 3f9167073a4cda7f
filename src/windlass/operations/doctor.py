"""What is wrong with an installation or may become so, and the command that mends it: ``windlass doctor``.

It changes nothing. What is looked at besides is what ``windlass check`` tries (``cli.service_checks``).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from django.apps import apps
from django.db import DatabaseError

from windlass import conf
from windlass.conf.loading import is_standalone
from windlass.conf.private_files import open_to_others
from windlass.database.connection import connection
from windlass.events import api as events
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.kernel.clock import now
from windlass.operations import sweep
from windlass.operations.backup.unfinished_restore import read_mark
from windlass.operations.component_checks import CheckResult, CheckState, check_components
from windlass.operations.software_versions import SQLITE_WITHOUT_WAL_RACE, software_versions
from windlass.processing import api as processing
from windlass.resilience.service_level import ServiceLevel

#: A lapsed claim that the scheduler has not revoked after so long shows that none runs (seconds).
CLAIM_GRACE_SECONDS = 60.0
#: A backup older than this is worth a warning.
BACKUP_DAYS = 7


class Severity(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it works, with less than it could or at a risk
    ERROR = "error"  # something does not work, or data is at risk


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One finding. ``command``: what mends it, or shows more; empty if nothing is to be done."""

    name: str
    severity: Severity
    detail: str
    command: str = ""


def diagnose(*, search_orphans: bool = True) -> Iterator[Diagnosis]:
    """Yield what was found, one part after the other. A part that cannot be looked at is an error of its own.

    ``search_orphans``: list every object of every store.
    """
    parts: dict[str, Callable[[], Iterator[Diagnosis]]] = {
        "restore": _restore,
        "components": _components,
        "name_index": _name_index,
        "claims": _claims,
        "dead_letters": _dead_letters,
        "owed_steps": _owed_steps,
        "breakers": _breakers,
        "service_level": _service_level,
        "permissions": _permissions,
        "backups": _backups,
        "versions": _versions,
        "vectors": _vectors,
    }
    if search_orphans:
        parts["sweep"] = _sweep
    for name, part in parts.items():
        try:
            yield from part()
        except DatabaseError as error:
            reason = " ".join(str(error).split())
            yield Diagnosis(name, Severity.ERROR, f"the database failed: {reason}", "windlass check")


def _restore() -> Iterator[Diagnosis]:
    mark = read_mark(conf.get().windlass_home)
    if mark is not None:
        detail = f"the restore of the backup {mark.backup} has not ended, and the server does not start"
        yield Diagnosis("restore", Severity.ERROR, detail, f"windlass restore {mark.source}")


#: Components that ``windlass check`` does not try. The command that mends each, if it is not the same for all.
_COMMANDS = {
    "scheduler": "windlass scheduler",
    "disk": "windlass sweep",
    "queue": "windlass worker",
    "clock": "timedatectl set-ntp true",
    "content": "windlass verify --list",
}


def _components() -> Iterator[Diagnosis]:
    """Components that ``windlass check`` does not try: processes, disk, queue, clock, known damage."""
    results = asyncio.run(check_components())
    processes = [each for name, each in results.items() if name == "scheduler" or name.startswith("workers.")]
    if all(each.state is CheckState.FAILED for each in processes):
        detail = "no worker and no scheduler runs: either the server is stopped, or files are received and wait"
        yield Diagnosis("processes", Severity.WARNING, detail, "windlass serve")
    else:
        yield from (_of_component(each, _process_command(each.name)) for each in processes)
    yield from (_of_component(results[name], _COMMANDS[name]) for name in ("disk", "queue", "clock", "content"))


def _process_command(name: str) -> str:
    return _COMMANDS.get(name) or f"windlass worker --queues {name.partition('.')[2]}"


def _of_component(result: CheckResult, command: str) -> Diagnosis:
    severity = {CheckState.FAILED: Severity.ERROR, CheckState.IMPAIRED: Severity.WARNING}.get(result.state, Severity.OK)
    limit = f" (limit: {result.limit})" if result.limit else ""
    return Diagnosis(result.name, severity, f"{result.detail}{limit}", "" if severity is Severity.OK else command)


def _name_index() -> Iterator[Diagnosis]:
    if files.name_index_blocks_writes():
        detail = "no file can be recorded: SQLite has the triggers of the index of names, but not its tables"
        yield Diagnosis("name_index", Severity.ERROR, detail, "windlass migrate")
    else:
        yield Diagnosis("name_index", Severity.OK, "it lets files be recorded")


def _claims() -> Iterator[Diagnosis]:
    lapsed = jobs.expired_claims(now() - timedelta(seconds=CLAIM_GRACE_SECONDS))
    if not lapsed:
        yield Diagnosis("claims", Severity.OK, "no job is claimed by a worker that is gone")
        return
    detail = f"{len(lapsed)} jobs are claimed by workers that are gone, such as {lapsed[0].lease_holder}"
    yield Diagnosis("claims", Severity.ERROR, f"{detail}: no scheduler has queued them again", "windlass sweep")


def _dead_letters() -> Iterator[Diagnosis]:
    count = processing.find_dead_letters().count()
    if count:
        detail = f"{count} jobs have used up their attempts: `windlass dead list` shows why"
        yield Diagnosis("dead_letters", Severity.WARNING, detail, "windlass dead retry --all")
    else:
        yield Diagnosis("dead_letters", Severity.OK, "none")


def _owed_steps() -> Iterator[Diagnosis]:
    owed = files.owed_step_counts()
    if owed:
        steps = ", ".join(f"{name} of {count} files" for name, count in owed.items())
        detail = f"postponed until what they need is there: {steps}"
        yield Diagnosis("owed_steps", Severity.WARNING, detail, "windlass check")
    else:
        yield Diagnosis("owed_steps", Severity.OK, "none")


def _breakers() -> Iterator[Diagnosis]:
    statuses = processing.all_breaker_statuses()
    for status in statuses:
        if status.state != "closed":
            detail = f"{status.name} is {status.state}: calls fail at once until a trial succeeds"
            yield Diagnosis("breakers", Severity.WARNING, detail, f"windlass breaker reset {status.name}")
    if all(status.state == "closed" for status in statuses):
        yield Diagnosis("breakers", Severity.OK, f"{len(statuses)} closed")


def _service_level() -> Iterator[Diagnosis]:
    status = events.read_level()
    severity = Severity.OK if status.level is ServiceLevel.FULL else Severity.WARNING
    pinned = "" if status.automatic else f", pinned by {status.pinned_by}"
    command = "" if severity is Severity.OK else "windlass level show" if status.automatic else "windlass level auto"
    yield Diagnosis("service_level", severity, f"{status.level}{pinned}: {status.reason}", command)


def _permissions() -> Iterator[Diagnosis]:
    """The server removes others' permissions when it starts, unless the paths belong to another user."""
    wrong = [path for path in _private_paths() if open_to_others(path)]
    for path in wrong:
        mode = "700" if path.is_dir() else "600"
        detail = f"other users of this machine can read or change {path}"
        yield Diagnosis("permissions", Severity.ERROR, detail, f"chmod {mode} {path}")
    if not wrong:
        yield Diagnosis("permissions", Severity.OK, "only this user can read the home directory")


def _private_paths() -> Iterator[Path]:
    if not is_standalone():
        return
    home = conf.get().windlass_home
    yield home
    yield home / "secret-key"
    if connection().vendor == "sqlite":
        yield Path(connection().settings_dict["NAME"])


def _backups() -> Iterator[Diagnosis]:
    last = files.last_backup()
    if last is None:
        detail = "no backup by `windlass backup` is recorded"
        yield Diagnosis("backups", Severity.WARNING, detail, "windlass backup TARGET")
        return
    age = now() - last.started_at
    detail = f"the last one is {age.days} days old, to {last.target}"
    if last.missing_count:
        detail += f", and {last.missing_count} objects are missing in it"
    old = age > timedelta(days=BACKUP_DAYS) or last.missing_count
    command = f"windlass backup {last.target}"
    yield Diagnosis("backups", Severity.WARNING if old else Severity.OK, detail, command if old else "")


def _versions() -> Iterator[Diagnosis]:
    versions = software_versions()
    yield Diagnosis("versions", Severity.OK, ", ".join(f"{name} {version}" for name, version in versions.items()))
    if connection().vendor == "sqlite" and sqlite3.sqlite_version_info < SQLITE_WITHOUT_WAL_RACE:
        wanted = ".".join(map(str, SQLITE_WITHOUT_WAL_RACE))
        detail = (
            f"SQLite {sqlite3.sqlite_version} has a rare race when two connections checkpoint its log at once. "
            "Windlass avoids it, as only the scheduler checkpoints: let no other program write to the database, or use "
            f"a Python with SQLite {wanted} or newer"
        )
        yield Diagnosis("sqlite_wal", Severity.WARNING, detail)


#: What ``windlass sweep`` mends and a running scheduler should have mended before.
_SWEPT = ("orphans_deleted", "references_corrected", "quotas_corrected", "stores_skipped")


def _sweep() -> Iterator[Diagnosis]:
    found = [each for each in sweep.clean_up(dry_run=True) if each.kind in _SWEPT and each.count]
    for each in found:
        detail = f"{each.count} {each.label}, {each.bytes_freed} bytes"
        yield Diagnosis("sweep", Severity.WARNING, detail, "windlass sweep")
    if not found:
        yield Diagnosis("sweep", Severity.OK, "no orphaned objects, no wrong counts")


def _vectors() -> Iterator[Diagnosis]:
    """Whether the database can store the vectors that EMBEDDINGS asks for."""
    if conf.get().embeddings == "off" or not apps.is_installed("windlass.knowledge"):
        return
    from windlass.knowledge import api as knowledge

    if knowledge.vectors_available():
        yield Diagnosis("vectors", Severity.OK, "the database stores and searches vectors")
        return
    detail = (
        "EMBEDDINGS is on, and the database has no pgvector 0.8 or later: texts are searched by words only. Install "
        "the extension, then run CREATE EXTENSION vector; "
        "ALTER TABLE windlass_knowledge_passagevector ADD COLUMN embedding vector"
    )
    yield Diagnosis("vectors", Severity.WARNING, detail, "windlass reembed")
