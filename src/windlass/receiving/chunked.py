"""Chunked uploads, for both chunk APIs: create one, put numbered chunks, report progress, cancel.

A chunk is written where it belongs in the final object, under a claim of its own. It counts once its bytes are durable
and its digest is verified; until then it is missing, and whatever is stored in its place is overwritten.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.db import DatabaseError

from windlass.executors import in_database, in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.chunk_layout import ChunkLayout
from windlass.kernel.clock import monotonic
from windlass.kernel.principals import Caller, Principal
from windlass.kernel.problem_types import (
    BadRequest,
    ChecksumMismatch,
    Conflict,
    FileTooLarge,
    InvalidField,
    ReceiveTimeout,
    Unavailable,
    UploadGone,
    UploadLocked,
)
from windlass.protocols.intents import ChunkProgress, CreateInChunks, PutChunk
from windlass.receiving import lease as leases
from windlass.receiving.admission import admit, pace_of
from windlass.receiving.body import BodySocket, ByteSource, ClientGone, read_initial_body
from windlass.receiving.digest import IncrementalHashes, RunningDigest
from windlass.receiving.durability import syncs_acknowledgements
from windlass.receiving.session import create_session, fail_after_sync_error, find_session
from windlass.receiving.transfer import Transfer, TransferEnd, Write
from windlass.receiving.writer_threads import close_in_thread, open_in_thread
from windlass.storage.contract import Buffer, State, Store, SyncFailed, Writer, WriterBusy
from windlass.storage.registry import store

DEFAULT_CHUNK_SIZE = 5 * 1024 * 1024
#: The reply to a chunk lists the received chunks only if the upload has at most so many.
MAX_LISTED_CHUNKS = 1000
#: A request that sends a chunk is stopped for another one if its client has sent nothing for this long (seconds).
SILENT_SECONDS = 1.0

keeper = leases.LeaseKeeper(files.CHUNK_CLAIMS.unrequested, files.CHUNK_CLAIMS.renew)
_incremental_hashes: dict[asyncio.AbstractEventLoop, IncrementalHashes] = {}


@dataclass(frozen=True, slots=True)
class ChunkOutcome:
    """A received chunk. ``duplicate``: it was received before this request, with the same bytes."""

    session: files.UploadSession
    progress: ChunkProgress
    duplicate: bool


def incremental_hashes() -> IncrementalHashes:
    """Return the hashes of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _incremental_hashes:
        _incremental_hashes.clear()  # the other loops have ended
        _incremental_hashes[loop] = IncrementalHashes()
    return _incremental_hashes[loop]


async def create(
    intent: CreateInChunks, principal: Principal, *, dialect: str, claim: files.KeyClaim | None = None
) -> files.UploadSession:
    """Create a chunked upload. ``claim``: of the request's idempotency key, if it has one.

    Raises FileTooLarge, InvalidField, QuotaExceeded, RequestInProgress, StorageFull, StoreError.
    """
    new = admit(intent.description, intent.size, principal, dialect)
    new = replace(new, chunk_size=_chunk_size(store(new.store), intent.size, intent.chunk_size), claim=claim)
    return await create_session(new, files.create_upload)


async def put(intent: PutChunk, caller: Caller, source: ByteSource, *, dialect: str) -> ChunkOutcome:
    """Receive one chunk. The same chunk sent again is a ``duplicate``; other bytes in its place are refused.

    Raises NotFound, UploadGone, BadRequest, Conflict, ChecksumMismatch, UploadLocked, ReceiveTimeout, Unavailable,
    ClientGone, StoreError.
    """
    session, claim = await _claim_when_free(intent, caller, dialect)
    operation = _PutOperation(session, intent, source)
    if isinstance(claim, files.ReceivedChunk):
        if await operation.hash_only() != claim.sha256:
            raise Conflict(
                f"Chunk {intent.index} has been received with other bytes, and a chunk never changes.",
                chunk_index=intent.index,
            )
    else:
        await operation.receive(claim)
    progress = await in_database(progress_of, session.id, max_listed=MAX_LISTED_CHUNKS)
    return ChunkOutcome(session, progress, duplicate=isinstance(claim, files.ReceivedChunk))


