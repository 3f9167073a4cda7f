"""Base class of readers of stored objects that are not plain files: a position, and seeking relative to the size."""

from __future__ import annotations

import io
import os
from abc import abstractmethod
from typing import Any, BinaryIO

_BUFFER_SIZE = 64 * 1024


class SeekableReader(io.RawIOBase):
    """Reads an object from ``_position``. A subclass defines ``_size`` and ``_read_into``."""

    def __init__(self) -> None:
        super().__init__()
        self._position = 0

    @abstractmethod
    def _size(self) -> int:
        """Return the size of the object (bytes)."""

    @abstractmethod
    def _read_into(self, target: memoryview) -> int:
        """Read at ``_position``; return the number of bytes, 0 at the end."""

    def buffered(self) -> BinaryIO:
        return io.BufferedReader(self, _BUFFER_SIZE)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = 0 if whence == os.SEEK_SET else self._position if whence == os.SEEK_CUR else self._size()
        if base + offset < 0:
            raise ValueError("negative seek position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        count = self._read_into(memoryview(buffer).cast("B"))
        self._position += count
        return count
