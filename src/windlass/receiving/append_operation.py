"""One request that appends to an upload at its offset, from its first byte to its commit."""

from __future__ import annotations

from dataclasses import dataclass

from windlass.executors import in_database, in_thread, in_thread_then_transaction, in_transaction
from windlass.files import api as files
from windlass.kernel.problem_types import BodyDigestMismatch, InconsistentLength, UploadLocked
from windlass.protocols.digests import Proof
from windlass.protocols.intents import Append
from windlass.receiving import concatenation
from windlass.receiving import lease as leases
from windlass.receiving.admission import pace_of, profile_of
from windlass.receiving.body import ByteSource, InitialBody, read_initial_body
from windlass.receiving.completion import complete_upload, record_file
from windlass.receiving.digest import DigestCache, RunningDigest
from windlass.receiving.leased_writer import LeasedUploadWriter, append_at_once, validity_of
from windlass.receiving.session import Outcome, holding_lease, lost_lease, state_of
from windlass.receiving.transfer import TransferEnd
from windlass.storage.contract import State, WriterBusy
from windlass.storage.registry import store

#: Of uploads that are not complete yet, between their requests to this process.
digest_cache = DigestCache()


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


class AppendOperation:
    """``session`` is leased, by ``lease``."""

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