async def cancel(upload_id: uuid.UUID, caller: Caller, *, dialect: str) -> None:
    """Cancel an upload and free its bytes. Idempotent. Raises NotFound, UploadGone, Conflict, StoreError."""
    session = await in_database(find_session, upload_id, caller, dialect)
    if session.status == files.UploadStatus.CANCELLED:
        return
    if session.status == files.UploadStatus.COMPLETED:
        raise Conflict("This upload is complete. Its file has a record of its own, which can be deleted.")
    files.require_living(session)
    leases.keeper.request_stop(upload_id)
    await in_database(files.end_upload, session, files.UploadStatus.CANCELLED)
    incremental_hashes().forget(upload_id)


def progress_of(upload_id: uuid.UUID, *, max_listed: int | None = None) -> ChunkProgress:
    """Return the progress of a chunked upload; without the list of chunks if it has more than ``max_listed``.

    Blocks on the database.
    """
    session = files.UploadSession.objects.get(id=upload_id)
    layout = files.chunk_layout(session)
    if max_listed is not None and layout.total > max_listed:
        count = files.received_chunk_count(session)
        return ChunkProgress(layout.total, count, session.offset, _percentage(layout, count, session.offset))
    indexes = files.received_chunks(session)
    received = layout.bytes_of(indexes)
    return ChunkProgress(layout.total, len(indexes), received, _percentage(layout, len(indexes), received), indexes)


def first_missing(upload_id: uuid.UUID, total: int) -> int | None:
    """Return the lowest index of a missing chunk. Blocks on the database."""
    contiguous = 0
    while (further := files.contiguous_chunk_count(upload_id, contiguous)) > contiguous:
        contiguous = further
    return contiguous if contiguous < total else None


def stop_all() -> None:
    """The server is stopping: give up the chunks that are being received; their clients send them again."""
    for operation in list(_running):
        operation.request_stop()


def _percentage(layout: ChunkLayout, count: int, received: int) -> float:
    if count == layout.total:
        return 100.0
    return min(99.99, round(100 * received / layout.size, 2))


