"""A staged file becomes an object, under exactly its key."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.files import File

from windlass.storage import posix
from windlass.storage.contract import ObjectMissing, StoreError, StoreUnavailable
from windlass.storage.django_storage.door import Door

if TYPE_CHECKING:
    BytesFile = File[bytes]
else:
    BytesFile = File

_ATTEMPTS = 8


class Staged(BytesFile):
    """What a storage is given to save. One that keeps files in a file system takes it by renaming it."""

    def __init__(self, path: Path, key: str) -> None:
        super().__init__(path.open("rb"), name=key)
        self._path = path

    def temporary_file_path(self) -> str:
        return str(self._path)


def save(door: Door, key: str, staged: Path, size: int) -> None:
    """Save the file, replacing what has this key. It may be gone afterwards. Repeatable.

    Raises StoreError where the storage gave it another name, or has another size of it.
    """
    _take_away_what_is_there(door, key)
    name = _save(door, key, staged)
    if name != key:
        with door.call(name) as storage:
            storage.delete(name)
        raise StoreError(f"{key}: the storage saves it as {name}. It must keep the names that it is given.")
    there = door.size(key)
    if there != size:
        raise StoreError(f"{key}: the storage has {there} bytes of it after saving {size}")
    if door.is_local:
        _make_durable(door.path(key), key)


def _take_away_what_is_there(door: Door, key: str) -> None:
    """Storages that do not overwrite would give the new one another name."""
    with door.call(key) as storage:
        if storage.get_available_name(key) != key:
            storage.delete(key)


def _save(door: Door, key: str, staged: Path) -> str:
    for attempt in range(_ATTEMPTS):
        try:
            with door.call(key) as storage, Staged(staged, key) as content:
                return storage.save(key, content)
        except ObjectMissing as error:
            # A delete elsewhere takes a directory away, empty as it still is, before the file is in it.
            if not door.is_local or attempt == _ATTEMPTS - 1 or not staged.exists():
                raise StoreUnavailable(f"{key}: the storage has no place for it ({error})") from error.__cause__
    raise AssertionError("unreachable")


def _make_durable(path: Path, key: str) -> None:
    """The names of the file and of the directories that were made for it. Its bytes were synced while staged, or are
    here. Raises SyncFailed."""
    with posix.store_errors(key):
        _sync(path, posix.sync_data)
        for directory, _ in zip(path.parents, key.split("/"), strict=False):
            _sync(directory, posix.sync_directory)


def _sync(path: Path, how: posix.Sync) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        how(descriptor)
    finally:
        os.close(descriptor)


def remove_empty_directory(path: Path) -> None:
    """The one that a deleted file was in, if nothing else is."""
    with suppress(OSError):
        path.parent.rmdir()
