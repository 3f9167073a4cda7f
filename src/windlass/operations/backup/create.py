"""Make a backup while the server runs: first a snapshot of the database, then the objects that it names.

Stored objects are not deleted meanwhile (``files.start_backup``). An object whose bytes the location has is not copied
again, so a backup after the first one copies what is new, and one that was interrupted goes on where it was.
"""

from __future__ import annotations

import fcntl
import io
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import structlog
from django.db import close_old_connections

from windlass import conf
from windlass.conf.loading import is_standalone
from windlass.database.connection import atomic
from windlass.events.api import AuditAction, record_action
from windlass.files import api as files
from windlass.kernel.clock import monotonic, now, rfc3339
from windlass.operations.backup import catalogue, manifest
from windlass.operations.backup.errors import BackupError
from windlass.operations.backup.index import Index
from windlass.operations.backup.location import BACKUPS, locked, open_location, require_apart_from_stores
from windlass.operations.backup.manifest import Backup, Entry, Stored, object_name
from windlass.operations.backup.snapshot import Snapshot, take_snapshot
from windlass.operations.backup.transfer import (
    BLOCK,
    SourceDamaged,
    SourceUnavailable,
    opened,
    put_file,
    put_verified,
    read_block,
    sha256_of,
)
from windlass.operations.throttle import Stopped, Throttle
from windlass.storage.contract import Store, StoreError
from windlass.storage.registry import store

log = structlog.get_logger(__name__)

#: Objects that are copied at a time.
_THREADS = 4
_BATCH = 16 * _THREADS
#: How often the hold on stored objects is extended (seconds).
_EXTEND_SECONDS = 60.0
#: Pauses before further attempts when the store of an object does not answer (seconds).
_PAUSES = (2.0, 10.0, 40.0)
#: Prefix of the temporary directory in the home directory.
_SCRATCH = ".backup-"
#: Locked in the home directory while a backup runs.
_LOCK = "backup.lock"

#: Called with the bytes done and in total.
OnProgress = Callable[[int, int], None]
#: Called with each object that could not be backed up.
OnMissing = Callable[[Entry], None]


def make_backup(
    target: str,
    *,
    stop: threading.Event,
    secret_key: bool = True,
    bytes_per_second: float = 0,
    on_progress: OnProgress = lambda done, total: None,
    on_missing: OnMissing = lambda entry: None,
) -> Backup:
    """Back up this server to a directory or ``s3://bucket/prefix``.

    Raises BackupError, StoreError of the target, Stopped, DatabaseError. After an error, run it again.
    """
    settings = conf.get()
    require_apart_from_stores(
        target, {name: each for name in conf.known_stores(settings) if (each := conf.store_settings(settings, name))}
    )
    location = open_location(target, settings, create=True)
    with _only_backup(settings.windlass_home), locked(target), _scratch(settings.windlass_home) as scratch:
        location.check()
        _require_stores(location)
        catalogue.clear_interrupted(location)
        run = files.start_backup(target)
        try:
            progress = _Progress(Throttle(bytes_per_second, stop), run, on_progress)
            backup = _BackupRun(location, scratch, progress, on_missing).make(stop, secret_key=secret_key)
        except BaseException:  # also where it is stopped: deletions must not wait for a backup that has ended
            files.abandon_backup(run)
            raise
        counts = {"objects": backup.objects, "size": backup.bytes, "missing": backup.missing}
        with atomic():
            files.finish_backup(run, **counts)
            record_action(AuditAction.BACKUP_MADE, subject=backup.id, detail=counts)
    return backup


@dataclass(slots=True)
class _Progress:
    """Counts bytes for several threads, limits their rate, and extends the hold."""

    throttle: Throttle
    run: files.BackupRun
    on_progress: OnProgress
    total: int = 0
    _done: int = 0
    _extended_at: float = field(default_factory=monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, size: int) -> None:
        """Raises Stopped."""
        with self._lock:
            self.throttle.wait(size)

    def done(self, size: int) -> None:
        """Call it in the main thread. Raises BackupError if the hold has expired, Stopped."""
        self._done += size
        if self.total:
            self.on_progress(min(self._done, self.total), self.total)
        self.throttle.wait(0)
        if monotonic() - self._extended_at < _EXTEND_SECONDS:
            return
        close_old_connections()
        if not files.extend_backup(self.run):
            raise BackupError("the backup was paused for so long that objects may have been deleted; run it again")
        self._extended_at = monotonic()


