"""Hash a request body off the event loop while something else receives it."""

from __future__ import annotations

import asyncio

from windlass.executors import in_thread
from windlass.protocols.idempotency import BodyDigest
from windlass.storage.contract import Buffer

#: Bytes that are hashed in one call of a thread. At most twice as many wait in memory.
BATCH_SIZE = 1024 * 1024


class BodyHasher:
    """Feeds a digest with the pieces of one body. Cancelling a method loses no bytes and feeds none twice."""

    def __init__(self, digest: BodyDigest) -> None:
        self.size = 0
        self._digest = digest
        self._batch: list[Buffer] = []
        self._batch_size = 0
        self._task: asyncio.Future[None] | None = None

    def add(self, buffer: Buffer) -> None:
        self._batch.append(buffer)
        self._batch_size += len(buffer)
        self.size += len(buffer)

    async def keep_up(self) -> None:
        """Wait until there is room for more: hashing must not fall behind receiving."""
        if self._batch_size >= BATCH_SIZE:
            await self._wait()
            self._start()

    async def finish(self) -> str:
        """Return the digest. Nothing may be added after this; it may be called again."""
        await self._wait()
        if self._batch:
            self._start()
            await self._wait()
        return self._digest.hexdigest()

    def _start(self) -> None:
        batch, self._batch, self._batch_size = self._batch, [], 0
        self._task = asyncio.ensure_future(in_thread(self._digest.update, batch))

    async def _wait(self) -> None:
        if self._task is not None:
            await asyncio.shield(self._task)
            self._task = None
