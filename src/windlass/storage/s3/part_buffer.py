"""The part of an object that is not full yet: bytes in memory, and tail objects at the store.

A tail object is written once under a name that is never used again. So what a state names never changes, and storing
a tail costs what came since the last time. Tail objects are merged as they become many, small ones with small ones:
there are never more than ``MAX_TAIL_OBJECTS``, and each byte is stored a few times at most.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from windlass.kernel.clock import monotonic
from windlass.storage.contract import Buffer
from windlass.storage.s3 import objects
from windlass.storage.s3.multipart import TailObject
from windlass.storage.s3.retrying_client import Bucket, RequestBody

MAX_TAIL_OBJECTS = 16
#: Age of bytes in memory from which a checkpoint stores them (seconds).
MAX_UNSAVED_AGE = 1.0


class MemoryPool:
    """The memory that all writers of a process share. A writer that gets none stores its bytes instead of waiting."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._lock = threading.Lock()
        self._reading = 0
        self._read_done = threading.Condition()

    def reserve(self, size: int) -> bool:
        """Reserve memory; False if there is not enough."""
        with self._lock:
            if size > self._free:
                return False
            self._free -= size
            return True

    def release(self, size: int) -> None:
        with self._lock:
            self._free += size

    @property
    def used(self) -> int:
        return self.size - self._free

    @contextmanager
    def reading(self, size: int) -> Iterator[None]:
        """Reserve memory for bytes that are read back from the store, beyond the pool; wait for it.

        At most ``self.size`` bytes at a time, or one larger part. Held for a few requests that wait for nothing else.
        """
        with self._read_done:
            self._read_done.wait_for(lambda: self._reading == 0 or self._reading + size <= self.size)
            self._reading += size
        try:
            yield
        finally:
            with self._read_done:
                self._reading -= size
                self._read_done.notify_all()


class PartBuffer:
    """The unfinished part of the object ``key``. Bytes from ``_memory_start`` on are in memory. Not thread-safe."""

    def __init__(self, bucket: Bucket, memory: MemoryPool, key: str, tail: Sequence[TailObject] = ()) -> None:
        self._bucket = bucket
        self._memory = memory
        self._key = key
        self.tail = list(tail)
        self._stored = self._memory_start = sum(piece.size for piece in tail)
        self._buffers: list[Buffer] = []
        self._buffered = 0
        self._unsaved_since = monotonic()

    @property
    def is_old(self) -> bool:
        """Whether it has bytes that should be at the store by now."""
        return self._stored < self.size and monotonic() - self._unsaved_since > MAX_UNSAVED_AGE

    @property
    def size(self) -> int:
        return self._memory_start + self._buffered

    @property
    def is_in_memory(self) -> bool:
        return self._memory_start == 0

    def add(self, data: Buffer) -> None:
        """Add bytes to memory; fall back to the store if the pool has no memory left. Raises StoreError."""
        reserved = self._memory.reserve(len(data))
        if not reserved:
            self.save()
            self.release()
            reserved = self._memory.reserve(len(data))
        if reserved:
            self.add_reserved(data)
        else:
            self._store(data)

    def add_reserved(self, data: Buffer) -> None:
        """Add bytes to memory that the caller has reserved; the part releases it."""
        if self._stored == self.size:
            self._unsaved_since = monotonic()
        self._buffers.append(data)
        self._buffered += len(data)

    def save(self) -> None:
        """Store what is not at the store yet. Raises StoreError."""
        if self._stored == self.size:
            return
        keep, start = self._mergeable()
        token, size = objects.new_token(), self.size - start
        with self.contents(start) as data:
            objects.put(self._bucket, objects.tail_key(self._key, token), data)
        self.tail[keep:] = [TailObject(token, size)]
        self._stored = self.size

    def release(self) -> None:
        """Release the memory. Bytes that were not saved are lost."""
        self._memory.release(self._buffered)
        self._buffers, self._buffered, self._memory_start = [], 0, self._stored

    @contextmanager
    def contents(self, start: int = 0) -> Iterator[Buffer]:
        """Yield the bytes from ``start`` on as one buffer: from memory if they are there, else read back."""
        if start == self._memory_start:
            if len(self._buffers) != 1:
                self._buffers = [RequestBody.joined(self._buffers)]  # keep one copy only
            yield self._buffers[0]
        elif start > self._memory_start:
            yield self._from_memory(start)
        else:
            with self._memory.reading(self.size - start):
                yield self._read_back(start)

    def _store(self, data: Buffer) -> None:
        """Add bytes that there is no memory for, to a part that has none in memory: store them at once."""
        assert not self._buffered
        self._buffers, self._buffered = [data], len(data)
        try:
            self.save()
        finally:
            self._buffers, self._buffered, self._memory_start = [], 0, self._stored

    def _from_memory(self, start: int) -> RequestBody:
        body, skip = RequestBody(), start - self._memory_start
        for data in self._buffers:
            body += memoryview(data)[min(skip, len(data)) :]
            skip -= min(skip, len(data))
        return body

    def _read_back(self, start: int) -> RequestBody:
        body, at = RequestBody(self.size - start), 0
        with memoryview(body) as view:
            for piece in self.tail:
                first, end = max(start, at), min(at + piece.size, self._memory_start)
                if first < end:
                    key = objects.tail_key(self._key, piece.token)
                    objects.read_into(self._bucket, key, first - at, view[first - start : end - start])
                at += piece.size
            filled = max(start, self._memory_start) - start
            for data in self._buffers:
                view[filled : filled + len(data)] = data
                filled += len(data)
        return body

    def _mergeable(self) -> tuple[int, int]:
        """Return how many tail objects stay, and the offset in the part at which the new one starts."""
        keep, start = len(self.tail), self._stored
        if keep < MAX_TAIL_OBJECTS:
            return keep, start
        while keep and (keep >= MAX_TAIL_OBJECTS - 1 or self.tail[keep - 1].size <= 2 * (self.size - start)):
            keep -= 1
            start -= self.tail[keep].size
        return keep, start
