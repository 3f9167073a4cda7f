"""Open a saved object as a seekable file, in little memory.

Few storages can read from the middle, and their files are often bound to a connection. So an object that is not on this
machine is fetched once into an anonymous temporary file and read from there.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from windlass.kernel import anonymous_files
from windlass.storage.django_storage.gateway import Gateway
from windlass.storage.seekable_reader import SeekableReader

_BLOCK, _WINDOW = 1024 * 1024, 16 * 1024 * 1024


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
