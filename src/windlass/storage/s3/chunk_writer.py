"""Writes one chunk of an object, which is one of its parts. Others write the others meanwhile, in any process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

from windlass.storage.contract import Buffer, State, StoreError, Writer
from windlass.storage.s3 import keys, multipart, objects
from windlass.storage.s3.bucket import Bucket
from windlass.storage.s3.made import Chunk, Made
from windlass.storage.s3.memory import Memory
from windlass.storage.s3.part import Part


class ChunkWriter(Writer):
    """See ``contract.Writer``. The part exists once ``sync`` has returned its state; before that, nothing does."""

    def __init__(self, bucket: Bucket, memory: Memory, key: str, made: Made, region: tuple[int, int]) -> None:
        """Raises StoreError for a region that is no chunk of the object."""
        self._begin, self._length = region
        if self._begin % made.part_size or self._length > made.part_size:
            raise StoreError(f"{key}: {region} is not one of its parts of {made.part_size} bytes")
        self._bucket = bucket
        self._memory = memory
        self._key = key
        self._made = made
        self._part = Part(bucket, memory, key)
        self._pieces: set[str] = set()
        self._lock = threading.Lock()
        self._closed = False

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        data = b"".join(buffers)
        with self._lock:
            self._must_be_open()
            if offset != self._begin + self._part.size or self._part.size + len(data) > self._length:
                raise StoreError(f"{self._key}: a chunk is written in order, and no further than its end")
            self._take(data)
        return len(data)

    def sync(self, *, durable: bool = True) -> State:
        with self._lock:
            self._must_be_open()
            if self._part.size != self._length:
                raise StoreError(f"{self._key}: a chunk is stored when it is whole")
            number = self._begin // self._made.part_size + 1
            with self._part.gathered() as data:
                tag = multipart.send(self._bucket, self._key, self._made.upload, number, data, self._made.checksum)
            return Chunk(number, tag).state()

    def copy(self, offset: int, source: str, start: int, size: int) -> int:
        return self.write(offset, [objects.get(self._bucket, keys.checked(source), start, size)])

    def finish(self, size: int, *, durable: bool = True) -> State:
        raise StoreError(f"{self._key}: an object that is written in chunks is completed by its store")

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._part.forget()
            for token in self._pieces:
                with suppress(StoreError):  # it goes with the upload
                    objects.delete(self._bucket, keys.tail(self._key, token))

    def _take(self, data: bytes) -> None:
        """Into memory; where there is none, what is held goes to the store meanwhile."""
        taken = self._memory.take(len(data))
        if not taken:
            self._part.let_go()
            taken = self._memory.take(len(data))
        if taken:
            self._part.hold(data)
        else:
            self._part.store(data)
        self._pieces.update(piece.token for piece in self._part.pieces)

    def _must_be_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self._key}: this writer was closed")
