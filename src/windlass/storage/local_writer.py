"""Writes one object of the local store, through a descriptor that holds the object's lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from windlass.storage import posix
from windlass.storage.contract import Buffer, State, StoreError, SyncFailed

#: In the state of an object whose directory entry has not been made durable yet.
ENTRY_UNSYNCED = "entry_unsynced"


class LocalWriter:
    """See ``contract.Writer``. Once a sync has failed, every further write and sync fails too."""

    def __init__(self, key: str, state: State, descriptor: int, sync_entry: Callable[[str], None]) -> None:
        """``descriptor`` is open and locked, and the writer's from now on."""
        self._key = key
        self._sync_entry = sync_entry
        self._state = dict(state)
        self._descriptor = descriptor
        self._poisoned = False
        self._closed = False

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        self._must_be_sound()
        with posix.store_errors(self._key):
            return posix.write_all(self._descriptor, offset, buffers)

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
        with suppress(OSError):  # closing frees what the lock protects in any case
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)

    def _must_be_sound(self) -> None:
        if self._poisoned:
            raise SyncFailed(f"{self._key}: an earlier sync failed; what it lost is not known")
