"""Uploads that may take several requests: begin, append, ask, give up. The core of every resumable dialect."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

from windlass.executors import in_database, in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.errors import (
    Conflict,
    FileTooLarge,
    Forbidden,
    InconsistentLength,
    InvalidField,
    OffsetMismatch,
    PastDeclaredLength,
    Problem,
    UploadComplete,
    UploadGone,
)
from windlass.kernel.principals import Caller, Principal
from windlass.protocols.intents import Append, Create, UploadState
from windlass.receiving import joining
from windlass.receiving import lease as leases
from windlass.receiving.admission import admit, check_size, profile_of
from windlass.receiving.appending import Appending, Terms, digests
from windlass.receiving.body import ByteSource
from windlass.receiving.replay_check import check_replay
from windlass.receiving.session import Outcome, create_session, state_of
from windlass.storage.registry import store

#: Told of an upload that has begun, before its first byte is taken.
Begun = Callable[[UploadState], Awaitable[None]]


async def create(
    intent: Create,
    principal: Principal,
    source: ByteSource | None,
    *,
    dialect: str,
    request_id: str = "",
    begun: Begun | None = None,
) -> Outcome:
    """Begin an upload; take the bytes that came with it. One that its head says is whole is complete at once.

    Raises InvalidField, FileTooLarge, PastDeclaredLength, QuotaExceeded, StorageFull, and what ``append`` raises of
    bytes.
    """
    new = admit(intent.description, intent.size, principal, dialect, partial=intent.partial)
    if source is not None and intent.size is not None and (intent.body_length or 0) > intent.size:
        raise _past_length(intent.size)
    receives = source is not None or intent.size == 0 or intent.completes is True
    if receives:
        new = replace(new, holder=leases.holder(), lease_seconds=leases.LEASE_SECONDS)
    session = await create_session(new, files.create_upload)
    if begun is not None:
        await begun(state_of(session))
    if not receives:
        return Outcome(state_of(session))
    terms = Terms(completes=intent.completes, digests=intent.body_digests)
    return await Appending(session, files.lease_of(session), terms, request_id).run(source)


async def append(intent: Append, caller: Caller, source: ByteSource, *, dialect: str, request_id: str = "") -> Outcome:
    """Bytes at the end of an upload. Repeating the request that completed it answers as that did.

    Raises NotFound, UploadGone, Conflict, UploadComplete, OffsetMismatch, InconsistentLength, PastDeclaredLength,
    FileTooLarge, QuotaExceeded, InvalidField, UploadLocked, BodyDigestMismatch, ChecksumMismatch, StoreError.
    """
    try:
        lease = await in_transaction(_begin_append, intent, caller, dialect)
        if lease is None:
            lease = await leases.wait_for(intent.upload_id)
    except files.UploadCompleted:
        return await _repeated(intent, caller, source)
    session = await in_transaction(_again, lease)
    refusal = _refusal(intent, lease, session)
    if refusal is not None:
        await in_transaction(files.release_lease, lease)
        raise refusal
    terms = Terms(intent.size, intent.completes, intent.body_digests, intent.upload_digests)
    return await Appending(session, lease, terms, request_id).run(source)


async def query(upload_id: uuid.UUID, caller: Caller, *, dialect: str) -> Outcome:
    """How far an upload is. A writer is asked to let go first, so that the next append is not refused; an upload of
    another dialect, which cannot be appended to here, is left to its writer."""
    session = await in_database(_living, upload_id, caller)
    if session.parts is not None:
        if session.status == files.UploadStatus.ACTIVE:
            joining.start(upload_id)
    elif session.dialect == dialect:
        session = await _without_writer(session, caller)
    return Outcome(state_of(session))


async def _without_writer(session: files.UploadSession, caller: Caller) -> files.UploadSession:
    """The session once nobody writes to it any more, in this process or in another."""
    if await leases.writers.let_go(session.id):
        session = await in_database(_living, session.id, caller)
    if session.status != files.UploadStatus.ACTIVE or not session.lease_holder:
        return session
    try:
        lease = await in_transaction(leases.take, session.id) or await leases.wait_for(session.id)
    except files.UploadCompleted:
        return await in_database(_living, session.id, caller)
    session = await in_transaction(_again, lease)
    await in_transaction(files.release_lease, lease)
    return session


async def abort(upload_id: uuid.UUID, caller: Caller) -> None:
    """Give an upload up: its writer is stopped, its bytes are freed. Of a complete one only the session goes."""
    session = await in_database(_living, upload_id, caller)
    if session.status == files.UploadStatus.COMPLETED:
        await in_transaction(files.forget_upload, upload_id)
        return
    leases.keeper.ask(upload_id)
    ended = await in_transaction(files.mark_upload_ended, upload_id, files.UploadStatus.CANCELLED)
    if ended:
        await in_thread(store(session.store).discard, session.store_key, session.store_state)
        digests.forget(upload_id)


async def invalidate(upload_id: uuid.UUID, reason: str) -> None:
    """The upload can never be right, and is failed. Its bytes are freed."""
    session = await in_database(files.load_upload, upload_id)
    if session is not None and await in_transaction(
        files.mark_upload_ended, upload_id, files.UploadStatus.FAILED, reason
    ):
        await in_thread(store(session.store).discard, session.store_key, session.store_state)


async def _repeated(intent: Append, caller: Caller, source: ByteSource) -> Outcome:
    session = await in_database(_living, intent.upload_id, caller)
    if intent.completes is False:
        raise UploadComplete("This upload is complete; nothing can be appended to it.")
    await check_replay(session, intent, source)
    return Outcome(state_of(session))


def _begin_append(intent: Append, caller: Caller, dialect: str) -> files.Lease | None:
    """The lease, or None where it must be waited for. Raises UploadCompleted."""
    session = _living(intent.upload_id, caller)
    if session.dialect != dialect:
        raise Conflict(f"This upload was begun as {session.dialect}; it cannot be appended to as {dialect}.")
    if session.parts is not None:
        raise Forbidden("This upload is made of others; nothing can be appended to it.")
    if session.status == files.UploadStatus.COMPLETED:
        raise files.UploadCompleted
    return leases.take(session.id)


def _refusal(intent: Append, lease: files.Lease, session: files.UploadSession) -> Problem | None:
    """What is wrong with a request before its body is looked at."""
    size = lease.size if lease.size is not None else intent.size
    if lease.offset != intent.offset:
        return OffsetMismatch(lease.offset, intent.offset)
    if intent.size not in (None, size):
        return InconsistentLength(
            f"This upload has {size} bytes; this request says {intent.size} bytes.", expected=size, provided=intent.size
        )
    if size is None:
        return None
    if size < lease.offset:
        return InconsistentLength(f"The upload has {lease.offset} bytes already, more than the length {size}.")
    if lease.offset + (intent.body_length or 0) > size:
        return _past_length(size)
    return _refused_size(session, size) if lease.size is None else None


def _refused_size(session: files.UploadSession, size: int) -> Problem | None:
    """The length is known only now, so only now it can be too large or too small."""
    try:
        check_size(profile_of(session), size)
    except (FileTooLarge, InvalidField) as problem:
        return problem
    return None


def _living(upload_id: uuid.UUID, caller: Caller) -> files.UploadSession:
    session = files.get_upload(upload_id, caller())
    files.require_living(session)
    return session


def _again(lease: files.Lease) -> files.UploadSession:
    session = files.leased_upload(lease)
    if session is None:
        raise UploadGone("This upload ended while it was waited for.")
    return session


def _past_length(size: int) -> PastDeclaredLength:
    return PastDeclaredLength(f"The upload was declared with {size} bytes; this request goes beyond.", limit=size)
