"""The SHA-256 of an upload in chunks, followed while they arrive.

Chunks come in any order, a hash takes bytes in one. So a follower reads, behind the chunks and beside the loop, what
has no gap before it, mostly from memory where the system still has it. When the last chunk is in, little is left.
What this process forgets, or another process has received, is read again when the digest is asked for.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field

import structlog
from django.db import DatabaseError

from windlass.executors import in_database, in_thread
from windlass.files import api as files
from windlass.kernel.chunk_layout import ChunkLayout
from windlass.receiving.digest import RunningDigest
from windlass.storage.contract import ObjectMissing, StoreError
from windlass.storage.registry import store

READ_SIZE = 1024 * 1024
#: What one thread hashes in one go, so that many uploads take turns (bytes).
SLICE = 16 * 1024 * 1024
#: Uploads that are hashed at the same time. More would take from receiving what completing gains.
AT_ONCE = 2
#: Uploads whose hash is kept between two chunks; the least recently used is forgotten first.
CAPACITY = 512

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChunkedObject:
    """Where the chunks of an upload lie."""

    upload_id: uuid.UUID
    store: str
    key: str
    layout: ChunkLayout


def object_of(session: files.UploadSession) -> ChunkedObject:
    return ChunkedObject(session.id, session.store, session.store_key, files.chunks.layout(session))


@dataclass(eq=False)
class _Follower:
    """The hash of the first ``chunks`` chunks. ``again``: look once more before resting."""

    what: ChunkedObject
    digest: RunningDigest = field(default_factory=RunningDigest)
    chunks: int = 0
    again: bool = False
    task: asyncio.Task[None] | None = None
    failure: StoreError | DatabaseError | None = None

    @property
    def offset(self) -> int:
        return self.digest.offset


class Prefixes:
    """The followers of this process. All methods belong to one event loop."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._kept: OrderedDict[uuid.UUID, _Follower] = OrderedDict()
        self._capacity = capacity
        self._turns = asyncio.Semaphore(AT_ONCE)

    def advance(self, what: ChunkedObject) -> asyncio.Task[None]:
        """A chunk was received: go on in the background, as far as there is no gap."""
        found = self._kept.setdefault(what.upload_id, _Follower(what))
        self._kept.move_to_end(what.upload_id)
        self._forget_oldest()
        found.again = True
        if found.task is None or found.task.done():
            found.task = asyncio.get_running_loop().create_task(self._follow(found))
        return found.task

    def up_to(self, what: ChunkedObject, index: int) -> RunningDigest | None:
        """A hash of everything before this chunk, to go on with beside ours; None where ours does not stand there."""
        found = self._kept.get(what.upload_id)
        if index == 0 and found is None:
            return RunningDigest()
        if found is None or found.chunks != index:
            return None
        return found.digest.copy()

    def adopt(self, what: ChunkedObject, digest: RunningDigest) -> None:
        """The next chunk was received, and this is the hash with it, unless another request was quicker."""
        found = self._kept.setdefault(what.upload_id, _Follower(what))
        self._kept.move_to_end(what.upload_id)
        self._forget_oldest()
        if digest.offset == what.layout.end(found.chunks + 1) and found.task is None:
            found.digest, found.chunks = digest, found.chunks + 1

    async def finish(self, what: ChunkedObject) -> str:
        """The digest (hex) of an upload whose chunks are all received. May be cancelled: the work goes on.

        Raises StoreError, DatabaseError.
        """
        while True:
            task = self.advance(what)
            await asyncio.wait({task})
            found = self._kept.get(what.upload_id)
            if found is None:
                continue  # forgotten meanwhile for others' sake
            if found.failure is not None:
                self.forget(what.upload_id)
                raise found.failure
            if found.offset == what.layout.size:
                return found.digest.hexdigest()

    def forget(self, upload_id: uuid.UUID) -> None:
        self._kept.pop(upload_id, None)

    async def _follow(self, follower: _Follower) -> None:
        what = follower.what
        try:
            while follower.again and follower.offset < what.layout.size:
                follower.again = False
                known = await in_database(files.chunks.prefix, what.upload_id, follower.chunks)
                if known > follower.chunks:
                    await self._read_to(follower, what.layout.end(known))
                    follower.chunks, follower.again = known, True
        except ObjectMissing:
            self.forget(what.upload_id)  # the upload was given up
            follower.failure = ObjectMissing(what.key)
        except (StoreError, DatabaseError) as error:
            self.forget(what.upload_id)
            follower.failure = error
            log.info("prefix.not_followed", upload_id=str(what.upload_id), error=str(error))

    async def _read_to(self, follower: _Follower, end: int) -> None:
        while follower.offset < end:
            stop = min(end, follower.offset + SLICE)
            async with self._turns:
                await in_thread(_hash, follower, stop)

    def _forget_oldest(self) -> None:
        for upload_id in list(self._kept)[: max(0, len(self._kept) - self._capacity)]:
            task = self._kept[upload_id].task
            if task is None or task.done():
                del self._kept[upload_id]


def _hash(follower: _Follower, end: int) -> None:
    with store(follower.what.store).open(follower.what.key) as source:
        source.seek(follower.offset)
        while follower.offset < end:
            block = source.read(min(READ_SIZE, end - follower.offset))
            if not block:
                raise StoreError(f"{follower.what.key} ends at byte {follower.offset}, before its chunks do")
            follower.digest.update([block])