def _chunk_size(target: Store, size: int, requested: int | None) -> int:
    """Return the requested chunk size within the limits of the store; else the default, or more for a huge file."""
    limits = target.capabilities
    needed = -(-size // limits.max_chunks)
    if needed > limits.max_chunk_size:
        raise FileTooLarge(limits.max_chunks * limits.max_chunk_size, size, "file, where it comes in chunks,")
    if requested is None:
        default = max(DEFAULT_CHUNK_SIZE, -(-needed // DEFAULT_CHUNK_SIZE) * DEFAULT_CHUNK_SIZE)
        return min(max(default, limits.min_chunk_size), limits.max_chunk_size)
    chunk_size = min(max(requested, limits.min_chunk_size), limits.max_chunk_size)
    if chunk_size < needed:
        raise InvalidField(
            f"With chunks of {chunk_size} bytes the upload would have {-(-size // chunk_size)} chunks; at most "
            f"{limits.max_chunks} chunks are allowed. Ask for a chunk_size of at least {needed} bytes.",
            field="chunk_size",
            limit=limits.max_chunks,
            least_chunk_size=needed,
        )
    return chunk_size


async def _claim_when_free(
    intent: PutChunk, caller: Caller, dialect: str
) -> tuple[files.UploadSession, files.ChunkClaim | files.ReceivedChunk]:
    """Claim the chunk; wait for another request that sends the same chunk. Raises UploadLocked."""
    deadline, pause = monotonic() + leases.WAIT_SECONDS, 0.01
    while True:
        session, claim = await in_transaction(_claim, intent, caller, dialect)
        if not isinstance(claim, files.ClaimedChunk):
            return session, claim
        if monotonic() > deadline:
            raise UploadLocked(f"Another request is sending chunk {intent.index} and has not ended. Try again shortly.")
        if not keeper.request_stop(claim.id):
            await in_transaction(files.CHUNK_CLAIMS.request, claim.id, leases.LEASE_SECONDS)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.25)


def _claim(
    intent: PutChunk, caller: Caller, dialect: str
) -> tuple[files.UploadSession, files.ChunkClaim | files.ReceivedChunk | files.ClaimedChunk]:
    session = find_session(intent.upload_id, caller, dialect)
    files.require_living(session)
    layout = files.chunk_layout(session)
    if not 0 <= intent.index < layout.total:
        raise BadRequest(
            f"There is no chunk {intent.index}: this upload has {layout.total}, counted from 0.",
            field="chunk_index",
            total_chunks=layout.total,
        )
    length = layout.length(intent.index)
    if intent.body_length is not None and intent.body_length != length:
        raise _wrong_length(intent.index, length, intent.body_length)
    return session, files.claim_chunk(session, intent.index, leases.holder(), leases.LEASE_SECONDS)


def _wrong_length(index: int, length: int, received: int | None = None) -> BadRequest:
    """Return the refusal of a chunk that must have ``length`` bytes. ``received`` None: more than that."""
    stated = "more came" if received is None else f"{received} bytes came"
    members: dict[str, Any] = {"limit": length} | ({} if received is None else {"received": received})
    return BadRequest(f"Chunk {index} of this upload has {length} bytes; {stated}.", chunk_index=index, **members)


class _PutOperation:
    """One request that sends a chunk, from its first byte to its commit.

    Both ways raise BadRequest for a wrong length, ChecksumMismatch, ClientGone, ReceiveTimeout, Unavailable,
    UploadLocked.
    """

    def __init__(self, session: files.UploadSession, intent: PutChunk, source: ByteSource) -> None:
        self._session = session
        self._intent = intent
        self._source = _TimedSource(source)
        layout = files.chunk_layout(session)
        self._offset, self._length = layout.offset(intent.index), layout.length(intent.index)
        self._transfer: Transfer | None = None

    def request_stop(self) -> None:
        """End the transfer. Call it on the event loop only; may be repeated."""
        if self._transfer is not None:
            self._transfer.request_stop()

    async def hash_only(self) -> str:
        """Return the SHA-256 (hex) of the body without storing it."""
        return await self._transfer_body([], lambda offset, buffers: None)

    async def receive(self, claim: files.ChunkClaim) -> None:
        """Write the body at the chunk's place, make it durable and record the chunk.

        Also raises UploadGone, SyncFailed, StoreError. After an error the bytes at the chunk's place are undefined.
        """
        _running.add(self)
        try:
            with keeper.holding(claim.id, self._stop_if_silent):
                await self._receive_and_accept(claim)
        except SyncFailed:
            await fail_after_sync_error(self._session)
            raise
        except BaseException as error:  # also if the request is cancelled: another one may send the chunk at once
            await asyncio.shield(in_transaction(files.release_chunk, claim))
            if isinstance(error, files.ClaimLost):
                raise await in_database(self._lost_claim) from error
            if isinstance(error, WriterBusy):
                raise UploadLocked("A process that does not answer any more has locked this chunk's place.") from error
            raise
        finally:
            _running.discard(self)

    async def _receive_and_accept(self, claim: files.ChunkClaim) -> None:
        hashes = incremental_hashes()
        reads_back = store(self._session.store).capabilities.reads_unfinished
        # Where an unfinished object cannot be read back, the hash of the upload is continued while the chunk arrives.
        running_digest = None if reads_back else hashes.digest_before(self._session, self._intent.index)
        sha256, state = await self._receive(claim, running_digest)
        ttl_hours = files.profile(self._session.profile).upload_ttl_hours
        await in_transaction(
            files.accept_chunk, claim, self._session, self._length, sha256, ttl_hours=ttl_hours, store_state=state
        )
        if running_digest is not None:
            hashes.adopt(self._session, running_digest)
        elif reads_back:
            hashes.advance(self._session)

    async def _receive(self, claim: files.ChunkClaim, running_digest: RunningDigest | None) -> tuple[str, State]:
        """Return the SHA-256 (hex) of the chunk and the store's state of it, once it is durable."""
        initial = await read_initial_body(self._source)
        if initial.gone:
            raise ClientGone
        if initial.ended or initial.size > self._length:
            self._require_length(initial.size)
            return await self._store_at_once(claim, initial.buffers, running_digest)
        writer = await self._open_writer(claim)
        try:
            sha256 = await self._transfer_body(initial.buffers, writer.write, running_digest)
            return sha256, await in_thread(writer.sync, durable=syncs_acknowledgements())
        finally:
            await close_in_thread(writer.close)

    async def _store_at_once(
        self, claim: files.ChunkClaim, buffers: list[Buffer], running_digest: RunningDigest | None
    ) -> tuple[str, State]:
        sha256 = await in_thread(self._digest_of, buffers)
        writer = await self._open_writer(claim)
        # Shielded: work that is cancelled before it begins would leave the writer open, and the chunk's place locked.
        return sha256, await asyncio.shield(in_thread(self._write_all, writer, buffers, running_digest))

    def _digest_of(self, buffers: list[Buffer]) -> str:
        digest = RunningDigest()
        digest.update(buffers)
        return self._verify_digest(digest)

    def _write_all(self, writer: Writer, buffers: list[Buffer], running_digest: RunningDigest | None) -> State:
        with closing(writer):
            writer.write(self._offset, buffers)
            if running_digest is not None:
                running_digest.update(buffers)
            return writer.sync(durable=syncs_acknowledgements())

    async def _open_writer(self, claim: files.ChunkClaim) -> Writer:
        """Open the only writer of the chunk's place. Raises WriterBusy, ClaimLost, StoreError.

        The claim is checked after the region is locked: this process may have been stopped in between while another
        one received the chunk. From then on the lock excludes all others. The database is asked, because the clocks
        of two processes may differ.
        """
        target, key, state = store(self._session.store), self._session.store_key, self._session.store_state
        region = (self._offset, self._length)
        writer = await open_in_thread(partial(target.open_writer, key, state, shared=True, region=region))
        try:
            if not await in_database(files.is_chunk_claimed, claim):
                raise files.ClaimLost(str(claim.id))
        except (files.ClaimLost, DatabaseError, asyncio.CancelledError):  # else nobody could send the chunk any more
            await close_in_thread(writer.close)
            raise
        return writer

    async def _transfer_body(
        self, first: list[Buffer], write: Write, running_digest: RunningDigest | None = None
    ) -> str:
        """Pass ``first`` and the rest of the body to ``write``; return the SHA-256 (hex) of a complete chunk."""
        self._transfer = transfer = Transfer(
            self._source,
            write,
            offset=self._offset,
            limit=self._offset + self._length,
            digest=RunningDigest(),
            must_hash=True,
            proof=running_digest,
            pace=pace_of(self._session),
            waits_for_network=store(self._session.store).capabilities.remote,
        )
        match await transfer.run(first):
            case TransferEnd.CLIENT_GONE:
                raise ClientGone
            case TransferEnd.OVER_LIMIT:
                raise _wrong_length(self._intent.index, self._length)
            case TransferEnd.TIMED_OUT:
                raise ReceiveTimeout(f"Nothing came for too long. Send chunk {self._intent.index} again.")
            case TransferEnd.STOP_REQUESTED if leases.keeper.stopping:
                raise Unavailable(f"The server is stopping. Send chunk {self._intent.index} again shortly.", 1)
            case TransferEnd.STOP_REQUESTED:
                raise UploadLocked(
                    f"Nothing came for a while, and another request sends chunk {self._intent.index} now."
                )
        self._require_length(transfer.written - self._offset)
        assert transfer.digest is not None
        return self._verify_digest(transfer.digest)

    def _verify_digest(self, digest: RunningDigest) -> str:
        """Return the digest (hex). Raises ChecksumMismatch if another one was announced."""
        announced, actual = self._intent.sha256, digest.hexdigest()
        if announced is not None and announced != actual:
            raise ChecksumMismatch(
                f"Chunk {self._intent.index} has the SHA-256 {actual}; {announced} was announced. It does not count.",
                expected=announced,
                actual=actual,
                chunk_index=self._intent.index,
            )
        return actual

    def _require_length(self, received: int) -> None:
        if received != self._length:
            raise _wrong_length(self._intent.index, self._length, received)

    def _stop_if_silent(self) -> None:
        if monotonic() - self._source.last_read_at >= SILENT_SECONDS:
            self.request_stop()

    def _lost_claim(self) -> UploadGone | UploadLocked:
        """Return why the claim was lost. Blocks on the database."""
        session = files.load_upload(self._session.id)
        if session is None or session.status not in files.UNFINISHED_UPLOADS:
            return UploadGone("This upload ended while the chunk was being received.")
        return UploadLocked("Another request sends this chunk now.")


class _TimedSource:
    """A byte source that records when it was last read from (monotonic seconds)."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._socket: BodySocket | None = None
        self._last_read_at = monotonic()

    @property
    def last_read_at(self) -> float:
        return self._last_read_at if self._socket is None else self._socket.last_received_at

    async def read(self) -> Buffer | None:
        buffer = await self._source.read()
        self._socket, self._last_read_at = None, monotonic()
        return buffer

    def take_socket(self) -> BodySocket | None:
        self._socket = self._source.take_socket()
        return self._socket

    def leaves_in_socket(self, size: int) -> bool:
        return self._source.leaves_in_socket(size)


_running: set[_PutOperation] = set()
