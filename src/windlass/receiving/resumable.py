"""Uploads that may take several requests: begin, append, ask, give up. The core of every resumable dialect."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from windlass.files import api as files
from windlass.kernel.errors import (
    ChecksumMismatch,
    Conflict,
    OffsetMismatch,
    PastDeclaredLength,
    Problem,
    UploadGone,
    UploadLocked,
)
from windlass.kernel.ids import new_id
from windlass.kernel.principals import Principal
from windlass.protocols.intents import Append, Create
from windlass.receiving import completion, gathering, repetition, writing
from windlass.receiving import lease as leases
from windlass.receiving.admission import admit, object_key
from windlass.receiving.digest import DigestMemory, RunningDigest
from windlass.receiving.inlet import Inlet
from windlass.receiving.offload import in_database, in_thread, in_transaction
from windlass.receiving.outcome import Outcome, state_of
from windlass.receiving.pump import End
from windlass.receiving.source import Source
from windlass.storage.contract import State, SyncFailed, WriterBusy
from windlass.storage.registry import store

#: Proves the caller, on a database thread, in the same go as what it is needed for.
Who = Callable[[], Principal]

digests = DigestMemory()


async def create(
    intent: Create, principal: Principal, source: Source | None, *, dialect: str, request_id: str = ""
) -> Outcome:
    """Begin an upload; take the bytes that came with it. Size 0 is complete at once."""
    new = admit(intent.description, intent.size, principal, dialect)
    if source is not None and intent.size is not None and (intent.body_length or 0) > intent.size:
        raise _past_length(intent.size)
    upload_id, target = new_id(), store()
    key = object_key(upload_id)
    state = await in_thread(writing.create, target, key)
    receives = source is not None or intent.size == 0
    if receives:
        new = replace(new, holder=leases.holder(), lease_seconds=leases.LEASE_SECONDS)
    session = await in_transaction(files.uploads.create, new, upload_id=upload_id, key=key, state=state)
    if not receives:
        return Outcome(state_of(session))
    return await _Appending(session, files.leases.lease_of(session), request_id).run(source)


async def append(intent: Append, who: Who, source: Source, *, dialect: str, request_id: str = "") -> Outcome:
    """Bytes at the end of an upload. Repeating the request that completed it answers as that did.

    Raises NotFound, UploadGone, Conflict, OffsetMismatch, PastDeclaredLength, UploadLocked, ChecksumMismatch,
    StoreError.
    """
    try:
        lease = await in_transaction(_begin_append, intent, who, dialect)
        if lease is None:
            lease = await leases.wait_for(intent.upload_id)
    except files.UploadCompleted:
        return await _repeated(intent, who, source)
    session = await in_transaction(_again, lease)
    refusal = _refusal(intent, lease)
    if refusal is not None:
        await in_transaction(files.leases.release_lease, lease)
        raise refusal
    return await _Appending(session, lease, request_id).run(source)


async def query(upload_id: uuid.UUID, who: Who, *, dialect: str) -> Outcome:
    """How far an upload is. A writer is asked to let go first, so that the next append is not refused; an upload of
    another dialect, which cannot be appended to here, is left to its writer."""
    session = await in_database(_living, upload_id, who)
    if session.status == files.UploadStatus.ACTIVE and session.lease_holder and session.dialect == dialect:
        try:
            lease = await in_transaction(leases.take, upload_id) or await leases.wait_for(upload_id)
        except files.UploadCompleted:
            session = await in_database(_living, upload_id, who)
        else:
            session = await in_transaction(_again, lease)
            await in_transaction(files.leases.release_lease, lease)
    return Outcome(state_of(session))


async def abort(upload_id: uuid.UUID, who: Who) -> None:
    """Give an upload up: its writer is stopped, its bytes are freed. Of a complete one only the session goes."""
    session = await in_database(_living, upload_id, who)
    if session.status == files.UploadStatus.COMPLETED:
        await in_transaction(files.uploads.forget, upload_id)
        return
    leases.keeper.ask(upload_id)
    ended = await in_transaction(files.uploads.end, upload_id, files.UploadStatus.CANCELLED)
    if ended:
        await in_thread(store(session.store).discard, session.store_key, session.store_state)
        digests.forget(upload_id)


@dataclass
class _Appending:
    """One request under its lease, from its first byte to its commit."""

    session: files.UploadSession
    lease: files.Lease
    request_id: str
    _inlet: Inlet | None = None

    async def run(self, source: Source | None) -> Outcome:
        digest = digests.take(self.session.id, self.lease.offset)
        try:
            with leases.keeper.holding(self.session.id, self._ask_to_stop):
                return await self._run(source, digest)
        except SyncFailed:
            reason = "Its bytes could not be made durable."
            await in_transaction(files.uploads.end, self.session.id, files.UploadStatus.FAILED, reason)
            raise
        except files.LeaseLost as error:
            await in_transaction(files.leases.release_lease, self.lease)  # it lapsed here, and nobody took it
            raise UploadLocked("Another request took this upload over, or it was cancelled.") from error
        except WriterBusy as error:
            await in_transaction(files.leases.release_lease, self.lease)
            raise UploadLocked("A process that no longer answers still holds this upload's bytes.") from error
        except BaseException:
            await in_transaction(files.leases.release_lease, self.lease)
            raise

    async def _run(self, source: Source | None, digest: RunningDigest | None) -> Outcome:
        found = gathering.Gathered(ended=True) if source is None else await gathering.gather(source)
        limit = self._limit
        if found.ended and self.lease.offset + found.size <= limit:
            return await self._append_at_once(found, digest)
        assert source is not None
        return await self._stream(source, found, digest, limit)

    def _ask_to_stop(self) -> None:
        if self._inlet is not None:
            self._inlet.ask_to_stop()

    @property
    def _limit(self) -> int:
        """Where the upload must end at the latest."""
        size = self.session.size
        return files.profile(self.session.profile).max_size if size is None else size

    async def _append_at_once(self, found: gathering.Gathered, digest: RunningDigest | None) -> Outcome:
        offset = self.lease.offset + found.size
        completes = offset == self.session.size
        state = self.lease.state
        if found.size or completes:
            state = await in_thread(self._write, found, digest, completes)
        end = End.CLIENT_GONE if found.gone else End.BODY
        return await self._commit(offset, state, digest, end, completes=completes)

    def _write(self, found: gathering.Gathered, digest: RunningDigest | None, completes: bool) -> State:
        target, lease = store(self.session.store), self.lease
        writer = writing.open_leased(target, lease)
        return writing.append(target, writer, lease.store_key, lease.offset, found.buffers, digest, completes=completes)

    async def _stream(
        self, source: Source, found: gathering.Gathered, digest: RunningDigest | None, limit: int
    ) -> Outcome:
        must_hash = self.session.expected_sha256 is not None
        inlet = Inlet(store(self.session.store), self.lease, digest, must_hash=must_hash, ttl_hours=self._ttl_hours)
        self._inlet = inlet
        try:
            try:
                end = await inlet.receive(source, found.buffers, limit)
            except BaseException:
                await self._keep_what_arrived(inlet)
                raise
            completes = inlet.offset == self.session.size
            await inlet.save(completes=completes)
        finally:
            await inlet.close()
        return await self._commit(inlet.offset, inlet.state, inlet.digest, end, completes=completes)

    async def _keep_what_arrived(self, inlet: Inlet) -> None:
        """The store failed, or the server gave this request up: what was written before is still the client's."""
        if inlet.offset == self.lease.offset:
            return
        await inlet.save(completes=False)
        await in_transaction(
            files.leases.checkpoint,
            self.lease,
            inlet.offset,
            inlet.state,
            ttl_hours=self._ttl_hours,
            release=True,
        )

    async def _commit(
        self,
        offset: int,
        state: State,
        digest: RunningDigest | None,
        end: End,
        *,
        completes: bool,
    ) -> Outcome:
        if completes:
            await self._complete(offset, digest)
            return Outcome(state_of(self.session), end)
        self.session.expires_at = await in_transaction(
            files.leases.checkpoint, self.lease, offset, state, ttl_hours=self._ttl_hours, release=True
        )
        self.session.offset = offset
        digests.keep(self.session.id, digest)
        return Outcome(state_of(self.session), end)

    async def _complete(self, size: int, digest: RunningDigest | None) -> None:
        target = store(self.session.store)
        known = digest.hexdigest() if digest is not None else None
        try:
            sha256 = await completion.prove(target, self.lease.store_key, known, self.session.expected_sha256)
        except ChecksumMismatch as problem:
            await in_transaction(files.uploads.end, self.session.id, files.UploadStatus.FAILED, problem.detail)
            await in_thread(target.discard, self.lease.store_key, self.lease.state)
            raise
        await in_transaction(
            completion.record,
            self.lease,
            self.session,
            size=size,
            sha256=sha256,
            last_append_offset=self.lease.offset,
            request_id=self.request_id,
        )

    @property
    def _ttl_hours(self) -> float:
        return files.profile(self.session.profile).upload_ttl_hours


