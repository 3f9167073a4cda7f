"""The numbered chunks of a file of known size: all have one size, and the last one has the rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChunkLayout:
    """``size`` and ``chunk_size`` in bytes; chunk numbers start at 0. An empty file has no chunks."""

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
        return sum(self.length(index) for index in indexes)
