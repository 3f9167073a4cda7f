"""Direct uploads, which clients send to the store itself: create one, sign its requests, list its parts, complete it.

No byte passes through this server. A signed request allows one thing: an object under a key made here, for a short
time, of the declared length. On completion what the store has is compared with what the client lists and with the
limits, the object is made, and one transaction records the file with its first job. After a crash at any point the
completion can be repeated.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

import structlog

from windlass import conf
from windlass.executors import in_database, in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.clock import monotonic
from windlass.kernel.principals import Caller, Principal
from windlass.kernel.problem_types import (
    BadRequest,
    Conflict,
    FileTooLarge,
    InvalidField,
    NotFound,
    NotSupported,
    Problem,
    QuotaExceeded,
    UploadGone,
)
from windlass.protocols.dialects import Dialect
from windlass.protocols.intents import CreateDirect, NamedPart
from windlass.receiving import lease as leases
from windlass.receiving.admission import admit, check_declared_type, check_size, profile_of
from windlass.receiving.completion import record_file
from windlass.receiving.session import (
    create_session,
    end_session,
    fail_session,
    find_session,
    has_ended_without_file,
    leased_session,
)
from windlass.storage.contract import (
    DirectStore,
    ObjectMissing,
    SignedRequest,
    State,
    Store,
    StoreError,
    SyncFailed,
    UploadedPart,
    direct_store,
)
from windlass.storage.registry import store

#: The ETag that is listed for the parts of a completed upload, whose own ETags are not known any more.
COMPLETED_PART_TAG = "taken"
#: Uploads that one sweep completes at the same time.
_CONCURRENT_COMPLETIONS = 8

_NOTHING_STORED = "The store has nothing of this upload any more. Start a new one."

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CreatedDirectUpload:
    """``signed``: the request that sends the whole file. None for an upload in parts, which are signed one by one."""

    session: files.UploadSession
    key: str
    signed: SignedRequest | None = None


def url_lifetime() -> int:
    """Return the lifetime of a signed URL (seconds)."""
    return conf.get().upload_url_seconds


def admit_direct(intent: CreateDirect, principal: Principal) -> files.NewUpload:
    """Return the session to create, checked against everything that is declared.

    Raises NotSupported if the store has no direct uploads, UnsupportedMediaType, FileTooLarge, InvalidField,
    BadRequest.
    """
    new = admit(intent.description, intent.size, principal, Dialect.S3)
    target = direct_store_of(new.store)
    check_declared_type(new.profile, intent.description)
    if intent.in_parts:
        return new
    if intent.size is not None and intent.size > target.max_single_size:
        raise FileTooLarge(target.max_single_size, intent.size, "file, where it comes in one request,")
    if intent.size is None and not intent.as_form:
        raise BadRequest("A request that is no form is signed for a size: say it as metadata[size].", field="size")
    return replace(new, max_size=min(new.profile.max_size, target.max_single_size))


async def create(new: files.NewUpload, intent: CreateDirect) -> CreatedDirectUpload:
    """Create an admitted direct upload. Raises BadRequest, QuotaExceeded, StorageFull, StoreError."""
    part_size = _part_size(direct_store_of(new.store), intent) if intent.in_parts else 0
    session = await create_session(new, files.create_upload, partial(_create_object, part_size, intent.in_parts))
    if intent.in_parts:
        return CreatedDirectUpload(session, key_of(session))
    signed = await in_thread(_sign_single, session, intent, new.profile.min_size)
    return CreatedDirectUpload(session, key_of(session), signed)


async def part_urls(upload_id: uuid.UUID, key: str, numbers: Sequence[int], caller: Caller) -> dict[int, str]:
    """Return signed URLs for these parts. Raises NotFound, Conflict, UploadGone, BadRequest, FileTooLarge."""
    session = await in_database(_find_multipart, upload_id, key, caller)
    if session.status == files.UploadStatus.COMPLETED:
        raise Conflict("This upload is complete and takes no more parts.")
    if files.is_extendable(session):
        await in_transaction(files.extend_direct_upload, upload_id, files.profile(session.profile).upload_ttl_hours)
    return await in_thread(_sign_parts, session, numbers)


async def parts(upload_id: uuid.UUID, key: str, caller: Caller) -> list[UploadedPart]:
    """List the parts that the store has. Raises NotFound, Conflict, UploadGone, StoreError."""
    session = await in_database(_find_multipart, upload_id, key, caller)
    if session.status == files.UploadStatus.COMPLETED:
        return _completed_parts(session)
    try:
        uploaded = await in_thread(
            direct_store_of(session.store).uploaded_parts, session.store_key, session.store_state
        )
    except ObjectMissing as error:
        raise UploadGone(_NOTHING_STORED) from error
    await in_transaction(files.record_stored_bytes, session.id, sum(part.size for part in uploaded))
    return uploaded


async def abort(upload_id: uuid.UUID, key: str, caller: Caller) -> None:
    """Cancel an upload and free what the store has of it. Idempotent. Raises NotFound, Conflict, StoreError."""
    session = await in_database(find_direct, upload_id, key, caller)
    if session.status == files.UploadStatus.COMPLETED:
        raise Conflict("This upload is complete. Its file has a record of its own, which can be deleted.")
    await end_session(session, files.UploadStatus.CANCELLED)


async def complete_multipart(
    upload_id: uuid.UUID, key: str, named: Sequence[NamedPart], caller: Caller, *, request_id: str = ""
) -> files.UploadSession:
    """Make the file of the named parts. Idempotent.

    Raises NotFound, UploadGone, UploadLocked, StoreError; Conflict if the store has other parts; FileTooLarge,
    InvalidField and QuotaExceeded, with which the session has failed.
    """
    session = await in_database(find_direct, upload_id, key, caller)
    require_multipart(session)
    leased = await _take_lease(session)
    return session if leased is None else await _DirectCompletion(*leased, request_id).complete_multipart(named)


async def complete_single(
    upload_id: uuid.UUID, key: str, caller: Caller, *, request_id: str = ""
) -> files.UploadSession:
    """Make the file of what was sent in one request. Idempotent. Raises as ``complete_multipart`` does."""
    session = await in_database(find_direct, upload_id, key, caller)
    if "piece" not in session.store_state and session.status != files.UploadStatus.COMPLETED:
        raise Conflict("This upload is sent in parts, and its client says when they are all there.")
    leased = await _take_lease(session)
    if leased is not None and not await _DirectCompletion(*leased, request_id).complete_single():
        raise Conflict("Nothing has come to the store yet under this key.")
    return session if leased is None else leased[0]


def complete_sent_uploads(*, seconds: float) -> int:
    """Complete uploads that were sent in one request, whose clients need not report it, for about so long.

    Returns how many. Blocks. For the sweep.
    """
    waiting = files.direct_uploads_to_check(Dialect.S3)
    return asyncio.run(_complete_all(waiting, monotonic() + seconds)) if waiting else 0


def find_direct(upload_id: uuid.UUID, key: str, caller: Caller) -> files.UploadSession:
    """Return the caller's session in any status, if it has this key. Blocks on the database.

    Raises NotFound, Conflict.
    """
    session = find_session(upload_id, caller, Dialect.S3)
    if key != key_of(session):
        raise NotFound(f"The upload {upload_id} has another key.")
    return session


def key_of(session: files.UploadSession) -> str:
    """Return the key under which clients send the object."""
    return direct_store_of(session.store).client_key(session.store_key, session.store_state)


def bucket_of(session: files.UploadSession) -> str:
    return direct_store_of(session.store).bucket


def supports_forms(new: files.NewUpload) -> bool:
    return direct_store_of(new.store).supports_forms


def direct_store_of(name: str) -> DirectStore:
    """Return the store of this name as a DirectStore. Raises NotSupported."""
    target = direct_store(store(name))
    if target is None:
        raise NotSupported(
            "These files are not kept in a store that clients can send to themselves. POST /files/ takes them, by tus, "
            "as a form and otherwise."
        )
    return target


def require_multipart(session: files.UploadSession) -> None:
    """Raises Conflict for an upload that is sent in one request."""
    if "part_size" not in session.store_state:
        raise Conflict("This upload is sent in one request; it has no parts.")


def _find_multipart(upload_id: uuid.UUID, key: str, caller: Caller) -> files.UploadSession:
    session = find_direct(upload_id, key, caller)
    files.require_living(session)
    require_multipart(session)
    return session


def _create_object(part_size: int, in_parts: bool, target: Store, key: str) -> State:
    direct = direct_store(target)
    assert direct is not None  # ``admit_direct`` has checked it
    return direct.create_multipart(key) | {"part_size": part_size} if in_parts else direct.create_single(key)


def _sign_single(session: files.UploadSession, intent: CreateDirect, min_size: int) -> SignedRequest:
    target, key, state = direct_store_of(session.store), session.store_key, session.store_state
    sha256, size = session.expected_sha256, session.size
    if intent.as_form:
        sizes = (min_size, profile_of(session).max_size) if size is None else (size, size)
        return target.sign_form(key, state, seconds=url_lifetime(), sizes=sizes, sha256=sha256)
    assert size is not None
    return target.sign_put(key, state, seconds=url_lifetime(), size=size, sha256=sha256)


def _sign_parts(session: files.UploadSession, numbers: Sequence[int]) -> dict[int, str]:
    target, key, state = direct_store_of(session.store), session.store_key, session.store_state
    sizes = {number: _part_length(session, number) for number in numbers}
    if session.size is None:
        max_size = profile_of(session).max_size
        # Even if all parts have the minimum size, a part with this number exceeds the limit.
        if (max(numbers) - 1) * target.min_part_size >= max(max_size, 1):
            raise FileTooLarge(max_size)
    return {
        number: target.sign_part(key, state, number, seconds=url_lifetime(), size=size).url
        for number, size in sizes.items()
    }


def _part_size(target: DirectStore, intent: CreateDirect) -> int:
    """Return the size of all parts but the last: the declared one, or the one that Uppy computes. 0: unknown."""
    if intent.size is None:
        return 0
    part_size = intent.part_size or max(target.min_part_size, -(-intent.size // target.max_parts))
    if part_size < min(intent.size, target.min_part_size) or -(-intent.size // part_size) > target.max_parts:
        raise BadRequest(
            f"Parts of {part_size} bytes are not possible: each but the last has {target.min_part_size} at least, and "
            f"there are {target.max_parts} at most.",
            field="part_size",
        )
    return part_size


def _part_length(session: files.UploadSession, number: int) -> int | None:
    """Return the length of part ``number``; None if it is unknown. Raises BadRequest for a part beyond the end."""
    size, part_size = session.size, int(session.store_state["part_size"])
    if size is None:
        return None
    total = max(1, -(-size // part_size))
    if number > total:
        raise BadRequest(f"This upload has {total} parts of {part_size} bytes.", field="partNumber", limit=total)
    return size - (total - 1) * part_size if number == total else part_size


def _completed_parts(session: files.UploadSession) -> list[UploadedPart]:
    """List all parts of a completed upload, so that a client that missed the last answer repeats its last request."""
    size, part_size = session.offset, session.store_state["part_size"] or session.offset
    starts = range(0, size, part_size) if size else range(1)
    return [
        UploadedPart(number, COMPLETED_PART_TAG, min(part_size, size - start)) for number, start in enumerate(starts, 1)
    ]


async def _complete_all(waiting: Sequence[files.UploadSession], until: float) -> int:
    slots = asyncio.Semaphore(_CONCURRENT_COMPLETIONS)

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
        async with self._holding_lease():
            await self._record(await self._make_object_of_parts(named))
        return self._session

    async def complete_single(self) -> bool:
        """False if nothing was sent, or what was sent is being replaced."""
        key, state = self._lease.store_key, self._lease.state
        async with self._holding_lease():
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

    @asynccontextmanager
    async def _holding_lease(self) -> AsyncIterator[None]:
        """Renew the lease inside and release it afterwards, also for a request that wants it and waits: work in
        progress at the store cannot be interrupted."""
        with leases.keeper.holding(self._session.id, request_stop=lambda: None):
            try:
                yield
            except files.LeaseLost as error:
                # The object was made after the session's bytes were freed.
                if await in_database(has_ended_without_file, self._session.id):
                    await in_thread(store(self._session.store).discard, self._lease.store_key, self._lease.state)
                raise UploadGone("This upload was ended while it was being completed.") from error
            finally:
                await asyncio.shield(in_transaction(files.release_lease, self._lease))

    async def _make_object_of_parts(self, named: Sequence[NamedPart]) -> int:
        """Return the size of the object."""
        key, state = self._lease.store_key, self._lease.state
        try:
            uploaded = await in_thread(self._target.uploaded_parts, key, state)
            verify_parts(uploaded, named, self._target.min_part_size)
            await self._check_limits(sum(part.size for part in uploaded), uploaded[0].size)
            return await in_thread(self._target.complete_multipart, key, state, uploaded)
        except ObjectMissing:
            return await self._size_of_completed_object()
        except SyncFailed as error:
            raise Conflict("The store has other parts by now than those that are named.") from error

    async def _check_limits(self, size: int, part_size: int | None = None) -> None:
        """Check size and quota before the object is made. If a limit is exceeded, the session fails."""
        announced = self._session.size
        if announced is not None and announced != size:
            raise Conflict(
                f"The store has {size} bytes of this upload; {announced} were announced.",
                limit=announced,
                received=size,
            )
        state = self._lease.state | ({} if part_size is None else {"part_size": part_size})
        ttl_hours = files.profile(self._session.profile).upload_ttl_hours
        try:
            check_size(profile_of(self._session), size)
            await in_transaction(files.commit_offset, self._lease, size, state, ttl_hours=ttl_hours)
        except (FileTooLarge, InvalidField, QuotaExceeded) as problem:
            await fail_session(self._session, problem.detail)
            raise

    async def _size_of_completed_object(self) -> int:
        """Return the size of the object that an earlier attempt made of the parts. Raises UploadGone."""
        size = await in_thread(self._target.completed_size, self._lease.store_key, self._lease.state)
        if size is None:
            await fail_session(self._session, "The store has nothing of this upload any more.")
            raise UploadGone(_NOTHING_STORED)
        return size

    async def _record(self, size: int) -> None:
        try:
            await in_transaction(
                record_file, self._lease, self._session, size=size, sha256=None, request_id=self._request_id
            )
        except QuotaExceeded as problem:
            await fail_session(self._session, problem.detail)
            raise
