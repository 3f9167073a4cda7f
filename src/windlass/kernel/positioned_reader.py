"""Read an open file at a position of its own, whatever others that share the descriptor do to the shared position."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER_SIZE = 128 * 1024


def independent_reader(file: BinaryIO) -> BinaryIO:
    """Return a buffered reader of the same file, at its start. Closing it leaves ``file`` open.

    Processes that share a descriptor share its position: a compromised child could move it under a scanner, which
    would then see a part of the file and call that clean.
    """
    return cast("BinaryIO", io.BufferedReader(PositionedReader(file.fileno()), BUFFER_SIZE))


class PositionedReader(io.RawIOBase):
    """Reads the bytes of a descriptor from ``start`` on, which is position 0. Closing it leaves the descriptor open."""

    def __init__(self, descriptor: int, start: int = 0) -> None:
        self._descriptor, self._start, self._position = descriptor, start, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = os.preadv(self._descriptor, [buffer], self._start + self._position)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        size = os.fstat(self._descriptor).st_size - self._start
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: size}[whence]
        if base + offset < 0:
            raise OSError("The position is before the start of the file.")
        self._position = base + offset
        return self._position
