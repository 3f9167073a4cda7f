"""Objects as files below one directory; a key is the path. An object is written where it stays and never renamed.

Writers lock their object with ``flock``, and their region of it with a lock on those bytes. The kernel frees a lock
when its holder dies and keeps it while the holder is merely stopped, which is exactly when its bytes could still come.
A forked child would hold it too, so ``close`` unlocks instead of counting on the last descriptor.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from windlass.storage import posix
from windlass.storage.contract import (
    Buffer,
    Capabilities,
    ObjectInfo,
    ObjectMissing,
    State,
    Store,
    StoreError,
    StoreUnavailable,
    WriterBusy,
)
from windlass.storage.local_writer import ENTRY_UNSYNCED, LocalWriter

if TYPE_CHECKING:
    from windlass.conf import Settings

_KEY = re.compile(r"[a-z0-9._-]+(?:/[a-z0-9._-]+)*")
_NAME = re.compile(r"[a-z0-9._-]+")
_COPY_SIZE = 1024 * 1024
_ATTEMPTS = 16


def from_settings(settings: Settings) -> LocalStore:
    """Raises StoreUnavailable where the media directory cannot be made."""
    return LocalStore(settings.media_directory)


class LocalStore(Store):
    """See ``contract.Store``. Has no state of its own: any number of threads and processes may share a directory."""

    name = "local"
    capabilities = Capabilities(
        random_writes=True,
        local_files=True,
        min_chunk_size=1024,
        max_chunk_size=64 * 1024 * 1024,
    )

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        with posix.store_errors(""):
            os.makedirs(self._root, mode=0o700, exist_ok=True)

    def create(
        self, key: str, *, durable: bool = True, at_most: int | None = None, chunk_size: int | None = None
    ) -> State:
        """Raises StoreError where the key is taken."""
        parents, name = _split(key)
        descriptor = self._make(parents, name, key)
        os.close(descriptor)
        if not durable:
            return {ENTRY_UNSYNCED: True}
        try:
            self.sync_entry(key)
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
                posix.lock_region(descriptor, *region)
        except BlockingIOError:
            os.close(descriptor)
            raise WriterBusy(f"{key}: another writer has it open") from None
        except BaseException:
            os.close(descriptor)
            raise
        return LocalWriter(key, state, descriptor, self.sync_entry, self._open_source)

    def complete(
        self, key: str, state: State, size: int, *, durable: bool = True, chunks: Sequence[State] = ()
    ) -> None:
        descriptor = self._open(key, os.O_RDWR)
        try:
            with posix.store_errors(key):
                there = os.fstat(descriptor).st_size
                if there < size:
                    raise StoreError(f"{key}: {there} bytes are there, {size} are to be")
                if there > size:
                    os.ftruncate(descriptor, size)
            if durable:
                posix.sync_data(descriptor)
        finally:
            os.close(descriptor)
        if durable and state.get(ENTRY_UNSYNCED):
            self.sync_entry(key)

    def put_whole(self, key: str, buffers: Sequence[Buffer], *, durable: bool = True) -> State:
        """Needs no lock: nobody else knows the key yet."""
        parents, name = _split(key)
        descriptor = self._make(parents, name, key)
        try:
            with posix.store_errors(key):
                posix.write_all(descriptor, 0, buffers)
            if durable:
                posix.sync_data(descriptor)
        finally:
            os.close(descriptor)
        if not durable:
            return {ENTRY_UNSYNCED: True}
        self.sync_entry(key)
        return {}

    def discard(self, key: str, state: State) -> int:
        return self.delete(key)

    def put(self, key: str, source: BinaryIO, size: int) -> None:
        """Raises StoreError, and keeps what was there, where ``source`` ends before ``size`` bytes."""
        parents, name = _split(key)
        temporary = f".put-{secrets.token_hex(8)}"  # a key like any other: the sweep finds it after a crash
        descriptor = self._make(parents, temporary, key)
        try:
            with posix.store_errors(key), posix.directory(self._root, parents) as parent:
                try:
                    _copy(descriptor, source, size, key)
                    posix.sync_data(descriptor)
                    os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
                except BaseException:
                    with suppress(OSError):
                        os.unlink(temporary, dir_fd=parent)
                    raise
                posix.sync_directory(parent)
        finally:
            os.close(descriptor)

    def open(self, key: str) -> BinaryIO:
        return os.fdopen(self._open(key, os.O_RDONLY), "rb")

    def info(self, key: str) -> ObjectInfo:
        descriptor = self._open(key, os.O_RDONLY)
        try:
            return _info(key, os.fstat(descriptor))
        finally:
            os.close(descriptor)

    def delete(self, key: str) -> int:
        parents, name = _split(key)
        try:
            with posix.store_errors(key):
                return self._unlink(parents, name)
        except ObjectMissing:
            return 0

    def objects(self, prefix: str = "", *, unless: Callable[[str], bool] | None = None) -> Iterator[ObjectInfo]:
        """Files that no key could name, such as ``lost+found`` or what an operator left there, are passed over."""
        top = prefix.rpartition("/")[0]
        parents = _parts(top) if top else []
        try:
            with posix.store_errors(prefix), posix.directory(self._root, parents) as here:
                for found in _walk(here, f"{top}/" if top else ""):
                    if found.key.startswith(prefix) and not (unless and unless(found.key)):
                        yield found
        except ObjectMissing:
            return

    def check(self, *, thorough: bool = False) -> None:
        key, probe = f".check-{secrets.token_hex(8)}", secrets.token_bytes(64)
        descriptor = self._make([], key, key)
        try:
            with posix.store_errors(key):
                posix.write_all(descriptor, 0, [probe])
            posix.sync_data(descriptor)
            with self.open(key) as stored:
                if stored.read() != probe:
                    raise StoreError("The store does not give back what was written to it.")
        finally:
            os.close(descriptor)
            self.delete(key)

    def local_path(self, key: str) -> Path:
        return Path(self._root, *_parts(key))

    def sync_entry(self, key: str) -> None:
        """Make the object's name durable. The directories above it were when they were made."""
        parents, _ = _split(key)
        with posix.store_errors(key), posix.directory(self._root, parents) as parent:
            posix.sync_directory(parent)

    def _make(self, parents: Sequence[str], name: str, key: str) -> int:
        """A descriptor of a new, empty file; its directories are made where they are missing."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        with posix.store_errors(key):
            for _ in range(_ATTEMPTS):
                # A delete elsewhere may take the directory away, empty as it still is, before the file is in it.
                with suppress(FileNotFoundError), posix.directory(self._root, parents, make=True) as parent:
                    return posix.open_regular(name, flags, parent)
        raise StoreUnavailable(f"{key}: its directory was removed each time it was made")

    def _open(self, key: str, flags: int) -> int:
        parents, name = _split(key)
        with posix.store_errors(key), posix.directory(self._root, parents) as parent:
            return posix.open_regular(name, flags, parent)

    def _open_source(self, key: str) -> int:
        return self._open(key, os.O_RDONLY)

    def _unlink(self, parents: Sequence[str], name: str) -> int:
        with posix.directory(self._root, parents) as parent:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                return 0
            os.unlink(name, dir_fd=parent)
        if parents:
            with suppress(OSError), posix.directory(self._root, parents[:-1]) as above:
                os.rmdir(parents[-1], dir_fd=above)  # refused while anything is in it
        return found.st_size


def _parts(key: str) -> list[str]:
    parts = key.split("/")
    if not _KEY.fullmatch(key) or not {".", ".."}.isdisjoint(parts):
        raise StoreError(f"{key!r} is no key of this store")
    return parts


def _split(key: str) -> tuple[list[str], str]:
    """The directories of a key, and the name in the last of them."""
    *parents, name = _parts(key)
    return parents, name


def _info(key: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _copy(descriptor: int, source: BinaryIO, size: int, key: str) -> None:
    done = 0
    while done < size:
        block = source.read(min(_COPY_SIZE, size - done))
        if not block:
            raise StoreError(f"{key}: the source ended after {done} of {size} bytes")
        done += posix.write_all(descriptor, done, [block])


def _walk(here: int, prefix: str) -> Iterator[ObjectInfo]:
    with os.scandir(here) as entries:
        for entry in entries:
            key = prefix + entry.name
            with suppress(FileNotFoundError):  # deleted since the directory was read
                if not _NAME.fullmatch(entry.name):
                    continue
                if entry.is_file(follow_symlinks=False):
                    yield _info(key, entry.stat(follow_symlinks=False))
                elif entry.is_dir(follow_symlinks=False):
                    with posix.subdirectory(here, entry.name) as below:
                        yield from _walk(below, f"{key}/")
