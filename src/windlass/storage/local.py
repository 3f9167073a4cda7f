"""The local store: each object is a file below one directory, and its key is the path. It is never renamed.

A writer locks its object with ``flock``, and its region with a lock on those bytes. The kernel frees a lock when its
holder dies and keeps it while the holder is stopped and could still write. A forked child shares the lock, so ``close``
unlocks explicitly instead of relying on the last descriptor being closed.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from windlass.kernel import object_keys
from windlass.storage import posix_files
from windlass.storage.contract import (
    Buffer,
    Capabilities,
    ObjectInfo,
    ObjectMissing,
    State,
    Store,
    StoreError,
    StoreUnavailable,
    SyncFailed,
    Writer,
    WriterBusy,
    check_key,
    is_key,
)

if TYPE_CHECKING:
    from windlass.conf import Settings

_COPY_SIZE = 1024 * 1024
_ATTEMPTS = 16
#: In the state of an object whose directory entry has not been made durable yet.
ENTRY_UNSYNCED = "entry_unsynced"


def from_settings(settings: Settings) -> LocalStore:
    """Raises StoreUnavailable if the media directory cannot be created."""
    return LocalStore(settings.media_directory)


class LocalStore(Store):
    """See ``contract.Store``. Stateless: any number of threads and processes may share a directory."""

    name = "local"
    capabilities = Capabilities(
        random_writes=True, local_files=True, min_chunk_size=1024, max_chunk_size=64 * 1024 * 1024
    )

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        with posix_files.store_errors(""):
            os.makedirs(self._root, mode=0o700, exist_ok=True)

    def create(
        self, key: str, *, durable: bool = True, at_most: int | None = None, chunk_size: int | None = None
    ) -> State:
        """Raises StoreError if the key is in use."""
        with self._create_file(*_split(key), key) as (_, parent):
            if not durable:
                return {ENTRY_UNSYNCED: True}
            try:
                posix_files.sync_directory(parent)
            except StoreError:
                with suppress(StoreError):  # the sweep finds it
                    self.discard(key, {})
                raise
        return {}

    def open_writer(
        self, key: str, state: State, *, shared: bool = False, region: tuple[int, int] | None = None
    ) -> LocalWriter:
        descriptor = self._open(key, os.O_RDWR)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink == 0:
                raise ObjectMissing(f"{key}: it was deleted a moment ago")
            if region is not None:
                posix_files.lock_region(descriptor, *region)
        except BlockingIOError:
            os.close(descriptor)
            raise WriterBusy(f"{key}: another writer has it open") from None
        except BaseException:  # whatever interrupts it: an open descriptor would keep the lock
            os.close(descriptor)
            raise
        open_source = partial(self._open, flags=os.O_RDONLY)
        return LocalWriter(key, dict(state), descriptor, self.sync_entry, open_source, has_region=region is not None)

    def complete(
        self, key: str, state: State, size: int, *, durable: bool = True, chunks: Sequence[State] = ()
    ) -> None:
        with posix_files.closing(self._open(key, os.O_RDWR)) as descriptor:
            with posix_files.store_errors(key):
                _cut_at(size, descriptor, key, os.fstat(descriptor).st_size)
            if durable:
                posix_files.sync_data(descriptor)
        if durable and state.get(ENTRY_UNSYNCED):
            self.sync_entry(key)

    def put_whole(self, key: str, buffers: Sequence[Buffer], *, durable: bool = True) -> State:
        """Take no lock: nobody else knows the key yet."""
        with self._create_file(*_split(key), key) as (descriptor, parent):
            with posix_files.store_errors(key):
                posix_files.write_all(descriptor, 0, buffers)
            if not durable:
                return {ENTRY_UNSYNCED: True}
            posix_files.sync_data(descriptor)
            posix_files.sync_directory(parent)
        return {}

    def discard(self, key: str, state: State) -> int:
        return self.delete(key)

    def put(self, key: str, source: BinaryIO, size: int) -> None:
        """Raises StoreError and keeps the old object if ``source`` ends before ``size`` bytes."""
        parents, name = _split(key)
        temporary = f".put-{secrets.token_hex(8)}"  # an ordinary key: the sweep finds it after a crash
        with (
            self._create_file(parents, temporary, key) as (descriptor, parent),
            posix_files.store_errors(key),
        ):
            try:
                _write_from(descriptor, source, size, key)
                posix_files.sync_data(descriptor)
                os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:  # also of the source, whatever it raises
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=parent)
                raise
            posix_files.sync_directory(parent)

    def open(self, key: str) -> BinaryIO:
        return os.fdopen(self._open(key, os.O_RDONLY), "rb")

    def info(self, key: str) -> ObjectInfo:
        with posix_files.closing(self._open(key, os.O_RDONLY)) as descriptor:
            return _info(key, os.fstat(descriptor))

    def delete(self, key: str) -> int:
        parents, name = _split(key)
        try:
            with posix_files.store_errors(key), posix_files.directory(self._root, parents) as parent:
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
                if not stat.S_ISREG(status.st_mode):
                    return 0
                os.unlink(name, dir_fd=parent)
        except ObjectMissing:
            return 0
        if parents:
            with suppress(OSError), posix_files.directory(self._root, parents[:-1]) as above:
                os.rmdir(parents[-1], dir_fd=above)  # refused while anything is in it
        return status.st_size

    def objects(self, prefix: str = "", *, unless: Callable[[str], bool] | None = None) -> Iterator[ObjectInfo]:
        """Files whose names are not keys, such as ``lost+found`` or an operator's files, are left out."""
        top = prefix.rpartition("/")[0]
        parents = check_key(top).split("/") if top else []
        try:
            with posix_files.store_errors(prefix), posix_files.directory(self._root, parents) as here:
                for info in _walk(here, f"{top}/" if top else ""):
                    if info.key.startswith(prefix) and not (unless and unless(info.key)):
                        yield info
        except ObjectMissing:
            return

    def check(self, *, thorough: bool = False) -> None:
        key, probe = f"{object_keys.CHECKS}{secrets.token_hex(8)}", secrets.token_bytes(64)
        try:
            self.put_whole(key, [probe])
            with self.open(key) as stored:
                if stored.read() != probe:
                    raise StoreError("The store does not return what was written to it.")
        finally:
            self.delete(key)

    def local_path(self, key: str) -> Path:
        return Path(self._root, check_key(key))

    def sync_entry(self, key: str) -> None:
        """Make the object's directory entry durable; the directories above were made durable when they were created."""
        parents, _ = _split(key)
        with posix_files.store_errors(key), posix_files.directory(self._root, parents) as parent:
            posix_files.sync_directory(parent)

    @contextmanager
    def _create_file(self, parents: Sequence[str], name: str, key: str) -> Iterator[tuple[int, int]]:
        """Create an empty file and its missing directories; yield its descriptor and that of its directory."""
        with posix_files.store_errors(key):
            descriptor, parent = self._open_new(parents, name, key)
        try:
            yield descriptor, parent
        finally:
            os.close(parent)
            os.close(descriptor)

    def _open_new(self, parents: Sequence[str], name: str, key: str) -> tuple[int, int]:
        for _ in range(_ATTEMPTS):
            # A concurrent delete may remove the directory while it is still empty.
            with suppress(FileNotFoundError):
                parent = posix_files.open_path(self._root, parents, make=True)
                try:
                    return posix_files.open_regular(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, parent), parent
                except BaseException:
                    os.close(parent)
                    raise
        raise StoreUnavailable(f"{key}: its directory was removed each time it was created")

    def _open(self, key: str, flags: int) -> int:
        parents, name = _split(key)
        with posix_files.store_errors(key), posix_files.directory(self._root, parents) as parent:
            return posix_files.open_regular(name, flags, parent)


