"""One request that writes to an upload whose lease it holds: from its first byte to its commit."""

from __future__ import annotations

from dataclasses import dataclass

from windlass.executors import in_database, in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.errors import BodyDigestMismatch, InconsistentLength, UploadGone, UploadLocked
from windlass.protocols.digests import Checksum, Proof
from windlass.receiving import completion, joining, writing
from windlass.receiving import lease as leases
from windlass.receiving.admission import profile_of
from windlass.receiving.body import ByteSource, InitialBody, read_initial_body
from windlass.receiving.digest import DigestCache, RunningDigest
from windlass.receiving.inlet import Inlet
from windlass.receiving.session import Outcome, state_of
from windlass.receiving.transfer import TransferEnd
from windlass.storage.contract import State, SyncFailed, WriterBusy
from windlass.storage.registry import store

digests = DigestCache()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request says of its bytes; the words are those of ``protocols.intents.Append``."""

    size: int | None = None
    completes: bool | None = None
    digests: tuple[Checksum, ...] = ()
    whole: tuple[Checksum, ...] = ()


class _CountsForNothing(Exception):
    """A body with a digest that did not come whole: what arrived of it cannot be proved."""

    def __init__(self, end: TransferEnd) -> None:
        super().__init__(end.value)
        self.end = end


@dataclass(frozen=True, slots=True)
class _Arrived:
    """The bytes below ``offset`` are in the store, and saved in ``state``."""

    offset: int
    state: State
    digest: RunningDigest | None
    end: TransferEnd


class Appending:
    """``run`` takes the bytes; the lease is given back however it ends."""

    def __init__(self, session: files.UploadSession, lease: files.Lease, terms: Terms, request_id: str) -> None:
        self.session = session
        self.lease = lease
        self.terms = terms
        self.request_id = request_id
        self._size = session.size if terms.size is None else terms.size
        self._proof = Proof(terms.digests) if terms.digests else None
        self._inlet: Inlet | None = None
        #: What the quota counts if this request comes to nothing; None where what it wrote stays in the store.
        self._reserved: int | None = session.reserved

    async def run(self, source: ByteSource | None) -> Outcome:
        """Raises BodyDigestMismatch, InconsistentLength, ChecksumMismatch, UploadLocked, StoreError."""
        digest = digests.pop(self.session.id, self.lease.offset)
        before = digest.copy() if digest is not None and self._proof is not None else None
        try:
            with leases.keeper.holding(self.session.id, self._request_stop):
                await self._reserve(self.terms.size)
                return await self._commit(await self._receive(source, digest))
        except _CountsForNothing as nothing:
            await self._go_back(before)
            return self._outcome(nothing.end)
        except BodyDigestMismatch:
            await self._go_back(before)
            raise
        except SyncFailed:
            reason = "Its bytes could not be made durable."
            await in_transaction(files.mark_upload_ended, self.session.id, files.UploadStatus.FAILED, reason)
            raise
        except files.LeaseLost as error:
            await self._release()  # it lapsed here, and nobody took it
            raise await in_database(self._why_lost) from error
        except WriterBusy as error:
            await self._release()
            raise UploadLocked("A process that no longer answers still holds this upload's bytes.") from error
        except BaseException:
            await self._release()
            raise

    async def _go_back(self, before: RunningDigest | None) -> None:
        """The request's bytes do not count: the offset and the running hash are as they were."""
        digests.put(self.session.id, before)
        await self._release()

    async def _release(self) -> None:
        await in_transaction(files.release_lease, self.lease, self._reserved)

    def _why_lost(self) -> UploadGone | UploadLocked:
        session = files.load_upload(self.session.id)
        if session is None or session.status not in (*files.UNFINISHED_UPLOADS, files.UploadStatus.COMPLETED):
            return UploadGone("This upload was ended while this request was sending to it. Start a new one.")
        return UploadLocked("Another request has taken this upload over. Ask for its offset and go on from there.")

    def _outcome(self, end: TransferEnd) -> Outcome:
        return Outcome(state_of(self.session), end, self._size)

    def _request_stop(self) -> None:
        if self._inlet is not None:
            self._inlet.request_stop()

    @property
    def _limit(self) -> int:
        """Where the upload must end at the latest."""
        return profile_of(self.session).max_size if self._size is None else self._size

    async def _receive(self, source: ByteSource | None, digest: RunningDigest | None) -> _Arrived:
        found = InitialBody(ended=True) if source is None else await read_initial_body(source)
        if found.ended and self.lease.offset + found.size <= self._limit:
            return await self._take_at_once(found, digest)
        assert source is not None
        return await self._stream(source, found, digest)

    async def _take_at_once(self, found: InitialBody, digest: RunningDigest | None) -> _Arrived:
        offset, end = self.lease.offset + found.size, TransferEnd.CLIENT_GONE if found.gone else TransferEnd.BODY_ENDED
        if self._proof is not None:
            await in_thread(self._proof.update, found.buffers)
            self._must_count(end)
        state, whole = self.lease.state, self._is_whole(offset, end)
        await self._reserve(offset)
        if found.size or whole:
            self._reserved = None
            state = await in_thread(self._write, found, digest, whole)
        return _Arrived(offset, state, digest, end)

    async def _reserve(self, size: int | None) -> None:
        """Of an upload whose length was not known: so much of its owner's quota, before a byte is written."""
        if self.lease.size is None and size is not None and size > self.lease.offset:
            await in_transaction(files.reserve_for_lease, self.lease, size)

    def _write(self, found: InitialBody, digest: RunningDigest | None, whole: bool) -> State:
        target, lease = store(self.session.store), self.lease
        writer = writing.open_leased(target, lease)
        return writing.append(writer, lease.offset, found.buffers, digest, completes=whole)

    async def _stream(self, source: ByteSource, found: InitialBody, digest: RunningDigest | None) -> _Arrived:
        self._inlet = inlet = Inlet(
            store(self.session.store),
            self.lease,
            digest,
            must_hash=self.session.expected_sha256 is not None,
            ttl_hours=self._ttl_hours,
            proof=self._proof,
        )
        try:
            self._reserved = None
            try:
                with leases.writers.streaming(self.session.id):
                    end = await inlet.receive(source, found.buffers, self._limit)
                self._must_count(end)
            except BaseException:
                await self._keep_what_arrived(inlet)
                raise
            await inlet.save(completes=self._is_whole(inlet.offset, end))
        finally:
            await inlet.close()
        return _Arrived(inlet.offset, inlet.state, inlet.digest, end)

    def _must_count(self, end: TransferEnd) -> None:
        """A body with a digest counts when all of it is here and has it.

        Raises _CountsForNothing, BodyDigestMismatch.
        """
        if self._proof is None:
            return
        if end is not TransferEnd.BODY_ENDED:
            raise _CountsForNothing(end)
        failed = self._proof.failed()
        if failed:
            raise BodyDigestMismatch(
                f"The body does not have the {', '.join(failed)} that came with it. None of it was kept; "
                f"the upload stands at byte {self.lease.offset}.",
                algorithms=failed,
                offset=self.lease.offset,
            )

    def _is_whole(self, offset: int, end: TransferEnd) -> bool:
        """Whether the object is what it is to be, be it a file's or a part's."""
        at_length = self._size is not None and offset == self._size
        match self.terms.completes:
            case None:
                # A length that comes with a body that goes beyond it is refused with that body.
                return at_length and not (end is TransferEnd.OVER_LIMIT and self.terms.size is not None)
            case True:
                return end is TransferEnd.BODY_ENDED and (at_length or self._size is None)
            case False:
                return False

    async def _keep_what_arrived(self, inlet: Inlet) -> None:
        """The store failed, or the server gave this request up: what was written before is still the client's."""
        if self._proof is not None:
            self._reserved = self.session.reserved if await inlet.discard() else None
            return
        if inlet.offset == self.lease.offset:
            return
        await inlet.save(completes=False)
        if inlet.offset == self._size:
            return  # all of it, but not complete: the client must have something to send that completes it
        await in_transaction(
            files.commit_offset,
            self.lease,
            inlet.offset,
            inlet.state,
            ttl_hours=self._ttl_hours,
            release=True,
        )

    async def _commit(self, arrived: _Arrived) -> Outcome:
        whole = self._is_whole(arrived.offset, arrived.end)
        if whole and not self.session.is_partial:
            await completion.complete(
                self.lease,
                self.session,
                size=arrived.offset,
                known=arrived.digest.hexdigest() if arrived.digest else None,
                also=self.terms.whole,
                last_append_offset=self.lease.offset,
                request_id=self.request_id,
            )
            return self._outcome(arrived.end)
        await self._commit_offset(arrived)
        if whole:
            joining.start_those_waiting_for(self.session, self.request_id)
        elif self.terms.completes and arrived.end is TransferEnd.BODY_ENDED:
            raise InconsistentLength(
                f"This request was to complete the upload, which has {arrived.offset} bytes now and was to have "
                f"{self._size} bytes.",
                expected=self._size,
                received=arrived.offset,
            )
        return self._outcome(arrived.end)

    async def _commit_offset(self, arrived: _Arrived) -> None:
        size = None if arrived.end is TransferEnd.OVER_LIMIT else self.terms.size
        self.session.expires_at = await in_transaction(
            files.commit_offset,
            self.lease,
            arrived.offset,
            arrived.state,
            ttl_hours=self._ttl_hours,
            release=True,
            size=size,
        )
        self.session.offset = arrived.offset
        if size is not None:
            self.session.size = size
        digests.put(self.session.id, arrived.digest)

    @property
    def _ttl_hours(self) -> float:
        return files.profile(self.session.profile).upload_ttl_hours
