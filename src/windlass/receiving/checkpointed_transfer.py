"""Transfer bytes from a source into a stored object: receive, hash, write, and checkpoint.

Two buffers: one is being filled while the other is being written. While both are full nothing is received, and that
is the backpressure. A Transfer knows no database; a LeasedUploadWriter commits its checkpoints to the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass
from enum import Enum

from windlass import conf
from windlass.executors import in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.clock import monotonic, now
from windlass.kernel.problem_types import QuotaExceeded
from windlass.protocols.digests import Proof
from windlass.receiving.body import BATCH_SIZE, LINGER_SECONDS, BodySocket, ByteSource, ClientGone
from windlass.receiving.digest import RunningDigest
from windlass.receiving.socket_moves import MOVE_BYTES, SocketMove
from windlass.resilience.minimum_rate import MinimumRate
from windlass.resilience.pacing import Pace
from windlass.storage.contract import Buffer, State, Store, Writer

#: A client faster than this (bytes a second, measured after the first UNMEASURED_BYTES) is not slowed down by hashing:
#: no network up to a gigabit is as fast, and the intake stage hashes the file from the page cache
#: (docs/decisions/0003-digest-while-receiving.md).
MAX_HASHED_RATE = 160 * 1024 * 1024
UNMEASURED_BYTES = 16 * 1024 * 1024

#: How much quota is reserved ahead of the written bytes while the length is unknown (bytes).
MIN_RESERVED_AHEAD, MAX_RESERVED_AHEAD = 1024 * 1024, 32 * 1024 * 1024

#: A pause that is shorter (seconds) is left out: it is counted, and comes with the next bytes.
SHORTEST_PAUSE = 0.02

#: Write all buffers one after the other at an offset. Called in a thread.
Write = Callable[[int, Sequence[Buffer]], object]

#: Make the bytes below an offset durable and commit it; returns the offset that was committed, which may be a little
#: lower.
Checkpoint = Callable[[int], Awaitable[int]]

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
    with every byte. With a ``pace`` nothing is received while too much has come for it.
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
    reserve: Reserve | None = None
    pace: Pace | None = None

    def __post_init__(self) -> None:
        self.written = self._start_offset = self._reserved = self._committed = self.offset
        self._started_at = monotonic()
        self._batch: list[Buffer] = []
        self._batch_size = 0
        self._write_task: asyncio.Future[list[object]] | None = None
        self._write_end, self._write_started_at = self.offset, monotonic()
        self._checkpoint_task: asyncio.Task[None] | None = None
        self._checkpoint_target, self._checkpoint_started_at = self.offset, monotonic()
        self._stop_requested = False
        self._read_timeout: asyncio.Timeout | None = None
        self._move: SocketMove | None = None
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
                if self._checkpoint_task is not None:
                    await self._checkpoint_task

    async def _receive(self) -> TransferEnd:
        left_after_stop = BATCH_SIZE
        while self.offset <= self.limit:
            socket = None if self._must_see_pieces else self.source.take_socket()
            if socket is not None:
                return await self._receive_from_socket(socket)
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
    def _must_see_pieces(self) -> bool:
        """Whether something is decided before each piece is written, or it is too late to begin with the socket."""
        return self.reserve is not None or self.pace is not None or self._stop_requested

    async def _receive_from_socket(self, socket: BodySocket) -> TransferEnd:
        """Receive the rest of the body by threads that read the socket, each for a moment, while bytes come."""
        try:
            await self._start_write()
            await self._finish_write()
            while socket.left:
                if self.offset >= self.limit:
                    return TransferEnd.OVER_LIMIT
                stops = self._stop_requested
                most = BATCH_SIZE if stops else MOVE_BYTES
                moved = await self._move_some(socket, min(most, self.limit - self.offset))
                await self._checkpoint_if_due()
                if stops:
                    return TransferEnd.BODY_ENDED if not socket.left else TransferEnd.STOP_REQUESTED
                if not moved and not self._stop_requested and not await self._wait_for_client(socket):
                    return TransferEnd.TIMED_OUT
            return TransferEnd.BODY_ENDED
        except ClientGone:
            return TransferEnd.CLIENT_GONE
        finally:
            socket.close()

    async def _move_some(self, socket: BodySocket, size: int) -> int:
        """Move what the client sends now; return the number of bytes. The thread uses the socket and the object: it is
        waited for even if this is cancelled."""
        if self.digest is not None and not self.must_hash and self._is_too_fast_to_hash():
            self.digest = None
        hashes = [hash_ for hash_ in (self.digest, self.proof) if hash_ is not None]
        self._move = move = SocketMove(socket, self.write, self.offset, size, hashes)
        running = asyncio.ensure_future(in_thread(move.run))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            move.stop_requested = True
            await asyncio.wait([running])
            raise
        finally:
            self._move = None
            self.offset = self.written = self.offset + move.moved
            socket.report()
        self._rate.account(0.0, move.moved)
        return move.moved

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
        if self.digest is not None and not self.must_hash and self._is_too_fast_to_hash():
            self.digest = None
        if self.digest is not None:
            work.append(in_thread(self.digest.update, batch))
        if self.proof is not None:
            work.append(in_thread(self.proof.update, batch))
        self._write_task = asyncio.gather(*work)
        self._write_end = self.offset

    def _is_too_fast_to_hash(self) -> bool:
        moved = self.offset - self._start_offset
        return moved >= UNMEASURED_BYTES and moved > MAX_HASHED_RATE * (monotonic() - self._started_at)

    async def _finish_write(self) -> None:
        if self._write_task is not None:
            write, self._write_task = self._write_task, None
            await asyncio.shield(write)
            self.written = self._write_end

    async def _checkpoint_if_due(self) -> None:
        """Start a checkpoint beside receiving if one is due; wait for the running one if too much would be lost.

        Each checkpoint covers half of CHECKPOINT_BYTES, the most that a crash may cost, so that the other half can be
        received meanwhile.
        """
        if self.checkpoint is None or self.written <= self._committed:
            return
        settings = conf.get()
        if self._checkpoint_task is not None and not self._checkpoint_task.done():
            if self.offset - self._committed + BATCH_SIZE < settings.checkpoint_bytes:
                return
            await self._checkpoint_task
        if (
            self.written - self._checkpoint_target >= settings.checkpoint_bytes // 2
            or monotonic() - self._checkpoint_started_at >= settings.checkpoint_seconds
        ):
            if self._checkpoint_task is not None:
                await self._checkpoint_task
            self._checkpoint_target, self._checkpoint_started_at = self.written, monotonic()
            self._checkpoint_task = asyncio.create_task(self._run_checkpoint(self.written))

    async def _run_checkpoint(self, offset: int) -> None:
        assert self.checkpoint is not None
        self._committed = await self.checkpoint(offset)


@dataclass(eq=False)
class LeasedUploadWriter:
    """Receives a body into the object of a session whose lease this request holds.

    After ``receive`` the bytes below ``offset`` are written; ``save`` makes them durable. ``close`` in every case.
    ``digest`` becomes None where hashing was given up. With a ``proof`` the bytes count only once they are verified,
    so there are no checkpoints.
    """

    store: Store
    lease: files.Lease
    digest: RunningDigest | None
    _: KW_ONLY
    must_hash: bool
    ttl_hours: float
    proof: Proof | None = None
    pace: Pace | None = None

    def __post_init__(self) -> None:
        # Reading the object again costs more than hashing where the store is not on this machine.
        self.must_hash = self.must_hash or not self.store.capabilities.local_files
        self._limit = 0
        self._writer: Writer | None = None
        self._transfer: Transfer | None = None
        self.offset = self.lease.offset
        self.state: State = self.lease.state

    def request_stop(self) -> None:
        """Receive what has already arrived, then end. Call it on the event loop only; may be repeated."""
        if self._transfer is not None:
            self._transfer.request_stop()

    async def receive(self, source: ByteSource, first: list[Buffer], limit: int) -> TransferEnd:
        """Write ``first`` and then the source, up to offset ``limit``. Raises StoreError, LeaseLost, QuotaExceeded."""
        self._limit = limit
        self._writer = await in_thread(open_leased_writer, self.store, self.lease)
        self._transfer = transfer = Transfer(
            source,
            self._writer.write,
            offset=self.lease.offset,
            limit=limit,
            digest=self.digest,
            must_hash=self.must_hash,
            proof=self.proof,
            checkpoint=None if self.proof else self._checkpoint,
            reserve=self._reserve if self.lease.size is None else None,
            pace=self.pace,
        )
        try:
            return await transfer.run(first)
        finally:
            self.offset, self.digest = transfer.written, transfer.digest

    async def save(self, *, completes: bool) -> None:
        """Make what was written durable; if it ``completes`` the upload, complete the object.

        Raises SyncFailed, StoreError.
        """
        await in_thread(self._save, completes)

    async def discard(self) -> bool:
        """Free what this request wrote. False where the store frees it only at the next append or the upload's end."""
        if self._writer is None:
            return True
        return await in_thread(self._writer.truncate, self.lease.offset)

    async def close(self) -> None:
        if self._writer is not None:
            await in_thread(self._writer.close)

    def _save(self, completes: bool) -> None:
        assert self._writer is not None
        if completes:
            self.state = self._writer.finish(self.offset, durable=syncs_complete_files())
        else:
            durable = syncs_acknowledgements()
            self.state, self.offset = self._writer.checkpoint(self.offset, durable=durable)

    async def _checkpoint(self, offset: int) -> int:
        assert self._writer is not None
        max_lag = conf.get().checkpoint_bytes // 2
        durable = syncs_acknowledgements()
        state, offset = await in_thread(self._writer.checkpoint, offset, max_lag=max_lag, durable=durable)
        if offset >= self._limit:
            return offset  # a client that finds every byte committed sends no request that completes the upload
        await in_transaction(files.commit_offset, self.lease, offset, state, ttl_hours=self.ttl_hours)
        self.state = state
        self._writer.committed(state)
        return offset

    async def _reserve(self, offset: int) -> int:
        """Reserve quota ahead of ``offset``, or only up to it. Raises QuotaExceeded, LeaseLost."""
        moved = offset - self.lease.offset
        ahead = min(offset + min(max(moved, MIN_RESERVED_AHEAD), MAX_RESERVED_AHEAD), max(self._limit, offset))
        try:
            await in_transaction(files.reserve_for_lease, self.lease, ahead)
        except QuotaExceeded:
            ahead = offset
            await in_transaction(files.reserve_for_lease, self.lease, ahead)
        return ahead