@dataclass(eq=False)
class LocalWriter(Writer):
    """See ``contract.Writer``. Once a sync has failed, every further write and sync fails too.

    ``descriptor`` is open and locked; the writer closes it. ``open_source`` opens another object for reading.
    ``has_region``: a region is locked as well.
    """

    key: str
    state: State
    descriptor: int
    sync_entry: Callable[[str], None]
    open_source: Callable[[str], int]
    has_region: bool = False
    sync_failed: bool = False
    closed: bool = False

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        self._require_sound()
        with posix_files.store_errors(self.key):
            return posix_files.write_all(self.descriptor, offset, buffers)

    def copy(self, offset: int, source: str, start: int, size: int) -> int:
        """The kernel copies, or shares the blocks if the file system can."""
        self._require_sound()
        with posix_files.closing(self.open_source(source)) as descriptor, posix_files.store_errors(self.key):
            copied = posix_files.copy_range(descriptor, start, self.descriptor, offset, size)
        if copied < size:
            raise StoreError(f"{source}: it ends {size - copied} bytes too early")
        return copied

    def truncate(self, size: int) -> bool:
        self._require_sound()
        with posix_files.store_errors(self.key):
            if os.fstat(self.descriptor).st_size > size:
                os.ftruncate(self.descriptor, size)
        return True

    def is_longer_than(self, size: int) -> bool:
        with posix_files.store_errors(self.key):
            return os.fstat(self.descriptor).st_size > size

    def finish(self, size: int, *, durable: bool = True) -> State:
        self._require_sound()
        with posix_files.store_errors(self.key):
            status = os.fstat(self.descriptor)
            if status.st_nlink == 0:
                raise ObjectMissing(f"{self.key}: it was deleted while it was written")
            _cut_at(size, self.descriptor, self.key, status.st_size)
        return self.sync(durable=durable)

    def start_sync(self, offset: int, size: int) -> None:
        posix_files.start_writeback(self.descriptor, offset, size)

    def sync(self, *, durable: bool = True) -> State:
        self._require_sound()
        if not durable:
            return dict(self.state)
        try:
            posix_files.sync_data(self.descriptor)
            if self.state.pop(ENTRY_UNSYNCED, False):
                self.sync_entry(self.key)
        except StoreError as error:
            self.sync_failed = True
            raise error if isinstance(error, SyncFailed) else SyncFailed(str(error)) from error
        return dict(self.state)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        with suppress(OSError):  # closing the descriptor unlocks in any case
            if self.has_region:
                posix_files.unlock_regions(self.descriptor)
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)

    def _require_sound(self) -> None:
        if self.sync_failed:
            raise SyncFailed(f"{self.key}: an earlier sync failed, and what it lost is unknown")


