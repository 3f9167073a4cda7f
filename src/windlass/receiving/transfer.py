"""Transfer bytes from a source into a stored object: receive, hash, write, and checkpoint.

There are two ways. Through the event loop: two buffers, one being filled while the other is being written; while both
are full nothing is received, and that is the backpressure. By a thread that reads the socket (``direct_receive``),
where the server offers it. A Transfer knows no database; a LeasedUploadWriter commits its checkpoints to the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from enum import Enum

from windlass import conf
from windlass.executors import in_receive_thread, in_thread
from windlass.kernel.clock import monotonic
from windlass.kernel.problem_types import QuotaExceeded
from windlass.protocols.digests import Proof
from windlass.receiving.body import BATCH_SIZE, LINGER_SECONDS, BodySocket, ByteSource, ClientGone
from windlass.receiving.checkpoints import Checkpoint, Checkpoints
from windlass.receiving.digest import RunningDigest
from windlass.receiving.direct_receive import KEEPS_UP_RATE, MOVE_BYTES, Hash, SocketMove
from windlass.receiving.receive_rate import receive_rate
from windlass.resilience.minimum_rate import MinimumRate
from windlass.resilience.pacing import Pace
from windlass.storage.contract import Buffer

#: Where hashing may be given up, it is while all clients together are faster than this (bytes a second): no network up
#: to a gigabit is as fast. A client below the second rate keeps its hash, which costs little
#: (docs/decisions/0123-streams-at-speed.md).
MAX_HASHED_RATE, SLOW_CLIENT_RATE = 160 * 1024 * 1024, 5 * 1024 * 1024
#: What one call of a thread moves at most (bytes) before it is decided again whether to hash.
UNDECIDED_BYTES = 4 * 1024 * 1024

#: A pause that is shorter (seconds) is left out: it is counted, and comes with the next bytes.
SHORTEST_PAUSE = 0.02

#: Write all buffers one after the other at an offset. Called in a thread.
Write = Callable[[int, Sequence[Buffer]], object]

#: Reserve quota up to an offset; returns the offset up to which it is reserved. Raises where the quota is exceeded.
Reserve = Callable[[int], Awaitable[int]]


class TransferEnd(Enum):
    """Why a transfer ended."""

    BODY_ENDED = "the body ended"
    CLIENT_GONE = "the connection broke"
    TIMED_OUT = "the client sent nothing, or almost nothing, for too long"
    STOP_REQUESTED = "another request wants this upload, or the server is stopping"
    OVER_LIMIT = "more bytes came than the upload may have"


@dataclass(eq=False)
class Transfer:
    """Moves the bytes of one request. ``offset`` is how far they are received, ``written`` how far they are written.

    ``digest`` becomes None where hashing was given up for speed, which ``must_hash`` forbids. ``proof`` is updated
    with every byte. ``syncs``: a ``checkpoint`` waits for the disk. With a ``pace`` nothing is received while too much
    has come for it. A ``write`` that ``waits_for_network`` must not hold one of the few threads for receiving.
    """

    source: ByteSource
    write: Write
    _: KW_ONLY
    offset: int
    limit: int
    digest: RunningDigest | None
    must_hash: bool = False
    proof: Proof | RunningDigest | None = None
    checkpoint: Checkpoint | None = None
    syncs: bool = False
    reserve: Reserve | None = None
    pace: Pace | None = None
    waits_for_network: bool = False

    def __post_init__(self) -> None:
        self.written = self._reserved = self.offset
        self._started_at, self._started_from = monotonic(), self.offset
        self._batch: list[Buffer] = []
        self._batch_size = 0
        self._write_task: asyncio.Future[list[object]] | None = None
        self._write_end, self._write_started_at = self.offset, monotonic()
        self._checkpoints = Checkpoints(self.checkpoint, self.offset, is_durable=self.syncs)
        self._stop_requested = self._leaves_socket = False
        self._read_timeout: asyncio.Timeout | None = None
        self._move: SocketMove | None = None
        self._last_moved, self._last_began_at = 0, self._started_at
        settings = conf.get()
        self._rate = MinimumRate(settings.receive_timeout, settings.min_receive_rate)

    def request_stop(self) -> None:
        """Receive what has already arrived, then end. Call it on the event loop only."""
        self._stop_requested = True
        if self._move is not None:
            self._move.stop_requested = True
        if self._read_timeout is not None and not self._read_timeout.expired():
            self._read_timeout.reschedule(0)

    async def run(self, first: list[Buffer]) -> TransferEnd:
        """Move ``first``, then the bytes of the source. Raises StoreError, and what the given functions raise.

        Nothing of this transfer touches the store any more once this has returned or raised.
        """
        try:
            fits = all(self._add_to_batch(buffer) for buffer in first)
            await self._keep_pace(self._batch_size)
            end = await self._receive() if fits else TransferEnd.OVER_LIMIT
            await self._start_write()
            return end
        finally:
            try:
                await self._finish_write()
            finally:
                await self._checkpoints.finish()

    async def _receive(self) -> TransferEnd:
        left_after_stop = BATCH_SIZE
        while self.offset <= self.limit:
            socket = self.source.take_socket() if self._may_use_socket else None
            if socket is not None:
                end = await self._receive_from_socket(socket)
                if end is not None:
                    return end
            buffer = await self._read_next(left_after_stop)
            if isinstance(buffer, TransferEnd):
                return buffer
            if self._stop_requested:
                left_after_stop -= len(buffer)
            if not self._add_to_batch(buffer):
                return TransferEnd.OVER_LIMIT
            if self._batch_size >= BATCH_SIZE or monotonic() - self._write_started_at > LINGER_SECONDS:
                await self._start_write()
                await self._checkpoint_if_due()
            await self._keep_pace(len(buffer))
        return TransferEnd.OVER_LIMIT

    @property
    def _may_use_socket(self) -> bool:
        """Not where each piece is paced, where no more bytes may come, or where it is too late to begin."""
        can_begin = not self._stop_requested and not self._leaves_socket
        return self.pace is None and can_begin and self.offset < self.limit

    async def _receive_from_socket(self, socket: BodySocket) -> TransferEnd | None:
        """Receive by threads that read the socket, each for a moment, while bytes come.

        None: what is left, if anything, is read through the event loop, which finds out how the body ends.
        """
        try:
            await self._start_write()
            await self._finish_write()
            while not socket.ended and self.offset < self.limit:
                stops = self._stop_requested
                end = await self._reserve_for(socket)
                if end <= self.offset:
                    break
                move = await self._move_some(socket, min(self._move_bytes, end - self.offset))
                if move.surplus:
                    fits = self._add_to_batch(move.surplus)
                    await self._start_write()
                    await self._finish_write()
                    if not fits:
                        return TransferEnd.OVER_LIMIT
                await self._checkpoint_if_due()
                if stops and not socket.ended:
                    return TransferEnd.STOP_REQUESTED
                if move.is_dry and not self._stop_requested and not await self._wait_for_client(socket):
                    return TransferEnd.TIMED_OUT
            return None
        except ClientGone:
            return TransferEnd.CLIENT_GONE
        finally:
            self._leaves_socket = True
            socket.close()

    @property
    def _move_bytes(self) -> int:
        """What the next call of a thread moves at most, so that afterwards something may be decided or begun."""
        if self._stop_requested:
            return BATCH_SIZE
        if self.digest is not None and not self.must_hash:
            return UNDECIDED_BYTES
        return min(MOVE_BYTES, max(BATCH_SIZE, self._checkpoints.interval))

    async def _reserve_for(self, socket: BodySocket) -> int:
        """Return the offset up to which the socket may be read. The current one if the quota has no space for a batch:
        then each piece is reserved for as it comes."""
        if self.reserve is None:
            return self.limit
        needed = min(self.offset + min(BATCH_SIZE, socket.left), self.limit)
        if needed > self._reserved:
            try:
                self._reserved = await self.reserve(needed)
            except QuotaExceeded:
                return self.offset
        return min(self._reserved, self.limit)

    async def _move_some(self, socket: BodySocket, size: int) -> SocketMove:
        """Move what the client sends now. The thread uses the socket and the object: it is waited for even if this is
        cancelled."""
        began = monotonic()
        keeps_up = self._last_moved >= KEEPS_UP_RATE * (began - self._last_began_at)
        self._move = move = SocketMove(socket, self.write, self.offset, size, self._hashes(), keeps_up)
        in_suitable_thread = in_thread if self.waits_for_network else in_receive_thread
        running = asyncio.ensure_future(in_suitable_thread(move.run))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            move.stop_requested = True
            await asyncio.wait([running])
            raise
        finally:
            self._move, self._last_moved, self._last_began_at = None, move.moved, began
            self.offset = self.written = self.offset + move.moved
            receive_rate.add(move.moved, monotonic())
            socket.report()
        self._rate.account(0.0, move.moved)
        return move

    async def _wait_for_client(self, socket: BodySocket) -> bool:
        """Wait until the client sends or a stop is requested, and checkpoint meanwhile. False if it takes too long."""
        while self._rate.credit > 0:
            began = monotonic()
            try:
                async with asyncio.timeout(None) as self._read_timeout:
                    is_there = await socket.wait(min(self._rate.credit, conf.get().checkpoint_seconds))
            except TimeoutError:
                return True  # by request_stop
            finally:
                self._read_timeout = None
            self._rate.account(monotonic() - began, 0)
            if is_there:
                return True
            await self._checkpoint_if_due()
        return False

    async def _keep_pace(self, size: int) -> None:
        """Wait as long as the pace asks for after these bytes, which are written meanwhile; end with a stop request."""
        seconds = self.pace.delay(size) if self.pace is not None else 0.0
        if seconds < SHORTEST_PAUSE or self._stop_requested:
            return
        await self._start_write()
        await self._finish_write()
        await self._checkpoint_if_due()
        try:
            async with asyncio.timeout(seconds) as self._read_timeout:
                await asyncio.Event().wait()
        except TimeoutError:
            pass
        finally:
            self._read_timeout = None

    async def _read_next(self, left_after_stop: int) -> Buffer | TransferEnd:
        """Return the next buffer, or why there is none. Writes and checkpoints while it waits for the client."""
        if self._stop_requested and left_after_stop <= 0:
            return TransferEnd.STOP_REQUESTED
        settings = conf.get()
        began = monotonic()
        times_out_at = began + self._rate.credit
        while True:
            # Received bytes are written before the client is waited for: a pause may be long, and memory is shared.
            longest = LINGER_SECONDS if self._batch else settings.checkpoint_seconds
            wait = 0.0 if self._stop_requested else min(times_out_at - monotonic(), longest)
            try:
                async with asyncio.timeout(wait) as self._read_timeout:
                    buffer = await self.source.read()
                if buffer is None:
                    return TransferEnd.BODY_ENDED
                self._rate.account(monotonic() - began, len(buffer))
                return buffer
            except ClientGone:
                return TransferEnd.CLIENT_GONE
            except TimeoutError:
                if self._stop_requested:
                    return TransferEnd.STOP_REQUESTED
                if monotonic() >= times_out_at:
                    return TransferEnd.TIMED_OUT
                await self._start_write()
                await self._finish_write()
                await self._checkpoint_if_due()
            finally:
                self._read_timeout = None

    def _add_to_batch(self, buffer: Buffer) -> bool:
        """Add a buffer, cut at the limit. False where bytes had to be left out."""
        space = self.limit - self.offset
        accepted = buffer if len(buffer) <= space else memoryview(buffer)[:space]
        if len(accepted):
            self._batch.append(accepted)
            self._batch_size += len(accepted)
            self.offset += len(accepted)
            receive_rate.add(len(accepted), monotonic())
        return accepted is buffer

    async def _start_write(self) -> None:
        """Start to write the filled buffer once the other one is written."""
        await self._finish_write()
        self._write_started_at = monotonic()
        if not self._batch:
            return
        if self.reserve is not None and self.offset > self._reserved:
            self._reserved = await self.reserve(self.offset)
        batch, self._batch, self._batch_size = self._batch, [], 0
        work: list[Awaitable[object]] = [in_thread(self.write, self.written, batch)]
        work += [in_thread(running.update, batch) for running in self._hashes()]
        self._write_task = asyncio.gather(*work)
        self._write_end = self.offset

    def _hashes(self) -> Sequence[Hash]:
        """What the next bytes are added to, without the digest if it is given up."""
        if self.digest is not None and not self.must_hash and self._is_too_fast_to_hash():
            self.digest = None
        return [running for running in (self.digest, self.proof) if running is not None]

    def _is_too_fast_to_hash(self) -> bool:
        """By all uploads together: hashing many that share a fast network slows each down as much as a single one."""
        now = monotonic()
        moved, seconds = self.offset - self._started_from, now - self._started_at
        return moved > SLOW_CLIENT_RATE * seconds and receive_rate.at(now) > MAX_HASHED_RATE

    async def _finish_write(self) -> None:
        if self._write_task is not None:
            write, self._write_task = self._write_task, None
            await asyncio.shield(write)
            self.written = self._write_end

    async def _checkpoint_if_due(self) -> None:
        await self._checkpoints.run_if_due(self.offset, self.written)
