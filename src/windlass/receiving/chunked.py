"""Chunked uploads, for both chunk APIs: create one, put numbered chunks, report progress, cancel.

A chunk is written where it belongs in the final object, under a claim of its own. It counts once its bytes are durable
and its digest is verified; until then it is missing, and whatever is stored in its place is overwritten.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace

from windlass.executors import in_database, in_transaction
from windlass.files import api as files
from windlass.kernel.chunk_layout import ChunkLayout
from windlass.kernel.clock import monotonic
from windlass.kernel.errors import BadRequest, Conflict, FileTooLarge, InvalidField, UploadGone, UploadLocked
from windlass.kernel.principals import Caller, Principal
from windlass.protocols.intents import ChunkProgress, CreateInChunks, PutChunk
from windlass.receiving import lease as leases
from windlass.receiving.admission import admit
from windlass.receiving.body import ByteSource
from windlass.receiving.chunk_transfer import ChunkTransfer, verify_chunk_digest, wrong_chunk_length
from windlass.receiving.digest import IncrementalHashes, RunningDigest, chunked_object
from windlass.receiving.session import create_session, fail_after_sync_error, find_session
from windlass.storage.contract import State, Store, SyncFailed, WriterBusy
from windlass.storage.registry import store

DEFAULT_CHUNK_SIZE = 5 * 1024 * 1024
#: The reply to a chunk lists the received chunks only if the upload has at most so many.
MAX_LISTED_CHUNKS = 1000

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


async def create(intent: CreateInChunks, principal: Principal, *, dialect: str) -> files.UploadSession:
    """Create a chunked upload. Raises FileTooLarge, InvalidField, QuotaExceeded, StorageFull, StoreError."""
    new = admit(intent.description, intent.size, principal, dialect)
    new = replace(new, chunk_size=_chunk_size(store(new.store), intent.size, intent.chunk_size))
    return await create_session(new, files.create_upload)


async def put(intent: PutChunk, caller: Caller, source: ByteSource, *, dialect: str) -> ChunkOutcome:
    """Receive one chunk. The same chunk sent again is a ``duplicate``; other bytes in its place are refused.

    Raises NotFound, UploadGone, BadRequest, Conflict, ChecksumMismatch, UploadLocked, ReceiveTimeout, Unavailable,
    ClientGone, StoreError.
    """
    session, claim = await _claim_when_free(intent, caller, dialect)
    length = files.chunk_layout(session).length(intent.index)
    transfer = ChunkTransfer(source, intent, length, _running_digest(session, intent.index))
    if isinstance(claim, files.ReceivedChunk):
        sha256 = verify_chunk_digest(intent, await transfer.hash_only())
        if sha256 != claim.sha256:
            raise Conflict(
                f"Chunk {intent.index} has been received with other bytes, and a chunk never changes.",
                chunk_index=intent.index,
            )
    else:
        await _PutOperation(session, claim, transfer).run()
        _advance_hash(session, transfer)
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
        operation.stop()


def _running_digest(session: files.UploadSession, index: int) -> RunningDigest | None:
    """Return the digest of everything before this chunk, for a store whose unfinished objects cannot be read back."""
    if store(session.store).capabilities.reads_unfinished:
        return None
    return incremental_hashes().digest_before(chunked_object(session), index)


def _advance_hash(session: files.UploadSession, transfer: ChunkTransfer) -> None:
    """Continue the hash of the upload with the chunk that was received, if it is the next one."""
    if transfer.running_digest is not None:
        incremental_hashes().adopt(chunked_object(session), transfer.running_digest)
    elif store(session.store).capabilities.reads_unfinished:
        incremental_hashes().advance(chunked_object(session))


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
            raise UploadLocked(f"Another request is still bringing chunk {intent.index}. Try again shortly.")
        if not keeper.request_stop(claim.id):
            await in_transaction(files.CHUNK_CLAIMS.request, claim.id)
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
        raise wrong_chunk_length(intent.index, length, intent.body_length)
    return session, files.claim_chunk(session, intent.index, leases.holder(), leases.LEASE_SECONDS)


class _PutOperation:
    """One request that stores a chunk under its claim, from its first byte to its commit."""

    def __init__(self, session: files.UploadSession, claim: files.ChunkClaim, transfer: ChunkTransfer) -> None:
        self._session = session
        self._claim = claim
        self._transfer = transfer

    def stop(self) -> None:
        self._transfer.request_stop()

    async def run(self) -> None:
        _running.add(self)
        try:
            with keeper.holding(self._claim.id, self._transfer.stop_if_silent):
                sha256, state = await self._transfer.store(self._session, self._claim)
                await in_transaction(self._accept, sha256, state)
        except SyncFailed:
            await fail_after_sync_error(self._session)
            raise
        except BaseException as error:
            await asyncio.shield(in_transaction(files.release_chunk, self._claim))
            if isinstance(error, files.ClaimLost):
                raise await in_database(self._lost_claim) from error
            if isinstance(error, WriterBusy):
                raise UploadLocked("A process that no longer answers still holds this chunk's place.") from error
            raise
        finally:
            _running.discard(self)

    def _accept(self, sha256: str, state: State) -> None:
        ttl_hours = files.profile(self._session.profile).upload_ttl_hours
        files.accept_chunk(
            self._claim, self._session, self._transfer.length, sha256, ttl_hours=ttl_hours, store_state=state
        )

    def _lost_claim(self) -> UploadGone | UploadLocked:
        """Return why the claim was lost. Blocks on the database."""
        session = files.load_upload(self._session.id)
        if session is None or session.status not in files.UNFINISHED_UPLOADS:
            return UploadGone("This upload ended while the chunk was on its way.")
        return UploadLocked("Another request brings this chunk now.")


_running: set[_PutOperation] = set()
