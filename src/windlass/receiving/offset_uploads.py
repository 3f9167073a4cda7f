"""Sequential uploads (tus, IETF): create an upload, append bodies at its offset, query it, cancel it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

from windlass.executors import in_database, in_transaction
from windlass.files import api as files
from windlass.kernel.clock import monotonic
from windlass.kernel.principals import Caller, Principal
from windlass.kernel.problem_types import (
    Forbidden,
    InconsistentLength,
    OffsetMismatch,
    Problem,
    UploadComplete,
)
from windlass.protocols.intents import Append, Create, UploadState
from windlass.receiving import concatenation
from windlass.receiving import lease as leases
from windlass.receiving.admission import admit, check_size, profile_of
from windlass.receiving.append_operation import AppendOperation, digest_cache
from windlass.receiving.body import ByteSource, InitialBody, ReadAhead, read_initial_body
from windlass.receiving.completion import check_replay
from windlass.receiving.digest import RunningDigest
from windlass.receiving.first_append import as_if_leased, created_sessions
from windlass.receiving.session import (
    Outcome,
    create_session,
    end_session,
    fail_after_sync_error,
    fail_session,
    find_living_session,
    leased_session,
    past_declared_length,
    require_dialect,
    state_of,
)
from windlass.storage.contract import ObjectMissing, SyncFailed, WriterBusy

#: Called with an upload that was created, before its first byte is received.
OnCreated = Callable[[UploadState], Awaitable[None]]


async def create(
    intent: Create,
    principal: Principal,
    source: ByteSource | None,
    *,
    dialect: str,
    request_id: str = "",
    on_created: OnCreated | None = None,
    claim: files.KeyClaim | None = None,
) -> Outcome:
    """Create an upload and receive the bytes that came with it. It may be complete with them, or without any.

    ``claim``: of the request's idempotency key, if it has one. Raises RequestInProgress, InvalidField, FileTooLarge,
    PastDeclaredLength, QuotaExceeded, StorageFull, and the errors that ``append`` raises because of the bytes.
    """
    new = replace(admit(intent.description, intent.size, principal, dialect, partial=intent.partial), claim=claim)
    if source is not None and intent.size is not None and (intent.body_length or 0) > intent.size:
        raise past_declared_length(intent.size)
    receives = source is not None or intent.size == 0 or intent.completes is True
    if receives:
        new = replace(new, holder=leases.holder(), lease_seconds=leases.LEASE_SECONDS)
    session = await create_session(new, files.create_upload)
    if on_created is not None:
        await on_created(state_of(session))
    if not receives:
        created_sessions.put(session)
        return Outcome(state_of(session))
    first = Append(session.id, 0, completes=intent.completes, body_digests=intent.body_digests)
    return await AppendOperation(session, files.lease_of(session), first, request_id).run(source)


async def append(intent: Append, caller: Caller, source: ByteSource, *, dialect: str, request_id: str = "") -> Outcome:
    """Append a request body to an upload. A repetition of the request that completed it gets the same answer.

    Raises NotFound, UploadGone, Conflict, UploadComplete, OffsetMismatch, InconsistentLength, PastDeclaredLength,
    FileTooLarge, QuotaExceeded, InvalidField, UploadLocked, BodyDigestMismatch, ChecksumMismatch, StoreError.
    """
    created = created_sessions.take(intent, caller().owners, dialect)
    if created is not None:
        initial = await read_initial_body(source)
        if initial.ended and not initial.gone and initial.size == created.size:
            outcome = await _append_whole_file(created, intent, initial, request_id)
            if outcome is not None:
                return outcome
        source = ReadAhead(initial, source)
    try:
        session = await in_transaction(_lease_to_append, intent, caller, dialect)
        if session is None:
            session = await _wait_to_append(intent)
    except files.UploadCompleted:
        return await _answer_replay(intent, caller, source)
    return await AppendOperation(session, files.lease_of(session), intent, request_id).run(source)


async def query(upload_id: uuid.UUID, caller: Caller, *, dialect: str) -> Outcome:
    """Return the state of an upload.

    A writer is asked to stop first, so that the next append is not refused; not the writer of an upload of another
    dialect, which cannot be appended to in this one. Raises NotFound, UploadGone, UploadLocked.
    """
    writers = await leases.writers.arrived(upload_id)
    are_elsewhere = leases.writers.are_elsewhere(upload_id)
    session = await in_database(find_living_session, upload_id, caller)
    if session.parts is not None:
        if session.status == files.UploadStatus.ACTIVE:
            concatenation.start(upload_id)
    elif session.dialect == dialect:
        if are_elsewhere:
            session = await _until_leased(session, caller)
        session = await _without_writer(session, caller, writers)
    return Outcome(state_of(session))


async def abort(upload_id: uuid.UUID, caller: Caller) -> None:
    """Cancel an upload: stop its writer and free its bytes. Of a complete upload only the session is deleted.

    Raises NotFound, UploadGone, StoreError.
    """
    session = await in_database(find_living_session, upload_id, caller)
    if session.status == files.UploadStatus.COMPLETED:
        await in_transaction(files.forget_upload, upload_id)
        return
    leases.keeper.request_stop(upload_id)
    if await end_session(session, files.UploadStatus.CANCELLED):
        digest_cache.forget(upload_id)


async def invalidate(upload_id: uuid.UUID, reason: str) -> None:
    """End an upload that can never be completed correctly as failed, and free its bytes."""
    session = await in_database(files.load_upload, upload_id)
    if session is not None:
        await fail_session(session, reason)


async def _append_whole_file(
    session: files.UploadSession, intent: Append, initial: InitialBody, request_id: str
) -> Outcome | None:
    """Append all bytes of an upload that nobody has leased yet; see ``first_append``. None if another request has
    leased or ended it meanwhile. Raises SyncFailed, StoreError, QuotaExceeded."""
    operation = AppendOperation(session, as_if_leased(session), intent, request_id)
    try:
        return await operation.store_and_record(initial, RunningDigest())
    except (files.LeaseLost, WriterBusy, ObjectMissing):
        return None
    except SyncFailed:
        await fail_after_sync_error(session)
        raise


async def _until_leased(session: files.UploadSession, caller: Caller) -> files.UploadSession:
    """Return the session once the writer that has arrived at another process holds the lease, or has ended."""
    deadline = monotonic() + leases.COMMIT_WAIT_SECONDS
    are_elsewhere = True
    while are_elsewhere and not session.lease_holder and monotonic() < deadline:
        await asyncio.sleep(0.02)
        are_elsewhere = leases.writers.are_elsewhere(session.id)
        session = await in_database(find_living_session, session.id, caller)
    return session


async def _without_writer(
    session: files.UploadSession, caller: Caller, writers: Collection[asyncio.Event]
) -> files.UploadSession:
    """Return the session once nobody writes to it any more, in this process (``writers``) or in another one."""
    if writers:
        await leases.writers.stop_and_wait(session.id, writers)
        session = await in_database(find_living_session, session.id, caller)
    if session.status != files.UploadStatus.ACTIVE or not session.lease_holder:
        return session
    try:
        lease = await in_transaction(leases.take_lease, session.id) or await leases.wait_for_lease(session.id)
    except files.UploadCompleted:
        return await in_database(find_living_session, session.id, caller)
    session = await in_transaction(leased_session, lease)
    await in_transaction(files.release_lease, lease)
    return session


async def _answer_replay(intent: Append, caller: Caller, source: ByteSource) -> Outcome:
    session = await in_database(find_living_session, intent.upload_id, caller)
    if intent.completes is False:
        raise UploadComplete("This upload is complete; nothing can be appended to it.")
    await check_replay(session, intent, source)
    return Outcome(state_of(session))


def _lease_to_append(intent: Append, caller: Caller, dialect: str) -> files.UploadSession | None:
    """Take the lease and return the session, or None if the lease must be waited for.

    Raises UploadCompleted and the refusals of ``append``, with which the lease that was taken is rolled back.
    """
    leased = leases.lease_upload(intent.upload_id, caller().owners)
    session = leased or find_living_session(intent.upload_id, caller)
    require_dialect(session, dialect)
    if session.parts is not None:
        raise Forbidden("This upload is made of others; nothing can be appended to it.")
    if session.status == files.UploadStatus.COMPLETED:
        raise files.UploadCompleted
    if leased is not None:
        _check_offset_and_length(intent, leased)
    return leased


async def _wait_to_append(intent: Append) -> files.UploadSession:
    """Return the session once its holder has released the lease and this request has it. Raises as
    ``_lease_to_append``."""
    lease = await leases.wait_for_lease(intent.upload_id)
    session = await in_transaction(leased_session, lease)
    try:
        _check_offset_and_length(intent, session)
    except Problem:
        await in_transaction(files.release_lease, lease)
        raise
    return session


def _check_offset_and_length(intent: Append, session: files.UploadSession) -> None:
    """Raises OffsetMismatch, InconsistentLength, PastDeclaredLength, FileTooLarge, InvalidField, before the body is
    read. ``session`` is leased."""
    size = session.size if session.size is not None else intent.size
    if session.offset != intent.offset:
        raise OffsetMismatch(session.offset, intent.offset)
    if intent.size not in (None, size):
        raise InconsistentLength(
            f"This upload has {size} bytes; this request says {intent.size} bytes.", expected=size, provided=intent.size
        )
    if size is None:
        return
    if size < session.offset:
        raise InconsistentLength(f"The upload has {session.offset} bytes already, more than the length {size}.")
    if session.offset + (intent.body_length or 0) > size:
        raise past_declared_length(size)
    if session.size is None:  # otherwise it was checked on creation
        check_size(profile_of(session), size)
