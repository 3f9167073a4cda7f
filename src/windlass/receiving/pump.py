"""Bytes from a source into the store: receive, hash, write, and never wait for one of them more than needed.

Two buffers: one being filled, one being written. While the second is full and the first not yet written, nothing is
received, and that is the backpressure. No database here: ``checkpoint`` is the caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum

from windlass import conf
from windlass.executors import in_thread
from windlass.kernel.clock import monotonic
from windlass.protocols.digests import Proof
from windlass.receiving.digest import RunningDigest
from windlass.receiving.source import ClientGone, Source
from windlass.resilience.minimum_rate import MinimumRate
from windlass.storage.contract import Buffer, Writer

#: Bytes collected before a write is started: few enough to stay in the cache, enough for a thread hop to be cheap.
BATCH = 1024 * 1024

#: A client slower than one batch in this time has each of its buffers written as it comes, so that none is held.
LINGER = 0.1

#: A client faster than this (bytes a second, after the first HASTE_AFTER bytes) is not held up by hashing: it is nearer
#: than any gigabit network, and the intake stage reads the file from memory (docs/decisions: digest while receiving).
HASTE = 160 * 1024 * 1024
HASTE_AFTER = 16 * 1024 * 1024

#: Given what is written; returns what of it a crash cannot take any more, which is all or nearly all.
Checkpoint = Callable[[int], Awaitable[int]]


#: Given how far is to be written; returns how far may be before it is asked again. Raises where that is not allowed.
Reserve = Callable[[int], Awaitable[int]]


class End(Enum):
    """Why receiving ended."""

    BODY = "the body ended"
    CLIENT_GONE = "the connection broke"
    SILENT = "the client sent nothing, or almost nothing, for too long"
    ASKED = "another request wants this upload, or the server is stopping"
    OVER_LIMIT = "more bytes came than the upload may have"


class Pump:
    """Moves one request's bytes. ``offset`` is what has been received, ``written`` what the store has.

    ``digest`` becomes None where hashing was given up for speed, which ``must_hash`` forbids. ``proof`` always sees
    every byte.
    """

    def __init__(
        self,
        source: Source,
        writer: Writer,
        *,
        offset: int,
        limit: int,
        digest: RunningDigest | None,
        must_hash: bool = False,
        proof: Proof | RunningDigest | None = None,
        checkpoint: Checkpoint | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        self._source = source
        self._writer = writer
        self._limit = limit
        self.digest = digest
        self._must_hash = must_hash
        self._proof = proof
        self._first, self._first_at = offset, monotonic()
        self._checkpoint = checkpoint
        self._reserve, self._reserved = reserve, offset
        self.offset = self.written = offset
        self._batch: list[Buffer] = []
        self._batched = 0
        self._flight: asyncio.Future[list[object]] | None = None
        self._flight_end = offset
        self._started_write = monotonic()
        self._saving: asyncio.Task[None] | None = None
        self._begun, self._begun_at = offset, monotonic()
        self._saved = offset
        self._asked = False
        self._patience: asyncio.Timeout | None = None
        settings = conf.get()
        self._rate = MinimumRate(settings.receive_timeout, settings.min_receive_rate)

    def ask_to_stop(self) -> None:
        """Take what has already arrived, and end. From the event loop only."""
        self._asked = True
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(0)

    async def run(self, first: list[Buffer]) -> End:
        """Move ``first`` and then the source's bytes. Raises StoreError, or what ``checkpoint`` raises."""
        try:
            fits = all(self._take(buffer) for buffer in first)
            end = await self._receive() if fits else End.OVER_LIMIT
            await self._start_write()
            return end
        finally:
            await self._settle_all()

    async def _receive(self) -> End:
        allowance = BATCH
        while self.offset <= self._limit:
            buffer = await self._next(allowance)
            if isinstance(buffer, End):
                return buffer
            if self._asked:
                allowance -= len(buffer)
            if not self._take(buffer):
                return End.OVER_LIMIT
            if self._batched >= BATCH or monotonic() - self._started_write > LINGER:
                await self._start_write()
                await self._save_if_due()
        return End.OVER_LIMIT

    async def _next(self, allowance: int) -> Buffer | End:
        """The next buffer, or why there is none. Waits no longer than the client, or a checkpoint, may."""
        if self._asked and allowance <= 0:
            return End.ASKED
        settings = conf.get()
        began = monotonic()
        silent_at = began + self._rate.credit
        while True:
            # What has come is written before the client is waited for: a pause may be long, and the memory is shared.
            longest = LINGER if self._batch else settings.checkpoint_seconds
            wait = 0.0 if self._asked else min(silent_at - monotonic(), longest)
            try:
                async with asyncio.timeout(wait) as self._patience:
                    buffer = await self._source.read()
                if buffer is None:
                    return End.BODY
                self._rate.account(monotonic() - began, len(buffer))
                return buffer
            except ClientGone:
                return End.CLIENT_GONE
            except TimeoutError:
                if self._asked:
                    return End.ASKED
                if monotonic() >= silent_at:
                    return End.SILENT
                await self._start_write()
                await self._settle()
                await self._save_if_due()
            finally:
                self._patience = None

    def _take(self, buffer: Buffer) -> bool:
        """Add to the batch, up to the limit. False where bytes had to be left out."""
        room = self._limit - self.offset
        kept = buffer if len(buffer) <= room else memoryview(buffer)[:room]
        if len(kept):
            self._batch.append(kept)
            self._batched += len(kept)
            self.offset += len(kept)
        return kept is buffer

    async def _start_write(self) -> None:
        """Hand the filled buffer over once the other one is written."""
        await self._settle()
        self._started_write = monotonic()
        if not self._batch:
            return
        if self._reserve is not None and self.offset > self._reserved:
            self._reserved = await self._reserve(self.offset)
        batch, self._batch, self._batched = self._batch, [], 0
        work: list[Awaitable[object]] = [in_thread(self._writer.write, self.written, batch)]
        if self.digest is not None and not self._must_hash and self._is_in_haste():
            self.digest = None
        if self.digest is not None:
            work.append(in_thread(self.digest.update, batch))
        if self._proof is not None:
            work.append(in_thread(self._proof.update, batch))
        self._flight = asyncio.gather(*work)
        self._flight_end = self.offset

    def _is_in_haste(self) -> bool:
        moved = self.offset - self._first
        return moved >= HASTE_AFTER and moved > HASTE * (monotonic() - self._first_at)

    async def _settle(self) -> None:
        if self._flight is not None:
            flight, self._flight = self._flight, None
            await asyncio.shield(flight)
            self.written = self._flight_end

    async def _settle_all(self) -> None:
        """Nothing of this pump touches the store any more once it has ended, however it ended."""
        try:
            await self._settle()
        finally:
            if self._saving is not None:
                await self._saving

    async def _save_if_due(self) -> None:
        """Begin a checkpoint where one is due, beside receiving; wait for one where too much would be at stake.

        Half of what a crash may cost is checkpointed at a time, so that the other half can come in meanwhile.
        """
        if self._checkpoint is None or self.written <= self._saved:
            return
        settings = conf.get()
        if self._saving is not None and not self._saving.done():
            if self.offset - self._saved + BATCH < settings.checkpoint_bytes:
                return
            await self._saving
        if (
            self.written - self._begun >= settings.checkpoint_bytes // 2
            or monotonic() - self._begun_at >= settings.checkpoint_seconds
        ):
            if self._saving is not None:
                await self._saving
            self._begun, self._begun_at = self.written, monotonic()
            self._saving = asyncio.create_task(self._save(self.written))

    async def _save(self, offset: int) -> None:
        assert self._checkpoint is not None
        self._saved = await self._checkpoint(offset)
