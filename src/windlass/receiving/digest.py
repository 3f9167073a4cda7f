"""SHA-256 of uploads while they arrive: running digests of sequential uploads, incremental hashes of chunked ones.

A hash state cannot be stored and continued in another process. Where another process takes over, or this one was
restarted, nobody has seen every byte, and the file is read once (docs/decisions/0003-digest-while-receiving.md).
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from django.db import DatabaseError

from windlass.executors import in_database, in_thread
from windlass.files import api as files
from windlass.kernel.chunk_layout import ChunkLayout
from windlass.storage.contract import Buffer, ObjectMissing, StoreError
from windlass.storage.registry import store

READ_SIZE = 1024 * 1024
#: Bytes that one thread hashes before another upload gets its turn.
SLICE_SIZE = 16 * 1024 * 1024
#: Chunked uploads that are hashed at the same time. More would take more from receiving than completing gains.
MAX_CONCURRENT_HASHES = 2
#: Hash states that are kept between two requests or chunks; the least recently used one is dropped first.
SEQUENTIAL_CAPACITY = 4096
CHUNKED_CAPACITY = 512

log = structlog.get_logger(__name__)


class RunningDigest:
    """The SHA-256 of the first ``offset`` bytes."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.offset = 0

    def update(self, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:
            self._hash.update(buffer)
            self.offset += len(buffer)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def copy(self) -> RunningDigest:
        copied = RunningDigest()
        copied._hash, copied.offset = self._hash.copy(), self.offset
        return copied


class DigestCache:
    """Running digests of sequential uploads between two requests."""

    def __init__(self) -> None:
        self._digests: OrderedDict[uuid.UUID, RunningDigest] = OrderedDict()

    def pop(self, upload_id: uuid.UUID, offset: int) -> RunningDigest | None:
        """Remove and return the digest that stands exactly at ``offset``; a new one at 0; else None."""
        digest = self._digests.pop(upload_id, None)
        if offset == 0:
            return RunningDigest()
        return digest if digest is not None and digest.offset == offset else None

    def put(self, upload_id: uuid.UUID, digest: RunningDigest | None) -> None:
        if digest is None:
            return
        self._digests[upload_id] = digest
        self._digests.move_to_end(upload_id)
        if len(self._digests) > SEQUENTIAL_CAPACITY:
            self._digests.popitem(last=False)

    def forget(self, upload_id: uuid.UUID) -> None:
        self._digests.pop(upload_id, None)


@dataclass(eq=False)
class _IncrementalHash:
    """The hash of the first ``chunks`` chunks. ``look_again``: chunks may have arrived since the last look."""

    session: files.UploadSession
    layout: ChunkLayout
    digest: RunningDigest = field(default_factory=RunningDigest)
    chunks: int = 0
    look_again: bool = False
    task: asyncio.Task[None] | None = None
    failure: StoreError | DatabaseError | None = None

    @property
    def offset(self) -> int:
        return self.digest.offset


class IncrementalHashes:
    """The hashes of the chunked uploads of this process. Use an instance on one event loop only.

    Chunks arrive in any order, a hash takes bytes in one order. So the chunks that have no gap before them are read
    back in the background, mostly from the page cache, and little is left to hash when the last chunk is in. What this
    process has dropped, or another process received, is read when the digest is asked for.
    """

    def __init__(self, capacity: int = CHUNKED_CAPACITY) -> None:
        self._hashes: OrderedDict[uuid.UUID, _IncrementalHash] = OrderedDict()
        self._capacity = capacity
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_HASHES)

    def advance(self, session: files.UploadSession) -> asyncio.Task[None]:
        """A chunk was received: hash in the background as far as there is no gap."""
        state = self._state_of(session)
        state.look_again = True
        if state.task is None or state.task.done():
            state.task = asyncio.get_running_loop().create_task(self._hash_available(state))
        return state.task

    def digest_before(self, session: files.UploadSession, index: int) -> RunningDigest | None:
        """Return a copy of the digest of everything before this chunk; None where the hash does not stand there."""
        state = self._hashes.get(session.id)
        if index == 0 and state is None:
            return RunningDigest()
        if state is None or state.chunks != index:
            return None
        return state.digest.copy()

    def adopt(self, session: files.UploadSession, digest: RunningDigest) -> None:
        """Take ``digest``, which includes the chunk received just now, unless another request advanced the hash."""
        state = self._state_of(session)
        if digest.offset == state.layout.end(state.chunks + 1) and state.task is None:
            state.digest, state.chunks = digest, state.chunks + 1

    async def finish(self, session: files.UploadSession) -> str:
        """Return the digest (hex) of an upload whose chunks are all received.

        When this is cancelled, hashing continues. Raises StoreError, DatabaseError.
        """
        while True:
            task = self.advance(session)
            await asyncio.wait({task})
            state = self._hashes.get(session.id)
            if state is None:
                continue  # dropped meanwhile, to make space for others
            if state.failure is not None:
                self.forget(session.id)
                raise state.failure
            if state.offset == state.layout.size:
                return state.digest.hexdigest()

    def forget(self, upload_id: uuid.UUID) -> None:
        self._hashes.pop(upload_id, None)

    def _state_of(self, session: files.UploadSession) -> _IncrementalHash:
        state = self._hashes.setdefault(session.id, _IncrementalHash(session, files.chunk_layout(session)))
        self._hashes.move_to_end(session.id)
        for upload_id in list(self._hashes)[: max(0, len(self._hashes) - self._capacity)]:
            task = self._hashes[upload_id].task
            if task is None or task.done():
                del self._hashes[upload_id]
        return state

    async def _hash_available(self, state: _IncrementalHash) -> None:
        session, layout = state.session, state.layout
        try:
            while state.look_again and state.offset < layout.size:
                state.look_again = False
                received = await in_database(files.contiguous_chunk_count, session.id, state.chunks)
                if received > state.chunks:
                    await self._hash_up_to(state, layout.end(received))
                    state.chunks, state.look_again = received, True
        except ObjectMissing:
            self.forget(session.id)  # the upload was cancelled
            state.failure = ObjectMissing(session.store_key)
        except (StoreError, DatabaseError) as error:
            self.forget(session.id)
            state.failure = error
            log.info("incremental_hash.failed", upload_id=str(session.id), error=str(error))

    async def _hash_up_to(self, state: _IncrementalHash, end: int) -> None:
        while state.offset < end:
            slice_end = min(end, state.offset + SLICE_SIZE)
            async with self._slots:
                await in_thread(_hash_stored_bytes, state, slice_end)


def _hash_stored_bytes(state: _IncrementalHash, end: int) -> None:
    key = state.session.store_key
    with store(state.session.store).open(key) as stored:
        stored.seek(state.offset)
        while state.offset < end:
            block = stored.read(min(READ_SIZE, end - state.offset))
            if not block:
                raise StoreError(f"{key} ends at byte {state.offset}, before its chunks do")
            state.digest.update([block])