def syncs_acknowledgements() -> bool:
    """Whether bytes are synced before each acknowledgement (setting DURABILITY)."""
    return conf.get().durability == "strict"


def syncs_complete_files() -> bool:
    """Whether a file is synced when it is complete (setting DURABILITY)."""
    return conf.get().durability != "os"


def open_leased_writer(store: Store, lease: files.Lease) -> Writer:
    """Open the only writer of a leased upload's object. Blocks. Raises WriterBusy, StoreError, LeaseLost.

    The lease is checked after the object is locked: this process may have been stopped in between while another one
    had the upload. From then on the lock excludes all others, however long this process sleeps.
    """
    writer = store.open_writer(lease.store_key, lease.state)
    if now() >= lease.until:
        writer.close()
        raise files.LeaseLost(str(lease.upload_id))
    writer.truncate(lease.offset)  # a process that died may have written more than it committed
    return writer


def append_at_once(
    store: Store, lease: files.Lease, buffers: Sequence[Buffer], digest: RunningDigest | None, *, completes: bool
) -> State:
    """Append bytes that are all in memory to a leased upload's object; return its state. Blocks.

    ``completes``: the object is complete with them. Raises WriterBusy, SyncFailed, StoreError, LeaseLost.
    """
    with closing(open_leased_writer(store, lease)) as writer:
        size = writer.write(lease.offset, buffers)
        if digest is not None:
            digest.update(buffers)
        if completes:
            return writer.finish(lease.offset + size, durable=syncs_complete_files())
        return writer.sync(durable=syncs_acknowledgements())
