"""Reading a file that the sandbox's child holds too."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER_SIZE = 128 * 1024


def apart(file: BinaryIO) -> BinaryIO:
    """The same file, open at its beginning, read at a position of its own. Closing it leaves ``file`` open.

    A child that was handed the descriptor shares its position with everybody else who has it, and one that was taken
    over could move it under a reader: a scanner would be sent a part of the file, and call that clean.
    """
    return cast("BinaryIO", io.BufferedReader(_Apart(file.fileno()), BUFFER_SIZE))


class _Apart(io.RawIOBase):
    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._at = descriptor, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = os.preadv(self._descriptor, [buffer], self._at)
        self._at += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._descriptor).st_size}[whence]
        if base + offset < 0:
            raise OSError("The position is before the file's beginning.")
        self._at = base + offset
        return self._at
