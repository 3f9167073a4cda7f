"""The one door to the storage: an instance for each thread, the breaker around it, and its errors in our words."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from django.core.files.storage import FileSystemStorage, Storage

from windlass.storage.contract import ObjectMissing, StoreError, StoreUnavailable
from windlass.storage.django_storage.errors import told
from windlass.storage.django_storage.opening import Named, shares


class Door:
    """Safe for any number of threads. A forked child makes instances of its own."""

    def __init__(self, named: Named, guard: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Raises StoreError where the storage cannot be opened. ``guard`` goes around each call over a network."""
        self._named = named
        self._of_thread = threading.local()
        first = named.open()
        self._shared = first if shares(first) else None
        self._of_thread.pid, self._of_thread.storage = os.getpid(), first
        self.root = _root(first)
        self.is_local = self.root is not None
        self._guard = nullcontext if self.is_local else guard

    @contextmanager
    def call(self, key: str) -> Iterator[Storage]:
        """The storage, inside the translation of its errors. Raises StoreError."""
        with self._guard():
            try:
                yield self._ours()
            except StoreError:
                raise
            except Exception as error:  # a storage raises whatever its library raises
                raise self._told(error, key) from error

    def path(self, key: str) -> Path:
        """Where a local storage has it."""
        with self.call(key) as storage:
            return Path(storage.path(key))

    @contextmanager
    def find(self, key: str) -> Iterator[Storage]:
        """``call``, which raises ObjectMissing also for storages that say so in words of their own."""
        try:
            with self.call(key) as storage:
                yield storage
        except ObjectMissing:
            raise
        except StoreError as error:
            if not self.is_local and self._is_absent(key):
                raise ObjectMissing(key) from error
            raise

    def size(self, key: str) -> int:
        """Raises ObjectMissing."""
        with self.find(key) as storage:
            return int(storage.size(key))

    def _is_absent(self, key: str) -> bool:
        """Whether there is nothing, or a directory."""
        try:
            with self.call(key) as storage:
                return not storage.exists(key) or any(storage.listdir(key))
        except StoreError:
            return False

    def _told(self, error: Exception, key: str) -> StoreError:
        found = told(error, key)
        if isinstance(found, ObjectMissing) and self.root is not None and not self.root.is_dir():
            # A file system that is not mounted says nothing about the objects on it.
            return StoreUnavailable("The storage's directory is not there.")
        return found

    def _ours(self) -> Storage:
        if self._shared is not None:
            return self._shared
        mine = self._of_thread
        if getattr(mine, "pid", None) != os.getpid():
            mine.storage, mine.pid = self._named.open(), os.getpid()
        found: Storage = mine.storage
        return found


def _root(storage: Storage) -> Path | None:
    """The directory of a file system's storage, made where it is missing."""
    if not isinstance(storage, FileSystemStorage):
        return None
    if not storage.base_location:
        raise StoreError("DJANGO_STORAGE keeps files in a directory, and no option `location` says in which.")
    root = Path(storage.location)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"The storage's directory cannot be made: {error.strerror}") from error
    return root
