"""Writes one object of the local store, through a descriptor that holds the object's lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from windlass.storage import posix
from windlass.storage.contract import Buffer, ObjectMissing, State, StoreError, SyncFailed, Writer

#: In the state of an object whose directory entry has not been made durable yet.
ENTRY_UNSYNCED = "entry_unsynced"


class LocalWriter(Writer):
    """See ``contract.Writer``. Once a sync has failed, every further write and sync fails too."""

    def __init__(
        self,
        key: str,
        state: State,
        descriptor: int,
        sync_entry: Callable[[str], None],
        open_source: Callable[[str], int],
    ) -> None:
        """``descriptor`` is open and locked, and the writer's from now on.

        ``open_source`` opens another object for reading."""
        self._key = key
        self._sync_entry = sync_entry
        self._open_source = open_source
        self._state = dict(state)
        self._descriptor = descriptor
        self._poisoned = False
        self._closed = False

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        self._must_be_sound()
        with posix.store_errors(self._key):
            return posix.write_all(self._descriptor, offset, buffers)

    def copy(self, offset: int, source: str, start: int, size: int) -> int:
        """The kernel copies, or shares the blocks where the file system can."""
        self._must_be_sound()
        descriptor = self._open_source(source)
        try:
            with posix.store_errors(self._key):
                copied = posix.copy_range(descriptor, start, self._descriptor, offset, size)
        finally:
            os.close(descriptor)
        if copied < size:
            raise StoreError(f"{source}: it ends {size - copied} bytes too early")
        return copied

    def truncate(self, size: int) -> bool:
        self._must_be_sound()
        with posix.store_errors(self._key):
            if os.fstat(self._descriptor).st_size > size:
                os.ftruncate(self._descriptor, size)
        return True

    def finish(self, size: int, *, durable: bool = True) -> State:
        self._must_be_sound()
        with posix.store_errors(self._key):
            found = os.fstat(self._descriptor)
            if found.st_nlink == 0:
                raise ObjectMissing(f"{self._key}: it was deleted while it was written")
            if found.st_size < size:
                raise StoreError(f"{self._key}: it has {found.st_size} bytes instead of {size}")
            if found.st_size > size:
                os.ftruncate(self._descriptor, size)
        return self.sync(durable=durable)

    def sync(self, *, durable: bool = True) -> State:
        self._must_be_sound()
        if not durable:
            return dict(self._state)
        try:
            posix.sync_data(self._descriptor)
            if self._state.pop(ENTRY_UNSYNCED, False):
                self._sync_entry(self._key)
        except StoreError as error:
            self._poisoned = True
            raise error if isinstance(error, SyncFailed) else SyncFailed(str(error)) from error
        return dict(self._state)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with suppress(OSError):  # closing frees what the locks protect in any case
            posix.unlock_regions(self._descriptor)
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)

    def _must_be_sound(self) -> None:
        if self._poisoned:
            raise SyncFailed(f"{self._key}: an earlier sync failed; what it lost is not known")
