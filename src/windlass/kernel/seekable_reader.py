"""Readers with a position of their own: the base class, and one that shares a descriptor with others."""

from __future__ import annotations

import io
import os
from abc import abstractmethod
from typing import Any, BinaryIO

BUFFER_SIZE = 128 * 1024


class SeekableReader(io.RawIOBase):
    """Reads from ``_position``. A subclass defines ``_size`` and ``_read_into``."""

    def __init__(self) -> None:
        super().__init__()
        self._position = 0

    @abstractmethod
    def _size(self) -> int:
        """Return the size of what is read (bytes)."""

    @abstractmethod
    def _read_into(self, target: memoryview) -> int:
        """Read at ``_position``; return the number of bytes, 0 at the end."""

    def buffered(self, size: int = 64 * 1024) -> BinaryIO:
        return io.BufferedReader(self, size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = 0 if whence == os.SEEK_SET else self._position if whence == os.SEEK_CUR else self._size()
        if base + offset < 0:
            raise OSError("The position is before the start of the file.")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        count = self._read_into(memoryview(buffer).cast("B"))
        self._position += count
        return count


class PositionedReader(SeekableReader):
    """Reads the bytes of a descriptor from ``start`` on, which is position 0. Closing it leaves the descriptor open."""

    def __init__(self, descriptor: int, start: int = 0) -> None:
        super().__init__()
        self._descriptor, self._start = descriptor, start

    def fileno(self) -> int:
        return self._descriptor

    def _size(self) -> int:
        return os.fstat(self._descriptor).st_size - self._start

    def _read_into(self, target: memoryview) -> int:
        return os.preadv(self._descriptor, [target], self._start + self._position)


def independent_reader(file: BinaryIO) -> BinaryIO:
    """Return a buffered reader of the same file, at its start. Closing it leaves ``file`` open.

    Processes that share a descriptor share its position: a compromised child could move it under a scanner, which
    would then see a part of the file and call that clean.
    """
    return PositionedReader(file.fileno()).buffered(BUFFER_SIZE)
