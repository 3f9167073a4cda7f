"""An unpacked file that is never held whole: read through a decompressor, and counted against a limit on the way."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives.decompressors import READ_SIZE, Compression, NotMeasured, decompressed_blocks
from windlass.processing.formats.read_limits import MB, Deadline

#: Unpacked bytes to which a reader can seek back without unpacking again: the end of a zip file is searched in them.
_SEEK_BACK = MB
#: No file is as long as this, whatever an offset in it claims.
FARTHEST = 2**62
#: Unpacking again after seeking back may cost so many times the limit.
_MOST_REPEATED = 4


class LimitPassed(Exception):
    """Enough has been unpacked to know that the limit is passed."""


@dataclass(slots=True)
class UnpackMeter:
    """Counts the bytes that are unpacked of one file, nested archives included.

    ``limit``: bytes after which unpacking ends. ``measures``: whether a rule needs to know what the entries of an
    archive really unpack to. ``memory``: bytes left for nested archives that are held in memory for random access.
    """

    limit: int
    measures: bool
    deadline: Deadline
    counted: int = 0
    produced: int = 0
    memory: int = 256 * MB
    report: Callable[[], None] = field(default=lambda: None)

    def add(self, size: int, new: int) -> None:
        """Count bytes that were produced, and those of them that are new. Raises LimitPassed, NotMeasured."""
        self.counted, self.produced = self.counted + new, self.produced + size
        if self.counted > self.limit:
            raise LimitPassed
        if self.deadline.has_passed() or self.produced > _MOST_REPEATED * self.limit:
            raise NotMeasured("unpacking it took too long")
        self.report()


class FilePart(io.RawIOBase, BinaryIO):
    """A range of bytes of a file as a file of its own."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._position = file, start, max(size, 0), 0
        self.seeks_back_slowly = getattr(file, "seeks_back_slowly", False)

    def read(self, size: int = -1) -> bytes:
        left = max(self._size - self._position, 0)
        self._file.seek(min(self._start + self._position, FARTHEST))
        data = self._file.read(left if size < 0 else min(size, left))
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position


class UnpackedFile(io.RawIOBase, BinaryIO):
    """The unpacked bytes as a file. Seeking back further than ``_SEEK_BACK`` bytes unpacks again from the start.

    ``counted``: bytes that were unpacked so far. Every read may raise Unreadable, LimitPassed, NotMeasured.
    """

    seeks_back_slowly = True

    def __init__(self, packed: BinaryIO, compression: Compression, meter: UnpackMeter) -> None:
        self._packed, self._compression, self._meter = packed, compression, meter
        self._position = self.counted = 0
        self._size: int | None = None
        self.has_trailing = False
        self._failure: Unreadable | None = None
        self._restart()

    def read(self, size: int = -1) -> bytes:
        pieces, left = [], size if size >= 0 else self.seek(0, 2) - self.tell()
        while left > 0 and (piece := self._data_at(self._position)[:left]):
            pieces.append(piece)
            self._position += len(piece)
            left -= len(piece)
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._position, self._length() if whence == 2 else 0)[whence]
        self._position = max(0, base + offset)
        return self._position

    def _length(self) -> int:
        while self._size is None:
            self._read_block()
        return self._size

    def _data_at(self, position: int) -> bytes:
        """Unpacked bytes from this position on, as many as one block holds; none at the end."""
        if position < (self._blocks_held[0][0] if self._blocks_held else self._produced):
            self._restart()
        while self._produced <= position:
            if not self._read_block():
                return b""
        start, block = next(each for each in reversed(self._blocks_held) if each[0] <= position)
        return block[position - start :]

    def _read_block(self) -> bool:
        block = self._next_block()
        if not block:
            self._size = self._produced
            return False
        self._blocks_held.append((self._produced, block))
        self._produced += len(block)
        new = max(self._produced - self.counted, 0)
        self.counted += new
        while self._produced - self._blocks_held[0][0] - len(self._blocks_held[0][1]) > _SEEK_BACK:
            self._blocks_held.popleft()
        self._meter.add(len(block), new)
        return True

    def _next_block(self) -> bytes:
        """Join short blocks: there may be a million of one byte. What precedes damage is returned before the error."""
        if self._failure is not None:
            raise self._failure
        pieces: list[bytes] = []
        size = 0
        try:
            while size < READ_SIZE and (block := next(filter(None, self._source), b"")):
                pieces.append(block)
                size += len(block)
        except Unreadable as error:
            if not pieces:
                raise
            self._failure = error
        return b"".join(pieces)

    def _note_trailing(self) -> None:
        self.has_trailing = True

    def _restart(self) -> None:
        self._packed.seek(0)
        self._failure = None
        self._source, self._produced = decompressed_blocks(self._packed, self._compression, self._note_trailing), 0
        self._blocks_held: deque[tuple[int, bytes]] = deque()