def _split(key: str) -> tuple[list[str], str]:
    """Return the directories of a key, and the file name."""
    *parents, name = check_key(key).split("/")
    return parents, name


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _cut_at(size: int, descriptor: int, key: str, actual: int) -> None:
    """Drop those of the ``actual`` bytes that are beyond ``size``. Raises StoreError if there are fewer."""
    if actual < size:
        raise StoreError(f"{key}: it has {actual} bytes instead of {size}")
    if actual > size:
        os.ftruncate(descriptor, size)


def _write_from(descriptor: int, source: BinaryIO, size: int, key: str) -> None:
    done = 0
    while done < size:
        block = source.read(min(_COPY_SIZE, size - done))
        if not block:
            raise StoreError(f"{key}: the source ended after {done} of {size} bytes")
        done += posix_files.write_all(descriptor, done, [block])


def _walk(here: int, prefix: str) -> Iterator[ObjectInfo]:
    with os.scandir(here) as entries:
        for entry in entries:
            key = prefix + entry.name
            with suppress(FileNotFoundError):  # deleted since the directory was read
                if not is_key(entry.name):
                    continue
                if entry.is_file(follow_symlinks=False):
                    yield _info(key, entry.stat(follow_symlinks=False))
                elif entry.is_dir(follow_symlinks=False):
                    with posix_files.closing(posix_files.open_directory(here, entry.name)) as below:
                        yield from _walk(below, f"{key}/")
