"""Write one chunk of an object, which is one of its parts, while others write other chunks in any process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

from windlass.storage.contract import Buffer, State, StoreError, Writer
from windlass.storage.s3 import multipart, objects
from windlass.storage.s3.client import Bucket
from windlass.storage.s3.multipart import ChunkState, MultipartState
from windlass.storage.s3.part_buffer import MemoryPool, PartBuffer


class ChunkWriter(Writer):
    """See ``contract.Writer``. The part exists once ``sync`` has returned its state, and not before."""

    def __init__(
        self, bucket: Bucket, memory: MemoryPool, key: str, state: MultipartState, region: tuple[int, int]
    ) -> None:
        """Raises StoreError if the region is not one chunk of the object."""
        self._start, self._length = region
        if self._start % state.part_size or self._length > state.part_size:
            raise StoreError(f"{key}: {region} is not one of its parts of {state.part_size} bytes")
        self._bucket = bucket
        self._key = key
        self._multipart = state
        self._part = PartBuffer(bucket, memory, key)
        self._tail_tokens: set[str] = set()
        self._lock = threading.Lock()
        self._closed = False

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        data = b"".join(buffers)
        with self._lock:
            self._require_open()
            if offset != self._start + self._part.size or self._part.size + len(data) > self._length:
                raise StoreError(f"{self._key}: a chunk is written in order, and no further than its end")
            self._part.add(data)
            self._tail_tokens.update(piece.token for piece in self._part.tail)
        return len(data)

    def copy(self, offset: int, source: str, start: int, size: int) -> int:
        return self.write(offset, [objects.get(self._bucket, objects.check_key(source), start, size)])

    def sync(self, *, durable: bool = True) -> State:
        with self._lock:
            self._require_open()
            if self._part.size != self._length:
                raise StoreError(f"{self._key}: a chunk is stored only as a whole")
            upload, part_size = self._multipart.upload, self._multipart.part_size
            number = self._start // part_size + 1
            with self._part.contents() as data:
                tag = multipart.upload_part(self._bucket, self._key, upload, number, data, self._multipart.checksum)
            return ChunkState(number, tag).to_state()

    def finish(self, size: int, *, durable: bool = True) -> State:
        raise StoreError(f"{self._key}: an object that is written in chunks is completed by its store")

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._part.release()
            for token in self._tail_tokens:
                with suppress(StoreError):  # it is deleted when the object is completed
                    objects.delete(self._bucket, objects.tail_key(self._key, token))

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self._key}: this writer was closed")
