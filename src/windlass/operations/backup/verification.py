"""Verify backups: read each object once, compare its SHA-256, and open each copy of the database."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from windlass.operations.backup import manifest, postgresql
from windlass.operations.backup.errors import BackupError
from windlass.operations.backup.manifest import Backup, Entry, Stored, object_name
from windlass.operations.backup.transfer import SourceDamaged, fetch_file, opened, sha256_of
from windlass.operations.throttle import Stopped
from windlass.storage.contract import Store


@dataclass(frozen=True, slots=True)
class DamagedPart:
    """A part of a backup that is damaged or missing. ``backups``: the ids of the backups that need it.

    ``files``: stores and keys of the objects with these bytes, the first few.
    """

    key: str
    detail: str
    backups: list[str]
    files: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class BackupReport:
    """What was read, and the findings. ``absent``: objects that the backups never had, as they say themselves."""

    backups: int = 0
    objects: int = 0
    bytes: int = 0
    absent: int = 0
    deleted: int = 0
    damaged: list[DamagedPart] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        return asdict(self)


#: Named objects of one finding that are listed.
_LISTED = 5

OnDamaged = Callable[[DamagedPart], None]


def verify_backups(
    location: Store,
    *,
    stop: threading.Event,
    delete_damaged: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_damaged: OnDamaged = lambda damaged: None,
) -> BackupReport:
    """Verify all backups of a location. ``delete_damaged``: delete objects with wrong bytes, so that the next backup
    copies them again.

    Raises BackupError, SourceUnavailable, StoreError, and Stopped.
    """
    with tempfile.TemporaryDirectory(prefix="windlass-verify-") as scratch:
        return _Verification(location, Path(scratch), stop, delete_damaged, on_progress, on_damaged).run()


class _Verification:
    def __init__(
        self,
        location: Store,
        scratch: Path,
        stop: threading.Event,
        delete_damaged: bool,
        on_progress: Callable[[int, int], None],
        on_damaged: OnDamaged,
    ) -> None:
        self._location, self._scratch, self._stop, self._delete_damaged = location, scratch, stop, delete_damaged
        self._on_progress, self._on_damaged = on_progress, on_damaged
        self._done = self._total = 0
        self.report = BackupReport()

    def run(self) -> BackupReport:
        backups = manifest.list_backups(self._location)
        if not backups:
            raise BackupError("there is no complete backup")
        parts = [part for backup in backups for part in (backup.database, backup.object_list)]
        self._total = sum(part.size for part in parts) + max(backup.bytes for backup in backups)
        with closing(sqlite3.connect(self._scratch / "named.sqlite3", isolation_level=None)) as named:
            named.execute("PRAGMA journal_mode=OFF")
            named.execute("CREATE TABLE named (sha256 TEXT, size INTEGER, backup TEXT, file TEXT)")
            for backup in backups:
                self._check_parts(backup, named)
            named.execute("CREATE INDEX by_digest ON named (sha256)")
            self._total = self._done + _total_bytes(named)
            self._check_objects(named)
        self.report.backups = len(backups)
        return self.report

    def _check_parts(self, backup: Backup, named: sqlite3.Connection) -> None:
        """Check the database and the list of objects; add the objects to ``named`` if the list is intact."""
        self._check_part(backup, backup.database, lambda path: _check_database(backup, path))
        self._check_part(backup, backup.object_list, lambda path: self._add_entries(backup, path, named))

    def _check_part(self, backup: Backup, part: Stored, examine: Callable[[Path], None]) -> None:
        path = self._scratch / "part"
        try:
            fetch_file(self._location, backup.key(part.name), path, part.size, part.sha256, self._on_block)
            examine(path)
        except SourceDamaged as error:
            self._found(DamagedPart(backup.key(part.name), str(error), [backup.id]))

    def _add_entries(self, backup: Backup, path: Path, named: sqlite3.Connection) -> None:
        with path.open("rb") as lines:
            entries = (manifest.parse_entry(line, backup.id) for line in lines)
            named.executemany("INSERT INTO named VALUES (?, ?, ?, ?)", self._rows(backup, entries))

    def _rows(self, backup: Backup, entries: Iterator[Entry]) -> Iterator[tuple[str, int, str, str]]:
        for entry in entries:
            if entry.missing:
                self.report.absent += 1
            else:
                yield entry.sha256, entry.size, backup.id, f"{entry.store} {entry.key}"

    def _check_objects(self, named: sqlite3.Connection) -> None:
        for sha256, size in named.execute("SELECT DISTINCT sha256, size FROM named ORDER BY sha256"):
            key = object_name(sha256)
            try:
                with opened(self._location, key) as file:
                    found = sha256_of(file, self._on_block)
                if found != (sha256, size):
                    raise SourceDamaged(f"its SHA-256 is {found[0]}, of {found[1]} bytes instead of {size}")
            except SourceDamaged as error:
                self._found(self._damaged_object(named, key, sha256, str(error)))
                if self._delete_damaged and self._location.delete(key):
                    self.report.deleted += 1
            self.report.objects += 1
            self.report.bytes += size

    def _damaged_object(self, named: sqlite3.Connection, key: str, sha256: str, detail: str) -> DamagedPart:
        of_digest = "FROM named WHERE sha256 = ?"
        ids = [row[0] for row in named.execute(f"SELECT DISTINCT backup {of_digest} ORDER BY 1", (sha256,))]
        files = named.execute(f"SELECT DISTINCT file {of_digest} ORDER BY 1 LIMIT {_LISTED}", (sha256,))
        return DamagedPart(key, detail, ids, [row[0] for row in files])

    def _found(self, damaged: DamagedPart) -> None:
        self.report.damaged.append(damaged)
        self._on_damaged(damaged)

    def _on_block(self, size: int) -> None:
        if self._stop.is_set():
            raise Stopped
        self._done += size
        self._on_progress(self._done, max(self._total, self._done))


def _total_bytes(named: sqlite3.Connection) -> int:
    row = named.execute("SELECT sum(size) FROM (SELECT DISTINCT sha256, size FROM named)").fetchone()
    return int(row[0] or 0)


def _check_database(backup: Backup, path: Path) -> None:
    """Raises SourceDamaged if the copy cannot be restored, BackupError if pg_restore is not installed."""
    if backup.database_vendor == "sqlite":
        check_sqlite(path)
        return
    try:
        postgresql.check_dump(path)
    except postgresql.ProgramFailed as error:
        raise SourceDamaged(str(error)) from error


def check_sqlite(path: Path) -> None:
    """Raises SourceDamaged."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            (result,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise SourceDamaged(f"SQLite cannot read it: {error}") from error
    if result != "ok":
        raise SourceDamaged(f"SQLite finds it damaged: {result}")
