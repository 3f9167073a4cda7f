"""A saved object as a file that can be read and sought in, in little memory.

Few storages can be read from the middle, and what they give is often bound to a connection. So an object that is not on
this machine is fetched once, into a temporary file without a name, and read there.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from windlass.kernel import anonymous_files
from windlass.storage.django_storage.door import Door

_BUFFER = 64 * 1024
_BLOCK, _WINDOW = 1024 * 1024, 16 * 1024 * 1024


def open_object(door: Door, key: str, room: Path) -> BinaryIO:
    """``room``: the directory for temporary files. Raises ObjectMissing, StoreUnavailable, StoreFull."""
    with door.find(key) as storage:
        opened: Any = storage.open(key, "rb")
        if door.is_local:
            return cast(BinaryIO, opened.file)
        opened.read(0)  # several storages begin to fetch only now, and can seek only then
        if isinstance(opened.file, tempfile.SpooledTemporaryFile):
            return io.BufferedReader(_Fetched(opened), _BUFFER)
        try:
            return anonymous_files.copy_to_disk(cast(BinaryIO, _source(opened)), room)
        finally:
            opened.close()


def _source(opened: Any) -> Any:
    """SFTP answers in 32 KiB, each after a trip there and back; paramiko's files can ask for many at once."""
    return _Ahead(opened.file) if hasattr(opened.file, "readv") else opened


class _Ahead:
    """Reads in order what is asked for a window at a time: little memory, and few waits."""

    def __init__(self, file: Any) -> None:
        self._blocks = _blocks(file, int(file.seek(0, os.SEEK_END) or file.tell()))

    def read(self, size: int) -> bytes:
        """A block of a size of its own; empty at the end."""
        return next(self._blocks, b"")


def _blocks(file: Any, size: int) -> Iterator[bytes]:
    for start in range(0, size, _WINDOW):
        end = min(start + _WINDOW, size)
        yield from file.readv([(at, min(_BLOCK, end - at)) for at in range(start, end, _BLOCK)])


class _Fetched(io.RawIOBase):
    """What the storage itself has put into a temporary file. That file's descriptor is none to hand on: what Python has
    yet to write to it would be missing there."""

    def __init__(self, opened: Any) -> None:
        super().__init__()
        self._opened = opened
        self._file: Any = opened.file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return int(self._file.tell())

    def readinto(self, buffer: Any, /) -> int:
        return int(self._file.readinto(buffer))

    def close(self) -> None:
        if not self.closed:
            self._opened.close()
        super().close()
