"""What clients sent to the store becomes files: it is compared with what they say and with what is allowed, made an
object, and recorded with its first job in one transaction. Whatever dies in between, doing it again goes on."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import structlog

from windlass.executors import in_database, in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.clock import monotonic
from windlass.kernel.errors import Conflict, FileTooLarge, InvalidField, Problem, QuotaExceeded, UploadGone
from windlass.kernel.principals import Caller
from windlass.protocols.intents import NamedPart
from windlass.receiving import agreement, completion, direct
from windlass.receiving import lease as leases
from windlass.receiving.admission import check_size, profile_of
from windlass.storage.contract import ObjectMissing, StoreError, SyncFailed
from windlass.storage.registry import store

T = TypeVar("T")

#: Uploads that one sweep takes at the same time.
_TOGETHER = 8

log = structlog.get_logger(__name__)


async def complete(
    upload_id: uuid.UUID, key: str, named: Sequence[NamedPart], caller: Caller, *, dialect: str, request_id: str = ""
) -> files.UploadSession:
    """Make the file of these parts; again answers the same.

    Raises NotFound, UploadGone, Conflict where the store has others, UploadLocked; FileTooLarge, InvalidField and
    QuotaExceeded, with which the upload is over; StoreError.
    """
    session = await in_database(direct.find, upload_id, key, caller, dialect)
    if "part_size" not in session.store_state:
        raise Conflict("This upload is sent in one request; it has no parts.")
    held = await _held(session)
    return session if held is None else await _Taking(*held, request_id).parts(named)


async def take(
    upload_id: uuid.UUID, key: str, caller: Caller, *, dialect: str, request_id: str = ""
) -> files.UploadSession:
    """Make the file of what was sent in one request; again, and of an upload that is complete, answers the same.
    Raises as ``complete`` does."""
    session = await in_database(direct.find, upload_id, key, caller, dialect)
    if "piece" not in session.store_state and session.status != files.UploadStatus.COMPLETED:
        raise Conflict("This upload is sent in parts, and its client says when they are all there.")
    held = await _held(session)
    if held is not None and not await _Taking(*held, request_id).whole():
        raise Conflict("Nothing has come to the store yet under this key.")
    return session if held is None else held[0]


def take_sent(dialect: str, *, seconds: float) -> int:
    """For the sweep: take what has come in one request, since its client need not tell. Blocks. Returns how many."""
    waiting = files.direct_uploads_to_check(dialect)
    return asyncio.run(_take_all(waiting, monotonic() + seconds)) if waiting else 0


async def _take_all(waiting: Sequence[files.UploadSession], until: float) -> int:
    room = asyncio.Semaphore(_TOGETHER)

    async def one(session: files.UploadSession) -> bool:
        async with room:
            return monotonic() < until and await _taken(session)

    return sum(await asyncio.gather(*map(one, waiting)))


async def _taken(session: files.UploadSession) -> bool:
    try:
        lease = await in_transaction(leases.take, session.id)
        if lease is not None and await _Taking(session, lease, "").whole():
            return True
    except (Problem, StoreError, files.UploadCompleted) as error:
        log.info("upload.not_taken", upload_id=str(session.id), error=str(error))
    await in_transaction(files.defer_direct_upload_check, session.id)
    return False


async def _held(session: files.UploadSession) -> tuple[files.UploadSession, files.Lease] | None:
    """The session with its lease; None, and the session as it is by now, where it is complete."""
    files.require_living(session)
    try:
        lease = await in_transaction(leases.take, session.id) or await leases.wait_for(session.id)
    except files.UploadCompleted:
        await in_database(session.refresh_from_db)
        return None
    found = await in_transaction(files.leased_upload, lease)
    if found is None:
        raise UploadGone("This upload ended while it was waited for.")
    return found, lease


class _Taking:
    """One upload under its lease, from the look at the store to the commit."""

    def __init__(self, session: files.UploadSession, lease: files.Lease, request_id: str) -> None:
        self._session, self._lease, self._request_id = session, lease, request_id
        self._target = direct.direct_store_of(session.store)

    async def parts(self, named: Sequence[NamedPart]) -> files.UploadSession:
        await self._leased(self._parts(named))
        return self._session

    async def whole(self) -> bool:
        """False where nothing has come, or what has come is being replaced."""
        return await self._leased(self._whole())

    async def _leased(self, work: Coroutine[Any, Any, T]) -> T:
        with leases.keeper.holding(self._session.id, _goes_on):
            try:
                return await work
            except files.LeaseLost as error:
                await self._was_ended()
                raise UploadGone("This upload was ended while it was being completed.") from error
            finally:
                await asyncio.shield(in_transaction(files.release_lease, self._lease))

    async def _parts(self, named: Sequence[NamedPart]) -> None:
        key, state = self._lease.store_key, self._lease.state
        try:
            there = await in_thread(self._target.uploaded_parts, key, state)
        except ObjectMissing:
            await self._record(await self._taken_before())
            return
        agreement.must_agree(there, named, self._target.min_part_size)
        await self._allow(sum(part.size for part in there), there[0].size)
        try:
            size = await in_thread(self._target.complete_multipart, key, state, there)
        except ObjectMissing:
            size = await self._taken_before()
        except SyncFailed as error:
            raise Conflict("The store has others by now than the parts that are named.") from error
        await self._record(size)

    async def _whole(self) -> bool:
        key, state = self._lease.store_key, self._lease.state
        sent = await in_thread(self._target.uploaded_single, key, state)
        if sent is None:
            return False
        await self._allow(sent.size)
        size = await in_thread(self._target.complete_single, key, state, sent)
        if size is None:
            return False
        await self._record(size)
        try:
            await in_thread(store(self._session.store).clear, key)
        except StoreError as error:  # it is a file by now; the sweep finds the rest
            log.warning("object.left_behind", key=key, reason=str(error))
        return True

    async def _allow(self, size: int, part_size: int | None = None) -> None:
        """Before anything becomes final: what breaks a rule is over."""
        try:
            agreement.must_be_announced(self._session, size)
            check_size(profile_of(self._session), size)
            await in_transaction(self._note, size, part_size)
        except (FileTooLarge, InvalidField, QuotaExceeded) as problem:
            await self._fail(problem.detail)
            raise

    def _note(self, size: int, part_size: int | None) -> None:
        """How much there is, against the quota too."""
        state = self._lease.state | ({} if part_size is None else {"part_size": part_size})
        ttl_hours = files.profile(self._session.profile).upload_ttl_hours
        files.commit_offset(self._lease, size, state, ttl_hours=ttl_hours)

    async def _taken_before(self) -> int:
        """The parts are gone: because the object was made of them, and whoever did so died before recording it?"""
        size = await in_thread(self._target.completed_size, self._lease.store_key, self._lease.state)
        if size is None:
            await self._fail("The store has nothing of this upload any more.")
            raise UploadGone("The store has nothing of this upload any more. Start a new one.")
        return size

    async def _record(self, size: int) -> None:
        try:
            await in_transaction(
                completion.record, self._lease, self._session, size=size, sha256=None, request_id=self._request_id
            )
        except QuotaExceeded as problem:
            await self._fail(problem.detail)
            raise

    async def _was_ended(self) -> None:
        """Whoever ended it freed what there was then; the object came after that."""
        await in_database(self._session.refresh_from_db)
        if self._session.status not in (*files.UNFINISHED_UPLOADS, files.UploadStatus.COMPLETED):
            await in_thread(store(self._session.store).discard, self._lease.store_key, self._lease.state)

    async def _fail(self, reason: str) -> None:
        if await in_transaction(files.mark_upload_ended, self._session.id, files.UploadStatus.FAILED, reason):
            await in_thread(store(self._session.store).discard, self._lease.store_key, self._lease.state)


def _goes_on() -> None:
    """Who wants the lease waits: what is under way at the store cannot be stopped half-way, and ends by itself."""
