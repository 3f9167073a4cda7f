"""Access to the Django storage: opening the configured one, an instance for each thread, the breaker, and its errors.

A storage raises whatever its library raises. An error is translated by its Python type if that says enough, by the HTTP
status that most cloud libraries attach, and otherwise into StoreUnavailable.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage, storages
from django.core.files.storage.handler import InvalidStorageError

from windlass.storage.contract import ObjectMissing, StoreError, StoreFull, StoreUnavailable

_MEMORY_OPTION = "max_memory_size"  # of several storages of django-storages
#: A storage that reads whole objects spools larger ones to a temporary file. Its own default is often never to do so.
_MEMORY = 1024 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
#: Errors of a request that will not succeed however often it is sent.
_PERMANENT = (ArithmeticError, AttributeError, ImportError, LookupError, NotImplementedError, TypeError, ValueError)
#: HTTP statuses of a storage that may accept the request later. Wrong credentials count: an operator can correct them.
_TRANSIENT = {401, 403, 408, 429}


@dataclass(frozen=True)
class StorageName:
    """The storage that the settings name: an alias of Django's STORAGES, or a class by its dotted path. Picklable."""

    name: str
    """An alias if it has no dot."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self) -> Storage:
        """Return a new instance, or a shared one if threads can share it. Raises StoreError with the reason."""
        definition = {"BACKEND": self.name, "OPTIONS": self.options} if "." in self.name else self._alias()
        try:
            storage = storages.create_storage(definition)
        except InvalidStorageError as error:
            raise StoreError(f"DJANGO_STORAGE is {self.name!r}: {error}") from error
        except Exception as error:  # an operator must see whatever its constructor raises
            raise StoreError(f"DJANGO_STORAGE is {self.name!r}, which cannot be opened: {_text(error)}") from error
        if not isinstance(storage, Storage):
            raise StoreError(f"DJANGO_STORAGE is {self.name!r}, which is not a Django storage")
        return self._shared(storage)

    def _alias(self) -> dict[str, Any]:
        backends: Any = storages.backends
        definition: dict[str, Any] | None = backends.get(self.name)
        if definition is None:
            raise StoreError(
                f"DJANGO_STORAGE is {self.name!r}, and STORAGES in the Django settings has no such alias. "
                "A class is named by its dotted path."
            )
        if self.options:
            raise StoreError("DJANGO_STORAGE_OPTIONS is for a class. The options of an alias are in STORAGES.")
        return definition

    def _shared(self, storage: Storage) -> Storage:
        if "." not in self.name and is_thread_safe(storage):
            return storages[self.name]
        if getattr(storage, _MEMORY_OPTION, None) == 0:
            setattr(storage, _MEMORY_OPTION, _MEMORY)
        return storage


def is_thread_safe(storage: Storage) -> bool:
    """Whether threads can share one instance. Most storages hold a connection that threads cannot share."""
    return isinstance(storage, FileSystemStorage | InMemoryStorage)


def _text(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


class Gateway:
    """Thread-safe access to the storage. A forked child opens instances of its own."""

    def __init__(self, name: StorageName, guard: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Raises StoreError if the storage cannot be opened. ``guard`` is entered around each call over a network."""
        self._name = name
        self._local = threading.local()
        first = name.open()
        self._shared = first if is_thread_safe(first) else None
        self._local.pid, self._local.storage = os.getpid(), first
        self.root = _root(first)
        self.is_local = self.root is not None
        self._guard = nullcontext if self.is_local else guard

    @contextmanager
    def call(self, key: str) -> Iterator[Storage]:
        """Yield the storage; translate its errors. Raises StoreError."""
        with self._guard():
            try:
                yield self._instance()
            except StoreError:
                raise
            except Exception as error:  # a storage raises whatever its library raises
                raise self._translated(error, key) from error

    def path(self, key: str) -> Path:
        with self.call(key) as storage:
            return Path(storage.path(key))

    @contextmanager
    def find(self, key: str) -> Iterator[Storage]:
        """``call``, but raise ObjectMissing also for a storage that reports a missing object by another error."""
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
        """Whether the key names nothing, or a directory."""
        try:
            with self.call(key) as storage:
                return not storage.exists(key) or any(storage.listdir(key))
        except StoreError:
            return False

    def _translated(self, error: Exception, key: str) -> StoreError:
        translated = store_error(error, key)
        if isinstance(translated, ObjectMissing) and self.root is not None and not self.root.is_dir():
            # If a file system is not mounted, its objects may still exist.
            return StoreUnavailable("The storage's directory does not exist.")
        return translated

    def _instance(self) -> Storage:
        if self._shared is not None:
            return self._shared
        local = self._local
        if getattr(local, "pid", None) != os.getpid():
            local.storage, local.pid = self._name.open(), os.getpid()
        storage: Storage = local.storage
        return storage


def _root(storage: Storage) -> Path | None:
    """Return the directory of a file system storage and create it if it is missing; None for other storages."""
    if not isinstance(storage, FileSystemStorage):
        return None
    if not storage.base_location:
        raise StoreError("DJANGO_STORAGE keeps files in a directory, but its option `location` names none.")
    root = Path(storage.location)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"The storage's directory cannot be created: {error.strerror}") from error
    return root


def store_error(error: Exception, key: str) -> StoreError:
    """Return the error to raise. Its text names no address, bucket or credential; the library's own may."""
    reason = f"{key or 'the storage'}: {type(error).__name__}"
    status = _status(error)
    if isinstance(error, FileNotFoundError) or status == 404:
        return ObjectMissing(reason)
    if status is not None:
        return _of_http_status(status, f"{reason} ({status})")
    if isinstance(error, OSError):
        return _of_os_error(error, reason)
    if isinstance(error, (*_PERMANENT, ImproperlyConfigured, SuspiciousOperation)):
        return StoreError(reason)
    return StoreUnavailable(reason)


def _of_os_error(error: OSError, reason: str) -> StoreError:
    if error.errno in _FULL:
        return StoreFull(reason)
    return ObjectMissing(reason) if error.errno in _MISSING else StoreUnavailable(reason)


def _of_http_status(status: int, reason: str) -> StoreError:
    if status == 507:
        return StoreFull(reason)
    return StoreUnavailable(reason) if status in _TRANSIENT or status >= 500 else StoreError(reason)


def _status(error: Exception) -> int | None:
    """Return the HTTP status of an error of botocore, Azure, requests or Google."""
    response: Any = getattr(error, "response", None)
    status: Any = None
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    elif response is not None:
        status = getattr(response, "status_code", None)
    for name in ("status_code", "code"):
        status = getattr(error, name, None) if status is None else status
    return status if isinstance(status, int) and 400 <= status < 600 else None
