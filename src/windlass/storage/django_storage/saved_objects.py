"""The objects that the Django storage has: list them directory by directory, and open one as a seekable file.

Few storages can read from the middle, and their files are often bound to a connection. So an object that is not on this
machine is fetched once into an anonymous temporary file and read from there, in little memory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from windlass.kernel import anonymous_files, object_keys
from windlass.kernel.seekable_reader import SeekableReader
from windlass.storage.contract import ObjectInfo, ObjectMissing, StoreError, is_key
from windlass.storage.django_storage.gateway import Gateway

#: The modification time in storages that have none. It does not mean that an object is old.
UNKNOWN_TIME = datetime.fromtimestamp(0, UTC)
#: The key prefix of check objects. Some storages strip a leading dot at the top level.
CHECK_PREFIX = f"{object_keys.OBJECTS}{object_keys.CHECKS}"

#: The directories of Windlass. The storage may hold other files, which the sweep must never see.
_DIRECTORIES = ("encryption", "objects", "renditions")
#: Sizes of a request for a file that is read ahead, and of the window of requests that are under way (bytes).
_BLOCK, _WINDOW = 1024 * 1024, 16 * 1024 * 1024


class CannotList(StoreError):
    """The storage cannot list its objects, or has no modification times."""


def list_objects(gateway: Gateway, prefix: str, leave_out: Callable[[str], bool]) -> Iterator[ObjectInfo]:
    """Raises CannotList, StoreError. ``leave_out``: whether to skip a key before its size and time are requested."""
    for key in _keys(gateway, prefix):
        if not leave_out(key):
            with suppress(ObjectMissing):  # deleted since the directory was read
                yield ObjectInfo(key, gateway.size(key), _modified_at(gateway, key))


def info(gateway: Gateway, key: str) -> ObjectInfo:
    """Raises ObjectMissing."""
    size = gateway.size(key)
    try:
        return ObjectInfo(key, size, _modified_at(gateway, key))
    except CannotList:
        return ObjectInfo(key, size, UNKNOWN_TIME)


def _keys(gateway: Gateway, prefix: str) -> Iterator[str]:
    pending = _start_directories(prefix)
    while pending:
        directory = pending.pop()
        directories, files = _entries(gateway, directory)
        for name in files:
            key = f"{directory}/{name}"
            if key.startswith(prefix) and is_key(key):
                yield key
        below = (f"{directory}/{name.rstrip('/')}" for name in directories)
        pending += [path for path in below if is_key(path) and _may_hold(path, prefix)]


def _start_directories(prefix: str) -> list[str]:
    """Return the directories to search for every object of Windlass whose key starts with ``prefix``."""
    directory = prefix.rpartition("/")[0]
    if not directory:
        return [top for top in _DIRECTORIES if top.startswith(prefix)]
    return [directory] if directory.split("/")[0] in _DIRECTORIES else []


def _may_hold(directory: str, prefix: str) -> bool:
    return f"{directory}/".startswith(prefix) or prefix.startswith(f"{directory}/")


def _entries(gateway: Gateway, directory: str) -> tuple[list[str], list[str]]:
    try:
        with gateway.call(directory) as storage:
            try:
                directories, files = storage.listdir(directory)
            except NotImplementedError as error:
                raise CannotList("The storage cannot list its objects.") from error
            return list(directories), list(files)
    except ObjectMissing:
        return [], []


def _modified_at(gateway: Gateway, key: str) -> datetime:
    with gateway.call(key) as storage:
        try:
            modified_at = storage.get_modified_time(key)
        except NotImplementedError as error:
            raise CannotList("The storage has no modification times.") from error
    # A project without time zones has local times.
    return modified_at if modified_at.tzinfo else modified_at.astimezone()


def open_object(gateway: Gateway, key: str, directory: Path) -> BinaryIO:
    """``directory``: where temporary files are created. Raises ObjectMissing, StoreUnavailable, StoreFull."""
    with gateway.find(key) as storage:
        opened: Any = storage.open(key, "rb")
        if gateway.is_local:
            return cast(BinaryIO, opened.file)
        opened.read(0)  # several storages fetch only now, and can seek only then
        if isinstance(opened.file, tempfile.SpooledTemporaryFile):
            return _FetchedFile(opened).buffered()
        try:
            return anonymous_files.copy_to_disk(cast(BinaryIO, _source(opened)), directory)
        finally:
            opened.close()


def _source(opened: Any) -> Any:
    """Read SFTP files ahead: each read returns 32 KiB after a round trip, but paramiko can request many at once."""
    return _ReadAhead(opened.file) if hasattr(opened.file, "readv") else opened


class _ReadAhead:
    """Reads a file in order, one window of requests at a time."""

    def __init__(self, file: Any) -> None:
        self._blocks = _blocks(file, int(file.seek(0, os.SEEK_END) or file.tell()))

    def read(self, size: int) -> bytes:
        """Return the next block, whatever its size; empty at the end."""
        return next(self._blocks, b"")


def _blocks(file: Any, size: int) -> Iterator[bytes]:
    for start in range(0, size, _WINDOW):
        end = min(start + _WINDOW, size)
        yield from file.readv([(at, min(_BLOCK, end - at)) for at in range(start, end, _BLOCK)])


class _FetchedFile(SeekableReader):
    """An object that the storage has put into a temporary file. Its descriptor is not passed on: bytes that Python has
    buffered for it would be missing."""

    def __init__(self, opened: Any) -> None:
        super().__init__()
        self._opened = opened
        self._file: Any = opened.file

    def close(self) -> None:
        if not self.closed:
            self._opened.close()
        super().close()

    def _size(self) -> int:
        self._file.seek(0, os.SEEK_END)
        return int(self._file.tell())

    def _read_into(self, target: memoryview) -> int:
        self._file.seek(self._position)
        return int(self._file.readinto(target))