class _BackupRun:
    def __init__(self, location: Store, scratch: Path, progress: _Progress, on_missing: OnMissing) -> None:
        self._location, self._scratch, self._progress, self._on_missing = location, scratch, progress, on_missing
        self._index = Index(scratch / "index.sqlite3")
        self._lock = threading.Lock()
        self._copied = self._copied_bytes = 0

    def make(self, stop: threading.Event, *, secret_key: bool) -> Backup:
        started = now()
        backup_id = manifest.new_backup_id(started)
        self._fill_index()
        snapshot = take_snapshot(self._scratch, stop)
        self._progress.total = snapshot.bytes
        listing = self._scratch / manifest.OBJECT_LIST
        count, size, missing = self._copy_all(snapshot, listing)
        backup = Backup(
            id=backup_id,
            created_at=str(rfc3339(started)),
            database_vendor=snapshot.vendor,
            database_version=snapshot.version,
            database=self._put_part(backup_id, snapshot.database.name, snapshot.database),
            object_list=self._put_part(backup_id, manifest.OBJECT_LIST, listing),
            stores=snapshot.stores,
            migrations=snapshot.migrations,
            objects=count,
            bytes=size,
            missing=missing,
            copied=self._copied,
            copied_bytes=self._copied_bytes,
            secret_key=self._copy_secret_key(backup_id) if secret_key else None,
        )
        manifest.write_summary(self._location, backup)
        return backup

    def _fill_index(self) -> None:
        for info in catalogue.present_objects(self._location):
            self._index.add_present(info.key.rpartition("/")[2], info.size)
            self._progress.done(0)
        backups = manifest.list_backups(self._location)
        if backups:
            self._index.add_earlier(manifest.read_entries(self._location, backups[-1]))

    def _copy_all(self, snapshot: Snapshot, listing: Path) -> tuple[int, int, int]:
        """Return how many objects the backup has, their bytes, and how many are missing."""
        count = size = missing = 0
        with ThreadPoolExecutor(_THREADS, "windlass-backup") as pool, listing.open("wb") as file:
            for batch in _batches(snapshot.named()):
                for entry in pool.map(self._copy, batch):
                    file.write(entry.line())
                    if entry.missing:
                        missing += 1
                        self._on_missing(entry)
                    else:
                        count, size = count + 1, size + entry.size
                    self._progress.done(entry.size)
        return count, size, missing

    def _copy(self, named: files.NamedObject) -> Entry:
        """Copy one object if the location does not have its bytes. Runs in a thread, without the database."""
        known = named.sha256 or self._index.earlier_sha256(named)
        try:
            if known is None or not self._index.is_present(known, named.size):
                known = self._copy_patiently(named)
        except SourceDamaged as error:
            return Entry(named.store, named.key, named.size, "", named.version, missing=str(error))
        return Entry(named.store, named.key, named.size, known, named.version)

    def _copy_patiently(self, named: files.NamedObject) -> str:
        """``_copy_bytes``, tried again if the object's store does not answer."""
        stop = self._progress.throttle.stop
        for pause in _PAUSES:
            try:
                return self._copy_bytes(named)
            except SourceUnavailable as error:
                log.warning("backup.store_unavailable", store=named.store, reason=str(error))
            if stop.wait(pause):
                raise Stopped
        return self._copy_bytes(named)

    def _copy_bytes(self, named: files.NamedObject) -> str:
        """Return the SHA-256. Raises SourceDamaged, SourceUnavailable, Stopped, and StoreError of the location."""
        with opened(store(named.store), named.key) as source:
            if named.sha256 is not None:
                self._put(source, named.size, named.sha256)
                return named.sha256
            if named.size <= BLOCK:
                source = io.BytesIO(read_block(source, BLOCK + 1))
            sha256, size = sha256_of(source, self._progress.read)
            if size != named.size:
                raise SourceDamaged(f"it has {size} bytes, and its record says {named.size}")
            if not self._index.is_present(sha256, size):
                source.seek(0)
                self._put(source, size, sha256)
            return sha256

    def _put(self, source: BinaryIO, size: int, sha256: str) -> None:
        put_verified(self._location, object_name(sha256), source, size, sha256, self._progress.read)
        self._index.add_present(sha256, size)
        with self._lock:
            self._copied, self._copied_bytes = self._copied + 1, self._copied_bytes + size

    def _copy_secret_key(self, backup_id: str) -> Stored | None:
        """Copy the key that signs URLs and sessions, if it is the generated one in the home directory."""
        path = conf.get().windlass_home / manifest.SECRET_KEY
        if not is_standalone() or conf.get().secret_key or not path.exists():
            return None
        return self._put_part(backup_id, manifest.SECRET_KEY, path)

    def _put_part(self, backup_id: str, name: str, path: Path) -> Stored:
        key = f"{BACKUPS}{backup_id}/{name}"
        size, sha256 = put_file(self._location, key, path, self._progress.read)
        self._progress.done(0)
        return Stored(name, size, sha256)


def _require_stores(location: Store) -> None:
    """Raises BackupError if a store that records name is not configured, or if a backup would undo its encryption."""
    for name in files.stores_in_use():
        try:
            encrypted = store(name).capabilities.encrypted
        except StoreError as error:
            raise BackupError(str(error)) from error
        if encrypted and not location.capabilities.encrypted:
            raise BackupError(
                f"the store {name!r} is encrypted, and the backup would not be: set BACKUP_ENCRYPTION_KEY to a key "
                "that `windlass encryption-key` generates, and keep it apart from the backups"
            )


@contextmanager
def _only_backup(home: Path) -> Iterator[None]:
    """Hold the lock of this home's backups. Raises BackupError."""
    with (home / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError("another backup of this server is running") from None
        yield


@contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    """A directory for the snapshot. Removes what a killed backup left: only one runs at a time."""
    for left in home.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=home) as name:
        yield Path(name)


def _batches(named: Iterator[files.NamedObject]) -> Iterator[list[files.NamedObject]]:
    while batch := list(islice(named, _BATCH)):
        yield batch
