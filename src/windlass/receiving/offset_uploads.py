"""Sequential uploads (tus, IETF): create an upload, append bodies at its offset, query it, cancel it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace

from windlass.executors import in_database, in_thread, in_thread_then_transaction, in_transaction
from windlass.files import api as files
from windlass.kernel.clock import monotonic
from windlass.kernel.principals import Caller, Principal
from windlass.kernel.problem_types import (
    BodyDigestMismatch,
    Forbidden,
    InconsistentLength,
    OffsetMismatch,
    Problem,
    UploadComplete,
    UploadLocked,
)
from windlass.protocols.digests import Proof
from windlass.protocols.intents import Append, Create, UploadState
from windlass.receiving import concatenation
from windlass.receiving import lease as leases
from windlass.receiving.admission import admit, check_size, pace_of, profile_of
from windlass.receiving.body import ByteSource, InitialBody, ReadAhead, read_initial_body
from windlass.receiving.completion import check_replay, complete_upload, record_file
from windlass.receiving.digest import DigestCache, RunningDigest
from windlass.receiving.first_append import as_if_leased, created_sessions
from windlass.receiving.leased_writer import LeasedUploadWriter, append_at_once, validity_of
from windlass.receiving.session import (
    Outcome,
    create_session,
    end_session,
    fail_after_sync_error,
    fail_session,
    find_living_session,
    holding_lease,
    leased_session,
    lost_lease,
    past_declared_length,
    require_dialect,
    state_of,
)
from windlass.receiving.transfer import TransferEnd
from windlass.storage.contract import ObjectMissing, State, SyncFailed, WriterBusy
from windlass.storage.registry import store

digest_cache = DigestCache()

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
    return await _AppendOperation(session, files.lease_of(session), first, request_id).run(source)


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
    return await _AppendOperation(session, files.lease_of(session), intent, request_id).run(source)


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
    operation = _AppendOperation(session, as_if_leased(session), intent, request_id)
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


class _BodyDiscarded(Exception):
    """A body with a digest that did not arrive completely: nothing of it can be verified."""

    def __init__(self, end: TransferEnd) -> None:
        super().__init__(end.value)
        self.end = end


@dataclass(frozen=True, slots=True)
class _Received:
    """The bytes below ``offset`` are durable in the store, whose state is ``state``."""

    offset: int
    state: State
    digest: RunningDigest | None
    end: TransferEnd


class _AppendOperation:
    """One request that appends to an upload whose lease it holds, from its first byte to its commit."""

    def __init__(self, session: files.UploadSession, lease: files.Lease, intent: Append, request_id: str) -> None:
        self._session = session
        self._lease = lease
        self._intent = intent
        self._request_id = request_id
        self._size = session.size if intent.size is None else intent.size
        self._ttl_hours = files.profile(session.profile).upload_ttl_hours
        self._proof = Proof(intent.body_digests) if intent.body_digests else None
        self._writer: LeasedUploadWriter | None = None
        #: The quota reservation to go back to if this request fails; None if what it wrote stays in the store.
        self._reserved: int | None = session.reserved

    async def run(self, source: ByteSource | None) -> Outcome:
        """Raises BodyDigestMismatch, InconsistentLength, ChecksumMismatch, UploadGone, UploadLocked, StoreError."""
        try:
            async with holding_lease(self._session, self._lease, self._request_stop, reserved=lambda: self._reserved):
                return await self._receive_and_commit(source)
        except _BodyDiscarded as discarded:
            return self._outcome(discarded.end)
        except files.LeaseLost as error:
            raise await in_database(lost_lease, self._session.id) from error
        except WriterBusy as error:
            raise UploadLocked("A process that does not answer any more has locked this upload's bytes.") from error

    def _request_stop(self) -> None:
        if self._writer is not None:
            self._writer.request_stop()

    def _outcome(self, end: TransferEnd) -> Outcome:
        return Outcome(state_of(self._session), end, self._size)

    async def _receive_and_commit(self, source: ByteSource | None) -> Outcome:
        digest = digest_cache.pop(self._session.id, self._lease.offset)
        before = digest.copy() if digest is not None and self._proof is not None else None
        try:
            await self._reserve(self._intent.size)
            initial = InitialBody(ended=True) if source is None else await read_initial_body(source)
            if self._is_whole_file(initial):
                return await self.store_and_record(initial, digest)
            return await self._commit(await self._receive(source, initial, digest))
        except (_BodyDiscarded, BodyDigestMismatch):
            digest_cache.put(self._session.id, before)
            raise

    @property
    def _limit(self) -> int:
        """The offset at which the upload must end at the latest."""
        return profile_of(self._session).max_size if self._size is None else self._size

    def _is_whole_file(self, initial: InitialBody) -> bool:
        """Whether the file is complete with these bytes, and nothing else has to be verified or reserved."""
        session, end = self._session, TransferEnd.BODY_ENDED
        expects = session.expected_sha256 or session.expected_sha512 or self._intent.upload_digests or self._proof
        is_plain = not (session.is_partial or expects or session.size is None)
        is_last = initial.ended and not initial.gone
        return is_plain and is_last and self._completes_object(self._lease.offset + initial.size, end)

    async def store_and_record(self, initial: InitialBody, digest: RunningDigest | None) -> Outcome:
        """Append the last bytes, and record the file. Raises LeaseLost, WriterBusy, SyncFailed, StoreError."""
        self._reserved = None
        size = self._lease.offset + initial.size
        target, valid = store(self._session.store), validity_of(self._lease)

        def append() -> None:
            append_at_once(target, self._lease, valid, initial.buffers, digest, completes=True)

        def record(_: None) -> None:
            record_file(
                self._lease,
                self._session,
                size=size,
                sha256=digest.hexdigest() if digest is not None else None,
                last_append_offset=self._lease.offset,
                request_id=self._request_id,
            )

        await in_thread_then_transaction(append, record)
        return self._outcome(TransferEnd.BODY_ENDED)

    async def _receive(
        self, source: ByteSource | None, initial: InitialBody, digest: RunningDigest | None
    ) -> _Received:
        if initial.ended and self._lease.offset + initial.size <= self._limit:
            return await self._append_at_once(initial, digest)
        assert source is not None
        return await self._stream(source, initial, digest)

    async def _append_at_once(self, initial: InitialBody, digest: RunningDigest | None) -> _Received:
        offset = self._lease.offset + initial.size
        end = TransferEnd.CLIENT_GONE if initial.gone else TransferEnd.BODY_ENDED
        if self._proof is not None:
            await in_thread(self._proof.update, initial.buffers)
            self._check_body_digests(end)
        state, completes = self._lease.state, self._completes_object(offset, end)
        await self._reserve(offset)
        if initial.size or completes:
            self._reserved = None
            target = store(self._session.store)
            valid = validity_of(self._lease)
            state = await in_thread(
                append_at_once, target, self._lease, valid, initial.buffers, digest, completes=completes
            )
        return _Received(offset, state, digest, end)

    async def _reserve(self, size: int | None) -> None:
        """Reserve quota up to ``size`` before bytes are written, if the length was not known on creation."""
        if self._lease.size is None and size is not None and size > self._lease.offset:
            await in_transaction(files.reserve_for_lease, self._lease, size)

    async def _stream(self, source: ByteSource, initial: InitialBody, digest: RunningDigest | None) -> _Received:
        self._writer = writer = LeasedUploadWriter(
            store(self._session.store),
            self._lease,
            digest,
            must_hash=self._session.expected_sha256 is not None,
            ttl_hours=self._ttl_hours,
            proof=self._proof,
            pace=pace_of(self._session),
        )
        try:
            self._reserved = None
            try:
                with leases.writers.streaming(self._session.id):
                    end = await writer.receive(source, initial.buffers, self._limit)
                self._check_body_digests(end)
            except BaseException:  # also if the request is cancelled: what arrived before that stays
                await self._commit_what_arrived(writer)
                raise
            await writer.save(completes=self._completes_object(writer.offset, end))
        finally:
            await writer.close()
        return _Received(writer.offset, writer.state, writer.digest, end)

    def _check_body_digests(self, end: TransferEnd) -> None:
        """A body with a digest counts only if it arrived completely and has it. Raises _BodyDiscarded,
        BodyDigestMismatch."""
        if self._proof is None:
            return
        if end is not TransferEnd.BODY_ENDED:
            raise _BodyDiscarded(end)
        failed = self._proof.failed()
        if failed:
            raise BodyDigestMismatch(
                f"The body does not have the {', '.join(failed)} that came with it. None of it was kept; "
                f"the upload stands at byte {self._lease.offset}.",
                algorithms=failed,
                offset=self._lease.offset,
            )

    def _completes_object(self, offset: int, end: TransferEnd) -> bool:
        """Whether the object of the upload, or of the partial upload, is complete at ``offset``."""
        at_length = self._size is not None and offset == self._size
        match self._intent.completes:
            case None:
                # A length that is declared with a body that goes beyond it is refused together with that body.
                return at_length and not (end is TransferEnd.OVER_LIMIT and self._intent.size is not None)
            case True:
                return end is TransferEnd.BODY_ENDED and (at_length or self._size is None)
            case False:
                return False

    async def _commit_what_arrived(self, writer: LeasedUploadWriter) -> None:
        """The store failed, or the request was cancelled: commit what was written before, unless it needs a proof."""
        if self._proof is not None:
            self._reserved = self._session.reserved if await writer.discard() else None
            return
        if writer.offset == self._lease.offset:
            return
        await writer.save(completes=False)
        if writer.offset == self._size:
            return  # not committed, so that the client has bytes left to send with the request that completes it
        await in_transaction(
            files.commit_offset, self._lease, writer.offset, writer.state, ttl_hours=self._ttl_hours, release=True
        )

    async def _commit(self, received: _Received) -> Outcome:
        complete = self._completes_object(received.offset, received.end)
        if complete and not self._session.is_partial:
            await complete_upload(
                self._lease,
                self._session,
                size=received.offset,
                known=received.digest.hexdigest() if received.digest else None,
                upload_digests=self._intent.upload_digests,
                last_append_offset=self._lease.offset,
                request_id=self._request_id,
            )
            return self._outcome(received.end)
        await self._commit_offset(received)
        if complete:
            concatenation.start_those_waiting_for(self._session, self._request_id)
        elif self._intent.completes and received.end is TransferEnd.BODY_ENDED:
            raise InconsistentLength(
                f"This request was to complete the upload, which has {received.offset} bytes now and was to have "
                f"{self._size} bytes.",
                expected=self._size,
                received=received.offset,
            )
        return self._outcome(received.end)

    async def _commit_offset(self, received: _Received) -> None:
        size = None if received.end is TransferEnd.OVER_LIMIT else self._intent.size
        self._session.expires_at = await in_transaction(
            files.commit_offset,
            self._lease,
            received.offset,
            received.state,
            ttl_hours=self._ttl_hours,
            release=True,
            size=size,
        )
        self._session.offset = received.offset
        if size is not None:
            self._session.size = size
        digest_cache.put(self._session.id, received.digest)
