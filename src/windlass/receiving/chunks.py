"""Uploads in numbered chunks: begin, take a chunk, give up. The core of both chunk dialects; ``assembly`` completes.

A chunk is written where it belongs in the final object, under a claim of its own. It counts once its bytes are durable
and its digest is right; until then it is missing, and whatever lies in its place will be written over.
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
from windlass.receiving.chunk_body import ChunkBody, proved
from windlass.receiving.digest import IncrementalHashes, RunningDigest, chunked_object
from windlass.receiving.session import create_session
from windlass.storage.contract import State, Store, SyncFailed, WriterBusy
from windlass.storage.registry import store

DEFAULT_CHUNK_SIZE = 5 * 1024 * 1024
#: Of an upload with more chunks than this, only the figures are looked up for the reply to each chunk.
NAMED_CHUNKS = 1000

keeper = leases.Keeper(files.unrequested_chunks, files.renew_chunk_claims)
_incremental_hashes: dict[asyncio.AbstractEventLoop, IncrementalHashes] = {}


@dataclass(frozen=True, slots=True)
class ChunkOutcome:
    """A chunk is in. ``duplicate``: it was before this request, with the same bytes."""

    session: files.UploadSession
    progress: ChunkProgress
    duplicate: bool


def incremental_hashes() -> IncrementalHashes:
    """Those of the running loop."""
    loop = asyncio.get_running_loop()
    if loop not in _incremental_hashes:
        _incremental_hashes.clear()  # a loop that has ended uses its hashes no more
        _incremental_hashes[loop] = IncrementalHashes()
    return _incremental_hashes[loop]


async def begin(intent: CreateInChunks, principal: Principal, *, dialect: str) -> files.UploadSession:
    """Raises FileTooLarge, InvalidField, QuotaExceeded, StorageFull, StoreError."""
    new = admit(intent.description, intent.size, principal, dialect)
    new = replace(new, chunk_size=_chunk_size(store(new.store), intent.size, intent.chunk_size))
    return await create_session(new, files.create_upload)


async def put(intent: PutChunk, caller: Caller, source: ByteSource, *, dialect: str) -> ChunkOutcome:
    """Take one chunk. Sending the same chunk again is answered with ``duplicate``, another in its place is refused.

    Raises NotFound, UploadGone, BadRequest, Conflict, ChecksumMismatch, UploadLocked, ClientGone, StoreError.
    """
    session, claim = await _claimed(intent, caller, dialect)
    length = files.chunk_layout(session).length(intent.index)
    body = ChunkBody(source, intent, length, _carried(session, intent.index))
    if isinstance(claim, files.ReceivedChunk):
        sha256 = proved(intent, await body.digest())
        if sha256 != claim.sha256:
            raise Conflict(
                f"Chunk {intent.index} has been received with other bytes, and a chunk never changes.",
                chunk_index=intent.index,
            )
    else:
        await _Receiving(session, claim, body).run()
        _follow(session, body)
    progress = await in_database(progress_of, session.id, named=NAMED_CHUNKS)
    return ChunkOutcome(session, progress, duplicate=isinstance(claim, files.ReceivedChunk))


async def cancel(upload_id: uuid.UUID, caller: Caller, *, dialect: str) -> None:
    """Give an upload up and free its bytes; again answers the same. Raises NotFound, UploadGone, Conflict."""
    session = await in_database(find, upload_id, caller, dialect)
    if session.status == files.UploadStatus.CANCELLED:
        return
    if session.status == files.UploadStatus.COMPLETED:
        raise Conflict("This upload is complete. Its file has a record of its own, which can be deleted.")
    files.require_living(session)
    leases.keeper.ask(upload_id)
    await in_database(files.lifecycle.end_upload, session, files.UploadStatus.CANCELLED)
    incremental_hashes().forget(upload_id)


def find(upload_id: uuid.UUID, caller: Caller, dialect: str) -> files.UploadSession:
    """The caller's session, whatever its status, if it was begun in this dialect. Raises NotFound, Conflict."""
    session = files.get_upload(upload_id, caller())
    if session.dialect != dialect:
        raise Conflict(f"This upload was begun as {session.dialect}; it cannot go on as {dialect}.")
    return session


def progress_of(upload_id: uuid.UUID, *, named: int | None = None) -> ChunkProgress:
    """How far an upload in chunks is. Above ``named`` chunks only the figures are looked up. Blocks on the database."""
    session = files.UploadSession.objects.get(id=upload_id)
    layout = files.chunk_layout(session)
    if named is not None and layout.total > named:
        count = files.received_chunk_count(session)
        return ChunkProgress(layout.total, count, session.offset, _percentage(layout, count, session.offset))
    indexes = files.received_chunks(session)
    there = layout.bytes_of(indexes)
    return ChunkProgress(layout.total, len(indexes), there, _percentage(layout, len(indexes), there), indexes)


def first_missing(upload_id: uuid.UUID, total: int) -> int | None:
    """The chunk with the lowest index that is not in. Blocks on the database."""
    known = 0
    while (further := files.contiguous_chunk_count(upload_id, known)) > known:
        known = further
    return known if known < total else None


def stop_all() -> None:
    """The server is stopping: chunks under way are given up, and their clients send them again."""
    for receiving in list(_under_way):
        receiving.stop()


