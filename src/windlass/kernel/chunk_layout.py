"""How a file of a known size is cut into numbered chunks: all of one size, the last one what is left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChunkLayout:
    """``size`` and ``chunk_size`` in bytes; chunks are counted from 0. A file without bytes has no chunks."""

    size: int
    chunk_size: int

    @property
    def total(self) -> int:
        return -(-self.size // self.chunk_size)

    def offset(self, index: int) -> int:
        return index * self.chunk_size

    def length(self, index: int) -> int:
        return min(self.chunk_size, self.size - self.offset(index))

    def end(self, index: int) -> int:
        """Where the first ``index`` chunks end."""
        return min(self.offset(index), self.size)

    def bytes_of(self, indexes: Iterable[int]) -> int:
        """How many bytes these chunks have together."""
        return sum(self.length(index) for index in indexes)
