"""Complete direct uploads: compare what the store has with what the client lists and with the limits, make the object,
and record the file with its first job in one transaction. After a crash at any point it can be repeated."""

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
from windlass.receiving import lease as leases
from windlass.receiving.admission import check_size, profile_of
from windlass.receiving.completion import record_file
from windlass.receiving.direct_upload import direct_store_of, find_direct, require_multipart
from windlass.receiving.session import fail_session, has_ended_without_file, leased_session
from windlass.storage.contract import ObjectMissing, StoreError, SyncFailed, UploadedPart
from windlass.storage.registry import store

T = TypeVar("T")

#: Uploads that one sweep completes at the same time.
_CONCURRENT = 8

log = structlog.get_logger(__name__)


async def complete_multipart(
    upload_id: uuid.UUID, key: str, named: Sequence[NamedPart], caller: Caller, *, dialect: str, request_id: str = ""
) -> files.UploadSession:
    """Make the file of the named parts. Idempotent.

    Raises NotFound, UploadGone, UploadLocked, StoreError; Conflict if the store has other parts; FileTooLarge,
    InvalidField and QuotaExceeded, with which the session has failed.
    """
    session = await in_database(find_direct, upload_id, key, caller, dialect)
    require_multipart(session)
    leased = await _take_lease(session)
    return session if leased is None else await _DirectCompletion(*leased, request_id).complete_multipart(named)


async def complete_single(
    upload_id: uuid.UUID, key: str, caller: Caller, *, dialect: str, request_id: str = ""
) -> files.UploadSession:
    """Make the file of what was sent in one request. Idempotent. Raises as ``complete_multipart`` does."""
    session = await in_database(find_direct, upload_id, key, caller, dialect)
    if "piece" not in session.store_state and session.status != files.UploadStatus.COMPLETED:
        raise Conflict("This upload is sent in parts, and its client says when they are all there.")
    leased = await _take_lease(session)
    if leased is not None and not await _DirectCompletion(*leased, request_id).complete_single():
        raise Conflict("Nothing has come to the store yet under this key.")
    return session if leased is None else leased[0]


def complete_sent_uploads(dialect: str, *, seconds: float) -> int:
    """Complete uploads that were sent in one request, whose clients need not report it, for about so long.

    Returns how many. Blocks. For the sweep.
    """
    waiting = files.direct_uploads_to_check(dialect)
    return asyncio.run(_complete_all(waiting, monotonic() + seconds)) if waiting else 0


async def _complete_all(waiting: Sequence[files.UploadSession], until: float) -> int:
    slots = asyncio.Semaphore(_CONCURRENT)

    async def complete_in_slot(session: files.UploadSession) -> bool:
        async with slots:
            return monotonic() < until and await _complete_if_sent(session)

    return sum(await asyncio.gather(*map(complete_in_slot, waiting)))


async def _complete_if_sent(session: files.UploadSession) -> bool:
    try:
        lease = await in_transaction(leases.take_lease, session.id)
        if lease is not None and await _DirectCompletion(session, lease, "").complete_single():
            return True
    except (Problem, StoreError, files.UploadCompleted) as error:
        log.info("upload.not_completed", upload_id=str(session.id), error=str(error))
    await in_transaction(files.defer_direct_upload_check, session.id)
    return False


async def _take_lease(session: files.UploadSession) -> tuple[files.UploadSession, files.Lease] | None:
    """Return the session with its lease. None if it is complete; ``session`` is refreshed then."""
    files.require_living(session)
    try:
        lease = await in_transaction(leases.take_lease, session.id) or await leases.wait_for_lease(session.id)
    except files.UploadCompleted:
        await in_database(session.refresh_from_db)
        return None
    return await in_transaction(leased_session, lease), lease


def verify_parts(uploaded: Sequence[UploadedPart], named: Sequence[NamedPart], min_part_size: int) -> None:
    """Check that the store has exactly the named parts, all of one size but the last. Raises Conflict."""
    tags, named_tags = {part.number: part.tag for part in uploaded}, {part.number: part.tag for part in named}
    _refuse_parts("The store lacks the parts", sorted(named_tags.keys() - tags.keys()))
    _refuse_parts("The store has more than the parts that are named:", sorted(tags.keys() - named_tags.keys()))
    different = [number for number in sorted(named_tags) if named_tags[number] != tags[number]]
    _refuse_parts("The store has others in the place of the parts", different)
    *others, last = uploaded
    size = others[0].size if others else last.size
    unequal = [part.number for part in uploaded if part.size != size and (part is not last or part.size > size)]
    _refuse_parts(
        f"All parts but the last must have the size of the first, {size} bytes; others have the parts", unequal
    )
    too_small = [part.number for part in others if part.size < min_part_size]
    _refuse_parts(f"All parts but the last must have {min_part_size} bytes at least; fewer have the parts", too_small)


