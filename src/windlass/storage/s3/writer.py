"""Write one object in order, or one chunk of an object whose chunks arrive in any order.

In order each full part is sent while the next one fills. What does not fill a part is stored in tail objects, so that
any process can continue from the last state (docs/decisions/0026-s3.md). A chunk is one part.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace

from windlass.storage.contract import Buffer, State, StoreError, Writer
from windlass.storage.s3 import multipart, objects
from windlass.storage.s3.multipart import COPY_CHECKSUM, ChunkState, MultipartState, PartTag, TailObject
from windlass.storage.s3.options import MIB
from windlass.storage.s3.part_buffer import MemoryPool, PartBuffer
from windlass.storage.s3.retrying_client import Bucket

#: Parts of one object that are sent at the same time.
MAX_SENDING = 4
#: Parts that the store copies for one object at the same time.
MAX_COPYING = 8


class S3Writer(Writer):
    """See ``contract.Writer``. After a failed request every further call fails: the last state still holds, and the
    next writer goes on from there."""

    def __init__(self, bucket: Bucket, memory: MemoryPool, key: str, state: MultipartState) -> None:
        self._bucket = bucket
        self._memory = memory
        self._key = key
        self._multipart = state
        self._part = PartBuffer(bucket, memory, key, state.tail)
        self._sending: deque[Future[PartTag]] = deque()
        # The tags of all parts, if this writer has sent every part since the first.
        self._tags: list[PartTag] | None = [] if state.parts == 0 else None
        # The tokens of the tail objects that exist, as far as this writer knows.
        self._tail_tokens = {piece.token for piece in state.tail}
        self._delete(state.gone)
        self._last_state = state.to_state()
        self._committed: State | None = None
        self._lock = threading.Lock()
        self._failure: StoreError | None = None

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        with self._lock, self._recording_failure():
            self._require_offset(offset)
            data = b"".join(buffers)  # a copy: a buffer may be a view of a larger one, or one of very many
            done = 0
            while done < len(data):
                block = data[done : done + self._multipart.part_size - self._part.size]
                self._add(block)
                done += len(block)
            return done

    def copy(self, offset: int, source: str, start: int, size: int) -> int:
        """Whole parts are copied inside the store; the rest passes through this process."""
        with self._lock, self._recording_failure():
            self._require_offset(offset)
            self._prepare_to_copy()
            done = 0
            while done < size:
                done += self._copy_some(objects.check_key(source), start + done, size - done)
            return done

    def sync(self, *, durable: bool = True) -> State:
        """``durable`` makes no difference: what the store has survives the loss of this machine."""
        with self._lock, self._recording_failure():
            self._await_all()
            return self._save()

    def checkpoint(self, offset: int, *, max_lag: int = 0, durable: bool = True) -> tuple[State, int]:
        """Return the parts that were sent, as long as the rest is little and new: storing the tail would cost a request
        and wait for every part under way, and a fast client fills its part a moment later."""
        with self._lock, self._recording_failure():
            while self._sending and (self._sending[0].done() or self._unsaved > max_lag):
                self._await_first()
            if not max_lag or self._unsaved > max_lag or self._part.is_old:
                self._await_all()
                state = self._save()
            else:
                state = self._state(self._multipart.tail)
            return state, self._multipart.offset

    def finish(self, size: int, *, durable: bool = True) -> State:
        """Send the last part from memory and complete. Return the state that was last returned before."""
        with self._lock, self._recording_failure():
            self._await_all()
            if self._offset != size:
                raise StoreError(f"{self._key}: it has {self._offset} bytes instead of {size}")
            state = self._multipart
            tags = self._tags if self._tags is not None else multipart.verified_tags(self._bucket, self._key, state)
            last = [self._send(state.parts + 1, self._part)] if self._part.size or not state.parts else []
            multipart.complete_once(self._bucket, self._key, state, [*tags, *last], size)
            if self._tail_tokens or self._tags is None:
                objects.remove_tail_objects(self._bucket, self._key)
            return self._last_state

    def committed(self, state: State) -> None:
        self._committed = state
        if self._lock.acquire(blocking=False):  # else the call that holds it, or the next one, deletes
            try:
                self._delete_superseded()
            finally:
                self._lock.release()

    def close(self) -> None:
        """Wait for the parts under way: afterwards this writer sends nothing."""
        with self._lock:
            self._delete_superseded()
            self._failure = self._failure or StoreError(f"{self._key}: this writer was closed")
            while self._sending:
                self._sending.popleft().exception()
            self._part.release()

    def _save(self) -> State:
        self._part.save()
        tail = tuple(self._part.tail)
        self._tail_tokens |= {piece.token for piece in tail}
        return self._state(tail)

    def _state(self, tail: tuple[TailObject, ...]) -> State:
        gone = self._tail_tokens - {piece.token for piece in tail}
        self._multipart = replace(self._multipart, tail=tail, gone=tuple(sorted(gone)))
        self._last_state = self._multipart.to_state()
        return self._last_state

    @property
    def _unsaved(self) -> int:
        return self._offset - self._multipart.offset

    @property
    def _offset(self) -> int:
        return (self._multipart.parts + len(self._sending)) * self._multipart.part_size + self._part.size

    def _require_offset(self, offset: int) -> None:
        if offset != self._offset:
            raise StoreError(f"{self._key}: the next byte is {self._offset}; bytes are written in order")

    @contextmanager
    def _recording_failure(self) -> Iterator[None]:
        """After a failure every further call raises it again."""
        self._delete_superseded()
        if self._failure is not None:
            raise self._failure
        try:
            yield
        except StoreError as error:
            self._failure = error
            raise

    def _delete_superseded(self) -> None:
        """Delete the tail objects that neither the last committed state nor the current part needs."""
        state, self._committed = self._committed, None
        if state is None:
            return
        committed = MultipartState.from_state(self._key, state)
        needed = {piece.token for piece in (*committed.tail, *self._part.tail)}
        superseded, self._tail_tokens = self._tail_tokens - needed, self._tail_tokens & needed
        self._delete(superseded)

    def _delete(self, tokens: Iterable[str]) -> None:
        """Delete in the background. What fails is deleted when the object is completed."""
        for token in tokens:
            self._bucket.senders.submit(_delete_quietly, self._bucket, objects.tail_key(self._key, token))

    def _add(self, data: Buffer) -> None:
        """Add bytes to the part. If the memory pool is used up, wait for parts under way before storing any."""
        reserved = self._memory.reserve(len(data))
        while not reserved and self._sending:
            self._await_first()
            reserved = self._memory.reserve(len(data))
        if reserved:
            self._part.add_reserved(data)
        else:
            self._part.add(data)
        self._tail_tokens.update(piece.token for piece in self._part.tail)
        if self._part.size == self._multipart.part_size:
            self._send_part()

    def _send_part(self) -> None:
        """Send the full part: in the background if all of it is in memory."""
        part, self._part = self._part, PartBuffer(self._bucket, self._memory, self._key)
        number = self._multipart.parts + len(self._sending) + 1
        if len(self._sending) >= MAX_SENDING:
            self._await_first()
        if part.is_in_memory:
            self._sending.append(self._bucket.senders.submit(self._send, number, part))
        else:
            sent: Future[PartTag] = Future()
            sent.set_result(self._send(number, part))
            self._sending.append(sent)

    def _send(self, number: int, part: PartBuffer) -> PartTag:
        try:
            with part.contents() as data:
                upload, checksum = self._multipart.upload, self._multipart.checksum
                return multipart.upload_part(self._bucket, self._key, upload, number, data, checksum)
        finally:
            part.release()

    def _prepare_to_copy(self) -> None:
        """Replace an upload without parts by one without CRC32 checksums, which copied parts need (COPY_CHECKSUM). The
        sweep aborts the replaced one."""
        if self._multipart.checksum != COPY_CHECKSUM and self._multipart.parts == 0 and not self._sending:
            upload = multipart.create(self._bucket, self._key, COPY_CHECKSUM, self._multipart.mark)
            self._multipart = replace(self._multipart, upload=upload, checksum=COPY_CHECKSUM)

    def _copy_some(self, source: str, start: int, size: int) -> int:
        whole = self._multipart.part_size
        if self._multipart.checksum == COPY_CHECKSUM and not self._part.size and size >= whole:
            self._copy_part(source, start)
            return whole
        data = objects.get(self._bucket, source, start, min(size, whole - self._part.size, MIB))
        self._add(data)
        return len(data)

    def _copy_part(self, source: str, start: int) -> None:
        if len(self._sending) >= MAX_COPYING:
            self._await_first()
        number = self._multipart.parts + len(self._sending) + 1
        upload, size = self._multipart.upload, self._multipart.part_size
        copy = multipart.copy_part
        self._sending.append(
            self._bucket.senders.submit(copy, self._bucket, self._key, upload, number, source, start, size)
        )

    def _await_first(self) -> None:
        tag = self._sending[0].result()
        self._sending.popleft()
        self._multipart = self._multipart.with_part(tag)
        if self._tags is not None:
            self._tags.append(tag)

    def _await_all(self) -> None:
        while self._sending:
            self._await_first()


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


def _delete_quietly(bucket: Bucket, key: str) -> None:
    with suppress(StoreError):
        objects.delete(bucket, key)
