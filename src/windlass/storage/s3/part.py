"""The part of an object that is not full yet: bytes in memory, and pieces of it at the store.

A piece is an object of its own, written once under a name that nobody uses again. So whatever a state names stays what
it was, and a tail costs what came since the last time, not what is in it. Pieces are joined as they become many, small
ones with small ones, so that there are never more than ``MOST_PIECES`` and each byte is stored a few times at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from windlass.kernel.clock import monotonic
from windlass.storage.contract import Buffer
from windlass.storage.s3 import keys, objects
from windlass.storage.s3.body import Body
from windlass.storage.s3.bucket import Bucket
from windlass.storage.s3.made import Piece
from windlass.storage.s3.memory import Memory

MOST_PIECES = 16
#: Bytes that came so long ago and are not at the store yet should be (seconds).
OLD = 1.0


class Part:
    """Of the object ``key``. Not for two threads at once. What follows ``_held_from`` of it is in memory."""

    def __init__(self, bucket: Bucket, memory: Memory, key: str, pieces: Sequence[Piece] = ()) -> None:
        self._bucket = bucket
        self._memory = memory
        self._key = key
        self.pieces = list(pieces)
        self._stored = self._held_from = sum(piece.size for piece in pieces)
        self._held: list[Buffer] = []
        self._held_size = 0
        self._unsaved_since = monotonic()

    @property
    def is_old(self) -> bool:
        """Whether some of it should be at the store by now."""
        return self._stored < self.size and monotonic() - self._unsaved_since > OLD

    @property
    def size(self) -> int:
        return self._held_from + self._held_size

    @property
    def in_memory(self) -> bool:
        """Whether all of it is."""
        return self._held_from == 0

    def hold(self, data: Buffer) -> None:
        """Add bytes; the memory for them has been taken and is the part's from now on."""
        if self._stored == self.size:
            self._unsaved_since = monotonic()
        self._held.append(data)
        self._held_size += len(data)

    def store(self, data: Buffer) -> None:
        """Add bytes that there is no memory for, to a part that holds none: they go to the store at once."""
        assert not self._held_size
        self._held, self._held_size = [data], len(data)
        try:
            self.save()
        finally:
            self._held, self._held_size, self._held_from = [], 0, self._stored

    def save(self) -> None:
        """All of it is at the store. Raises StoreError."""
        if self._stored == self.size:
            return
        keep, start = self._joinable()
        token, size = keys.new_token(), self.size - start
        with self.gathered(start) as data:
            objects.put(self._bucket, keys.tail(self._key, token), data)
        self.pieces[keep:] = [Piece(token, size)]
        self._stored = self.size

    def let_go(self) -> None:
        """Save it, and hold nothing in memory."""
        self.save()
        self.forget()

    def forget(self) -> None:
        """Give the memory back. What was not saved is gone."""
        self._memory.give(self._held_size)
        self._held, self._held_size, self._held_from = [], 0, self._stored

    @contextmanager
    def gathered(self, start: int = 0) -> Iterator[Buffer]:
        """The bytes from ``start`` on, in one piece: from memory where they are there, else read again, in turn."""
        if start == self._held_from:
            if len(self._held) != 1:
                self._held = [Body.joined(self._held)]  # and not both
            yield self._held[0]
        elif start > self._held_from:
            yield self._from_memory(start)
        else:
            with self._memory.gathering(self.size - start):
                yield self._from_everywhere(start)

    def _from_memory(self, start: int) -> Body:
        found, skip = Body(), start - self._held_from
        for data in self._held:
            found += memoryview(data)[min(skip, len(data)) :]
            skip -= min(skip, len(data))
        return found

    def _from_everywhere(self, start: int) -> Body:
        found, at = Body(self.size - start), 0
        with memoryview(found) as view:
            for piece in self.pieces:
                begin, end = max(start, at), min(at + piece.size, self._held_from)
                if begin < end:
                    token = keys.tail(self._key, piece.token)
                    objects.fill(self._bucket, token, begin - at, view[begin - start : end - start])
                at += piece.size
            filled = max(start, self._held_from) - start
            for data in self._held:
                view[filled : filled + len(data)] = data
                filled += len(data)
        return found

    def _joinable(self) -> tuple[int, int]:
        """How many pieces stay as they are, and where the new one begins."""
        keep, start = len(self.pieces), self._stored
        if keep < MOST_PIECES:
            return keep, start
        while keep and (keep >= MOST_PIECES - 1 or self.pieces[keep - 1].size <= 2 * (self.size - start)):
            keep -= 1
            start -= self.pieces[keep].size
        return keep, start