def _refuse_parts(reason: str, numbers: Sequence[int]) -> None:
    if numbers:
        more = ", …" if len(numbers) > 10 else ""
        raise Conflict(f"{reason} {', '.join(map(str, numbers[:10]))}{more}.", parts=list(numbers[:1000]))


class _DirectCompletion:
    """The completion of one upload whose lease is held."""

    def __init__(self, session: files.UploadSession, lease: files.Lease, request_id: str) -> None:
        self._session, self._lease, self._request_id = session, lease, request_id
        self._target = direct_store_of(session.store)

    async def complete_multipart(self, named: Sequence[NamedPart]) -> files.UploadSession:
        await self._with_lease(self._complete_multipart(named))
        return self._session

    async def complete_single(self) -> bool:
        """False if nothing was sent, or what was sent is being replaced."""
        return await self._with_lease(self._complete_single())

    async def _with_lease(self, work: Coroutine[Any, Any, T]) -> T:
        with leases.keeper.holding(self._session.id, _keep_going):
            try:
                return await work
            except files.LeaseLost as error:
                await self._discard_if_ended()
                raise UploadGone("This upload was ended while it was being completed.") from error
            finally:
                await asyncio.shield(in_transaction(files.release_lease, self._lease))

    async def _complete_multipart(self, named: Sequence[NamedPart]) -> None:
        key, state = self._lease.store_key, self._lease.state
        try:
            uploaded = await in_thread(self._target.uploaded_parts, key, state)
        except ObjectMissing:
            await self._record(await self._size_of_completed_object())
            return
        verify_parts(uploaded, named, self._target.min_part_size)
        await self._check_limits(sum(part.size for part in uploaded), uploaded[0].size)
        try:
            size = await in_thread(self._target.complete_multipart, key, state, uploaded)
        except ObjectMissing:
            size = await self._size_of_completed_object()
        except SyncFailed as error:
            raise Conflict("The store has others by now than the parts that are named.") from error
        await self._record(size)

    async def _complete_single(self) -> bool:
        key, state = self._lease.store_key, self._lease.state
        uploaded = await in_thread(self._target.uploaded_single, key, state)
        if uploaded is None:
            return False
        await self._check_limits(uploaded.size)
        size = await in_thread(self._target.complete_single, key, state, uploaded)
        if size is None:
            return False
        await self._record(size)
        try:
            await in_thread(store(self._session.store).clear, key)
        except StoreError as error:  # the file is recorded; the sweep deletes the rest
            log.warning("object.left_behind", key=key, reason=str(error))
        return True

    async def _check_limits(self, size: int, part_size: int | None = None) -> None:
        """Check size and quota before the object is made. If a limit is exceeded, the session fails."""
        announced = self._session.size
        if announced is not None and announced != size:
            raise Conflict(
                f"The store has {size} bytes of this upload; {announced} were announced.",
                limit=announced,
                received=size,
            )
        try:
            check_size(profile_of(self._session), size)
            await in_transaction(self._commit_size, size, part_size)
        except (FileTooLarge, InvalidField, QuotaExceeded) as problem:
            await fail_session(self._session, problem.detail)
            raise

    def _commit_size(self, size: int, part_size: int | None) -> None:
        state = self._lease.state | ({} if part_size is None else {"part_size": part_size})
        ttl_hours = files.profile(self._session.profile).upload_ttl_hours
        files.commit_offset(self._lease, size, state, ttl_hours=ttl_hours)

    async def _size_of_completed_object(self) -> int:
        """Return the size of the object that an earlier attempt made of the parts. Raises UploadGone."""
        size = await in_thread(self._target.completed_size, self._lease.store_key, self._lease.state)
        if size is None:
            await fail_session(self._session, "The store has nothing of this upload any more.")
            raise UploadGone("The store has nothing of this upload any more. Start a new one.")
        return size

    async def _record(self, size: int) -> None:
        try:
            await in_transaction(
                record_file, self._lease, self._session, size=size, sha256=None, request_id=self._request_id
            )
        except QuotaExceeded as problem:
            await fail_session(self._session, problem.detail)
            raise

    async def _discard_if_ended(self) -> None:
        """Delete the object of a session that was ended: it was made after the session's bytes were freed."""
        if await in_database(has_ended_without_file, self._session.id):
            await in_thread(store(self._session.store).discard, self._lease.store_key, self._lease.state)


def _keep_going() -> None:
    """Another request wants the lease and waits: work in progress at the store cannot be interrupted."""