def _carried(session: files.UploadSession, index: int) -> RunningDigest | None:
    """The hash of everything before this chunk, to be carried on by it, where nothing can be read behind the chunks."""
    if store(session.store).capabilities.reads_unfinished:
        return None
    return incremental_hashes().digest_before(chunked_object(session), index)


def _follow(session: files.UploadSession, body: ChunkBody) -> None:
    """A chunk was received: the hash of the whole goes on, if it stood right before it."""
    if body.carried is not None:
        incremental_hashes().adopt(chunked_object(session), body.carried)
    elif store(session.store).capabilities.reads_unfinished:
        incremental_hashes().advance(chunked_object(session))


def _percentage(layout: ChunkLayout, count: int, there: int) -> float:
    if count == layout.total:
        return 100.0
    return min(99.99, round(100 * there / layout.size, 2))


def _chunk_size(target: Store, size: int, asked: int | None) -> int:
    """What was asked for, within what the store can do; else the usual, or more where the file is huge."""
    bounds = target.capabilities
    needed = -(-size // bounds.max_chunks)
    if needed > bounds.max_chunk_size:
        raise FileTooLarge(bounds.max_chunks * bounds.max_chunk_size, size, "file, where it comes in chunks,")
    if asked is None:
        usual = max(DEFAULT_CHUNK_SIZE, -(-needed // DEFAULT_CHUNK_SIZE) * DEFAULT_CHUNK_SIZE)
        return min(max(usual, bounds.min_chunk_size), bounds.max_chunk_size)
    found = min(max(asked, bounds.min_chunk_size), bounds.max_chunk_size)
    if found < needed:
        raise InvalidField(
            f"With chunks of {found} bytes the upload would have {-(-size // found)} chunks; at most "
            f"{bounds.max_chunks} chunks are allowed. Ask for a chunk_size of at least {needed} bytes.",
            field="chunk_size",
            limit=bounds.max_chunks,
            least_chunk_size=needed,
        )
    return found


async def _claimed(
    intent: PutChunk, caller: Caller, dialect: str
) -> tuple[files.UploadSession, files.ChunkClaim | files.ReceivedChunk]:
    """Waits for another request that brings the same chunk, which mostly is about to end."""
    deadline, pause = monotonic() + leases.WAIT_SECONDS, 0.01
    while True:
        session, found = await in_transaction(_claim, intent, caller, dialect)
        if not isinstance(found, files.ClaimedChunk):
            return session, found
        if monotonic() > deadline:
            raise UploadLocked(f"Another request is still bringing chunk {intent.index}. Try again shortly.")
        if not keeper.ask(found.id):
            await in_transaction(files.request_chunk, found)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.25)


def _claim(
    intent: PutChunk, caller: Caller, dialect: str
) -> tuple[files.UploadSession, files.ChunkClaim | files.ReceivedChunk | files.ClaimedChunk]:
    session = find(intent.upload_id, caller, dialect)
    files.require_living(session)
    layout = files.chunk_layout(session)
    if not 0 <= intent.index < layout.total:
        raise BadRequest(
            f"There is no chunk {intent.index}: this upload has {layout.total}, counted from 0.",
            field="chunk_index",
            total_chunks=layout.total,
        )
    _must_fit(intent, layout.length(intent.index))
    return session, files.claim_chunk(session, intent.index, leases.holder(), leases.LEASE_SECONDS)


def _must_fit(intent: PutChunk, length: int) -> None:
    """By what the head says; the bytes are counted too."""
    if intent.body_length is not None and intent.body_length != length:
        raise ChunkBody.wrong_length(intent.index, length, intent.body_length)


class _Receiving:
    """One request under its claim, from its first byte to its commit."""

    def __init__(self, session: files.UploadSession, claim: files.ChunkClaim, body: ChunkBody) -> None:
        self._session = session
        self._claim = claim
        self._body = body

    def stop(self) -> None:
        self._body.request_stop()

    async def run(self) -> None:
        _under_way.add(self)
        try:
            with keeper.holding(self._claim.id, self._body.stop_if_silent):
                sha256, state = await self._body.store(self._session, self._claim)
                await in_transaction(self._accept, sha256, state)
        except files.ClaimLost as error:
            await self._give_back()  # it lapsed here, and perhaps nobody took it
            raise await in_database(self._why_lost) from error
        except SyncFailed:
            reason = "Its bytes could not be made durable."
            await in_transaction(files.mark_upload_ended, self._session.id, files.UploadStatus.FAILED, reason)
            raise
        except WriterBusy as error:
            await self._give_back()
            raise UploadLocked("A process that no longer answers still holds this chunk's place.") from error
        except BaseException:
            await self._give_back()
            raise
        finally:
            _under_way.discard(self)

    def _accept(self, sha256: str, state: State) -> None:
        ttl_hours = files.profile(self._session.profile).upload_ttl_hours
        files.accept_chunk(
            self._claim, self._session, self._body.length, sha256, ttl_hours=ttl_hours, store_state=state
        )

    def _why_lost(self) -> UploadGone | UploadLocked:
        session = files.load_upload(self._session.id)
        if session is None or session.status not in files.UNFINISHED_UPLOADS:
            return UploadGone("This upload ended while the chunk was on its way.")
        return UploadLocked("Another request brings this chunk now.")

    async def _give_back(self) -> None:
        await asyncio.shield(in_transaction(files.release_chunk, self._claim))


_under_way: set[_Receiving] = set()
