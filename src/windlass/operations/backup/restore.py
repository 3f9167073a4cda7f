"""Restore a backup into an empty server: first the objects, then the database as a whole, then its records.

Until the end a mark keeps the server from starting (``unfinished_restore``). A restore that was interrupted goes on
where it was when it is run again: an object that is there already is compared instead of copied.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from django.db.migrations.loader import MigrationLoader

from windlass import conf
from windlass.conf.loading import is_standalone
from windlass.events.api import AuditAction, record_action
from windlass.files import api as files
from windlass.kernel.clock import now
from windlass.operations.backup import database_mark, manifest, restored_database
from windlass.operations.backup.errors import BackupError
from windlass.operations.backup.manifest import Backup, Entry, object_name
from windlass.operations.backup.transfer import SourceDamaged, fetch_file, opened, put_verified, sha256_of
from windlass.operations.backup.unfinished_restore import Mark, read_mark, remove_mark, write_mark
from windlass.operations.throttle import Stopped
from windlass.storage.contract import ObjectMissing, Store, StoreError
from windlass.storage.registry import guard_with, no_guard, store

#: Objects that are copied at a time.
_THREADS = 4
_BATCH = 16 * _THREADS
_SCRATCH = ".restore-"


@dataclass(slots=True)
class RestoreReport:
    """``present``: objects that were there already, with the right bytes. ``missing``: objects that are not in the
    backup, or damaged in it; their files are not served. ``expired_uploads``: uploads that were not complete."""

    backup: str
    objects: int = 0
    bytes: int = 0
    present: int = 0
    missing: int = 0
    expired_uploads: int = 0

    def document(self) -> dict[str, Any]:
        return asdict(self)


def restore(
    location: Store,
    backup: Backup,
    source: str,
    *,
    stop: threading.Event,
    stores: Mapping[str, str],
    force: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_missing: Callable[[Entry], None] = lambda entry: None,
) -> RestoreReport:
    """Restore a backup. ``source``: how the user named the location. ``stores``: into which store the objects of a
    store of the backup go, if not into one of the same name.

    Raises BackupError, SourceDamaged, StoreError, Stopped, DatabaseError. After an error, run it again.
    """
    guard_with(no_guard)  # circuit breakers are rows of a database that does not exist yet
    home = conf.get().windlass_home
    mark = read_mark(home)
    if mark is None:
        _require_restorable(backup, stores)
        restored_database.require_empty(force=force)
        mark = Mark(source, backup.id)
        write_mark(home, mark)
    elif mark.backup != backup.id:
        raise BackupError(
            f"{home} holds an unfinished restore of the backup {mark.backup}: finish it with --backup {mark.backup}, "
            "or restore into another, empty home directory"
        )
    _restore_secret_key(location, backup, home, keep_old=force)
    with _scratch(home) as scratch:
        return _Restore(location, backup, scratch, stop, stores, on_progress, on_missing).run(home, mark)


class _Restore:
    def __init__(
        self,
        location: Store,
        backup: Backup,
        scratch: Path,
        stop: threading.Event,
        stores: Mapping[str, str],
        on_progress: Callable[[int, int], None],
        on_missing: Callable[[Entry], None],
    ) -> None:
        self._location, self._backup, self._scratch, self._stop = location, backup, scratch, stop
        self._stores, self._on_progress, self._on_missing = stores, on_progress, on_missing
        self._done = 0
        self.report = RestoreReport(backup.id)

    def run(self, home: Path, mark: Mark) -> RestoreReport:
        self._fetch_list()
        if not mark.loaded:
            database_mark.mark_database(self._backup.id)
        missing = self._scratch / "missing.jsonl"
        self._copy_all(missing)
        if not mark.loaded:
            restored_database.load_database(self._location, self._backup, self._scratch, self._stop)
            write_mark(home, Mark(mark.source, mark.backup, loaded=True))
        restored_database.migrate_database()
        self._correct_records(missing)
        database_mark.unmark_database()
        remove_mark(home)
        return self.report

    def _fetch_list(self) -> None:
        part = self._backup.object_list
        fetch_file(self._location, self._backup.key(part.name), self._list, part.size, part.sha256)

    @property
    def _list(self) -> Path:
        return self._scratch / manifest.OBJECT_LIST

    def _copy_all(self, missing: Path) -> None:
        """Copy every object; write those that are missing into a file, one line each."""
        with ThreadPoolExecutor(_THREADS, "windlass-restore") as pool, missing.open("wb") as file:
            for batch in self._batches():
                for entry in pool.map(self._copy, batch):
                    if entry.missing:
                        self.report.missing += 1
                        file.write(entry.line())
                        self._on_missing(entry)
                    else:
                        self.report.objects += 1
                        self.report.bytes += entry.size
                    self._done += entry.size
                    self._on_progress(self._done, max(self._done, self._backup.bytes))
                self._require_going()

    def _batches(self) -> Iterator[list[Entry]]:
        with self._list.open("rb") as lines:
            entries = (manifest.parse_entry(line, self._backup.id) for line in lines)
            while batch := list(islice(entries, _BATCH)):
                yield batch

    def _copy(self, entry: Entry) -> Entry:
        """Copy one object into its store; return its entry, which says if it is missing. Runs in a thread."""
        if entry.missing:
            return entry
        target = store(self._stores.get(entry.store, entry.store))
        if self._is_present(target, entry):
            self.report.present += 1
            return entry
        try:
            with opened(self._location, object_name(entry.sha256)) as source:
                put_verified(target, entry.key, source, entry.size, entry.sha256, self._on_block)
        except SourceDamaged as error:
            return Entry(entry.store, entry.key, entry.size, "", missing=f"damaged in the backup: {error}")
        return entry

    def _is_present(self, target: Store, entry: Entry) -> bool:
        """Whether the store has the object with the right bytes, from an earlier run or because it was never lost."""
        try:
            if target.info(entry.key).size != entry.size:
                return False
            with opened(target, entry.key) as file:
                return sha256_of(file, self._on_block)[0] == entry.sha256
        except (ObjectMissing, SourceDamaged):
            return False

    def _correct_records(self, missing: Path) -> None:
        for old, new in self._stores.items():
            files.change_store(old, new)
        with missing.open("rb") as lines:
            for line in lines:
                entry = manifest.parse_entry(line, self._backup.id)
                files.record_missing_object(self._stores.get(entry.store, entry.store), entry.key, entry.missing)
        self.report.expired_uploads = files.expire_uploads_without_bytes()
        files.forget_unfinished_backups()
        counts = {"objects": self.report.objects, "size": self.report.bytes, "missing": self.report.missing}
        record_action(AuditAction.BACKUP_RESTORED, subject=self._backup.id, detail=counts)

    def _on_block(self, size: int) -> None:
        self._require_going()

    def _require_going(self) -> None:
        if self._stop.is_set():
            raise Stopped


def _require_restorable(backup: Backup, stores: Mapping[str, str]) -> None:
    """Raises BackupError, with everything that must be set up first."""
    restored_database.require_loadable(backup)
    unknown = sorted(set(backup.migrations) - _known_migrations())
    if unknown:
        raise BackupError(
            f"the backup was made by version {backup.windlass_version} of Windlass, whose database is newer than this "
            f"version's: it has the migration {unknown[-1]}. Install that version or a newer one."
        )
    for name in sorted({*stores} - {*backup.stores}):
        raise BackupError(f"the backup has no objects of a store {name!r}; it has {', '.join(sorted(backup.stores))}")
    for name in sorted(backup.stores):
        target = stores.get(name, name)
        try:
            store(target).check()
        except StoreError as error:
            raise BackupError(
                f"the store {target!r}, for objects of the backup's store {name!r}, cannot be used: {error} "
                f"--store {name}=OTHER restores them into another store."
            ) from error


def _known_migrations() -> set[str]:
    return {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}


def _restore_secret_key(location: Store, backup: Backup, home: Path, *, keep_old: bool) -> None:
    """Write the backup's secret key into the home directory, unless another key is set. Raises SourceDamaged.

    ``keep_old``: keep the present one beside the database that is kept.
    """
    part, path = backup.secret_key, home / manifest.SECRET_KEY
    if part is None or conf.get().secret_key or not is_standalone():
        return
    restored = home / f"{manifest.SECRET_KEY}.restoring"
    fetch_file(location, backup.key(part.name), restored, part.size, part.sha256)
    if keep_old and path.exists() and path.read_bytes() != restored.read_bytes():
        path.rename(home / f"{manifest.SECRET_KEY}.replaced-{now():%Y%m%dT%H%M%S}")
    restored.rename(path)


@contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    for left in home.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=home) as name:
        yield Path(name)
