"""Write bodies into the object of an upload session whose lease this request holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import KW_ONLY, dataclass
from functools import cache, partial

from windlass import conf
from windlass.executors import in_database, in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.clock import now
from windlass.kernel.problem_types import QuotaExceeded
from windlass.protocols.digests import Proof
from windlass.receiving.body import ByteSource
from windlass.receiving.digest import RunningDigest
from windlass.receiving.durability import syncs_acknowledgements, syncs_complete_files
from windlass.receiving.transfer import Transfer, TransferEnd
from windlass.receiving.writer_threads import close_in_thread, open_in_thread
from windlass.resilience.pacing import Pace
from windlass.storage.contract import Buffer, State, Store, Writer

#: How much quota is reserved ahead of the written bytes while the length is unknown (bytes).
MIN_RESERVED_AHEAD, MAX_RESERVED_AHEAD = 1024 * 1024, 32 * 1024 * 1024

#: The disk begins to write when so many bytes have come, long before they are synced.
START_SYNC_BYTES = 8 * 1024 * 1024
START_SYNC_THREADS = 2


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
        self.must_hash = self.must_hash or hashes_always(self.store)
        self._limit = 0
        self._sync_started = self.lease.offset
        self._start: Future[None] | None = None
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
        self._writer = await open_in_thread(
            partial(open_leased_writer, self.store, self.lease, validity_of(self.lease))
        )
        self._transfer = transfer = Transfer(
            source,
            self._write_and_start_sync if syncs_acknowledgements() else self._writer.write,
            offset=self.lease.offset,
            limit=limit,
            digest=self.digest,
            must_hash=self.must_hash,
            proof=self.proof,
            checkpoint=None if self.proof else self._checkpoint,
            syncs=syncs_acknowledgements() and not self.store.capabilities.remote,
            reserve=self._reserve if self.lease.size is None else None,
            pace=self.pace,
            waits_for_network=self.store.capabilities.remote,
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
            await close_in_thread(self._close)

    def _write_and_start_sync(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write, and let the disk begin with what a sync will wait for. If it is behind, the start would wait for it,
        so another thread starts it, once at a time."""
        assert self._writer is not None
        end = offset + self._writer.write(offset, buffers)
        size = end - self._sync_started
        if size >= START_SYNC_BYTES and (self._start is None or self._start.done()):
            self._start = _start_threads().submit(self._writer.start_sync, self._sync_started, size)
            self._sync_started = end

    def _close(self) -> None:
        assert self._writer is not None
        if self._start is not None and not self._start.cancel():
            wait([self._start])  # it uses the object
        self._writer.close()

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


@cache
def _start_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(START_SYNC_THREADS, thread_name_prefix="windlass-writeback")


def open_leased_writer(store: Store, lease: files.Lease, is_valid: Callable[[], bool]) -> Writer:
    """Open the only writer of a leased upload's object. Blocks. Raises WriterBusy, StoreError, LeaseLost.

    The lease is checked after the object is locked: this process may have been stopped in between while another one
    had the upload. From then on the lock excludes all others, however long this process sleeps. What lies beyond the
    lease's offset was left by a process that died, or it was acknowledged to another request whose clock is not this
    one's: then the database is asked by ``is_valid``, which ``validity_of`` makes.
    """
    writer = store.open_writer(lease.store_key, lease.state)
    try:
        if now() >= lease.until or (writer.is_longer_than(lease.offset) and not is_valid()):
            raise files.LeaseLost(str(lease.upload_id))
        writer.truncate(lease.offset)
    except BaseException:  # also a cancelled wait for the database: an open writer would keep the object locked
        writer.close()
        raise
    return writer


def validity_of(lease: files.Lease) -> Callable[[], bool]:
    """A function for another thread that asks the database whether the lease is valid. Call this on the event loop.

    It waits until the lease ends: what has not been answered by then is not valid any more.
    """
    loop = asyncio.get_running_loop()

    def ask() -> bool:
        answer = asyncio.run_coroutine_threadsafe(in_database(files.is_lease_valid, lease), loop)
        try:
            return answer.result(max(0.0, (lease.until - now()).total_seconds()))
        except TimeoutError:
            answer.cancel()
            return False

    return ask


def hashes_always(target: Store) -> bool:
    """Whether an upload is hashed while it is received, however fast it is: to read it again afterwards costs more.

    Not where DURABILITY=os asks for the fastest receipt of files that this machine can open.
    """
    return syncs_complete_files() or not target.capabilities.local_files


def append_at_once(
    store: Store,
    lease: files.Lease,
    is_valid: Callable[[], bool],
    buffers: Sequence[Buffer],
    digest: RunningDigest | None,
    *,
    completes: bool,
) -> State:
    """Append bytes that are all in memory to a leased upload's object; return its state. Blocks.

    ``is_valid``: ``validity_of`` the lease. ``completes``: the object is complete with them. Raises WriterBusy,
    SyncFailed, StoreError, LeaseLost.
    """
    with closing(open_leased_writer(store, lease, is_valid)) as writer:
        size = writer.write(lease.offset, buffers)
        if digest is not None:
            digest.update(buffers)
        if completes:
            return writer.finish(lease.offset + size, durable=syncs_complete_files())
        return writer.sync(durable=syncs_acknowledgements())