async def _repeated(intent: Append, who: Who, source: Source) -> Outcome:
    session = await in_database(_living, intent.upload_id, who)
    await repetition.check(session, intent.offset, source)
    return Outcome(state_of(session))


def _begin_append(intent: Append, who: Who, dialect: str) -> files.Lease | None:
    """The lease, or None where it must be waited for. Raises UploadCompleted."""
    session = _living(intent.upload_id, who)
    if session.dialect != dialect:
        raise Conflict(f"This upload was begun as {session.dialect}; it cannot be appended to as {dialect}.")
    if session.status == files.UploadStatus.COMPLETED:
        raise files.UploadCompleted
    return leases.take(session.id)


def _refusal(intent: Append, lease: files.Lease) -> Problem | None:
    if lease.offset != intent.offset:
        return OffsetMismatch(lease.offset, intent.offset)
    if lease.size is not None and lease.offset + (intent.body_length or 0) > lease.size:
        return _past_length(lease.size)
    return None


def _living(upload_id: uuid.UUID, who: Who) -> files.UploadSession:
    session = files.uploads.get(upload_id, who())
    files.uploads.must_be_alive(session)
    return session


def _again(lease: files.Lease) -> files.UploadSession:
    session = files.leases.held(lease)
    if session is None:
        raise UploadGone("This upload ended while it was waited for.")
    return session


def _past_length(size: int) -> PastDeclaredLength:
    return PastDeclaredLength(f"The upload was declared with {size} bytes; this request goes beyond.", limit=size)
