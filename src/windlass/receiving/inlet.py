"""One request writing to one leased upload: the transfer, its checkpoints, and what is kept however it ends."""

from __future__ import annotations

from windlass.executors import in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.errors import QuotaExceeded
from windlass.protocols.digests import Proof
from windlass.receiving import writing
from windlass.receiving.body import ByteSource
from windlass.receiving.digest import RunningDigest
from windlass.receiving.transfer import Transfer, TransferEnd
from windlass.storage.contract import Buffer, State, Store, Writer

#: How much of a quota is reserved ahead of what is written, where the length is not known (bytes).
LEAST_AHEAD, MOST_AHEAD = 1024 * 1024, 32 * 1024 * 1024


class Inlet:
    """Bytes into the object of a session whose lease this request holds.

    After ``receive`` the bytes below ``offset`` are in the store; ``save`` makes them as durable as an
    acknowledgement promises. ``close`` in every case. ``digest`` becomes None where hashing was given up.

    ``proof``: the bytes count only once they are proved, so there are no checkpoints on the way.
    """

    def __init__(
        self,
        store: Store,
        lease: files.Lease,
        digest: RunningDigest | None,
        *,
        must_hash: bool,
        ttl_hours: float,
        proof: Proof | None = None,
    ) -> None:
        self._store = store
        self._lease = lease
        self.digest = digest
        self._must_hash = must_hash
        self._ttl_hours = ttl_hours
        self._proof = proof
        self._limit = 0
        self._writer: Writer | None = None
        self._transfer: Transfer | None = None
        self.offset = lease.offset
        self.state: State = lease.state

    def request_stop(self) -> None:
        """Take what has already arrived, and end. From the event loop only; may be repeated."""
        if self._transfer is not None:
            self._transfer.request_stop()

    async def receive(self, source: ByteSource, first: list[Buffer], limit: int) -> TransferEnd:
        """Move ``first`` and then the source, up to ``limit`` bytes of the whole. Raises StoreError, LeaseLost."""
        self._limit = limit
        self._writer = await in_thread(writing.open_leased, self._store, self._lease)
        self._transfer = transfer = Transfer(
            source,
            self._writer,
            offset=self._lease.offset,
            limit=limit,
            digest=self.digest,
            must_hash=self._must_hash or writing.must_hash(self._store),
            proof=self._proof,
            checkpoint=None if self._proof else self._checkpoint,
            reserve=self._reserve if self._lease.size is None else None,
        )
        try:
            return await transfer.run(first)
        finally:
            self.offset, self.digest = transfer.written, transfer.digest

    async def save(self, *, completes: bool) -> None:
        """Durable as promised; when it completes the upload, the object is whole. Raises SyncFailed, StoreError."""
        await in_thread(self._save, completes)

    async def discard(self) -> bool:
        """Free what was written, of which nothing counts. False where the store cannot do that before the next append
        or the upload's end."""
        if self._writer is None:
            return True
        return await in_thread(self._writer.truncate, self._lease.offset)

    async def close(self) -> None:
        if self._writer is not None:
            await in_thread(self._writer.close)

    def _save(self, completes: bool) -> None:
        assert self._writer is not None
        if not completes:
            self.state, self.offset = writing.save_up_to(self._writer, self.offset)
            return
        self.state = writing.finish_written(self._writer, self.offset)

    async def _checkpoint(self, offset: int) -> int:
        assert self._writer is not None
        state, offset = await in_thread(writing.checkpoint, self._writer, offset)
        if offset >= self._limit:
            return offset  # a client that finds every byte there sends no request to complete it; this one is about to
        await in_transaction(files.commit_offset, self._lease, offset, state, ttl_hours=self._ttl_hours)
        self.state = state
        self._writer.committed(state)
        return offset

    async def _reserve(self, offset: int) -> int:
        """The length is not known, so the quota is asked on the way: for a good deal more than is needed now, or else
        for that. Raises QuotaExceeded, LeaseLost."""
        moved = offset - self._lease.offset
        ahead = min(offset + min(max(moved, LEAST_AHEAD), MOST_AHEAD), max(self._limit, offset))
        try:
            await in_transaction(files.reserve_for_lease, self._lease, ahead)
        except QuotaExceeded:
            ahead = offset
            await in_transaction(files.reserve_for_lease, self._lease, ahead)
        return ahead
