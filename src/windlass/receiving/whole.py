"""Uploads that are one request: a form's file, a raw body. They cannot be resumed, so what breaks off is dropped.

A file that fits one buffer is stored first and then recorded, session and all, in one transaction. A larger one has a
session from its first buffer on, so that it can be seen while it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from windlass.accounts import api as accounts
from windlass.executors import in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.errors import FileTooLarge, ReceiveTimeout, Unavailable, UploadGone
from windlass.kernel.ids import new_id
from windlass.receiving import completion, writing
from windlass.receiving import lease as leases
from windlass.receiving.admission import check_size, object_key
from windlass.receiving.body import ByteSource, ClientGone, InitialBody, read_initial_body
from windlass.receiving.digest import RunningDigest
from windlass.receiving.disk_space import require_free_space
from windlass.receiving.inlet import Inlet
from windlass.receiving.transfer import TransferEnd
from windlass.storage.contract import State
from windlass.storage.registry import store

T = TypeVar("T")

_CANCELLED = "This upload was cancelled while it was being received."


class WholeUpload:
    """One file of one request: ``receive`` its bytes, then ``finish`` it, or ``discard`` it."""

    def __init__(self, new: files.NewUpload) -> None:
        self.new = new
        self.size = 0
        self.id = new_id()
        self._store = store(new.store)
        self._key = object_key(self.id)
        self._state: State = {}
        self._digest: RunningDigest | None = RunningDigest()
        self._session: files.UploadSession | None = None
        self._created = False
        self.recorded = False

    async def receive(self, source: ByteSource) -> None:
        """Take every byte into the store.

        Raises ClientGone, FileTooLarge, QuotaExceeded, StorageFull, ReceiveTimeout, StoreError.
        """
        await require_free_space(self.new.store)
        found = await read_initial_body(source)
        if found.gone:
            raise ClientGone
        if found.size > self._limit:
            raise FileTooLarge(self._limit, found.size)
        if found.ended:
            await in_thread(self._store_at_once, found)
        else:
            await self._stream(source, found)
        check_size(self.new.profile, self.size)

    async def finish(self, request_id: str, show: Callable[[files.FileAsset], T]) -> T:
        """Prove the announced checksum, record the file, and give what ``show`` makes of it on the database's thread.

        Raises ChecksumMismatch, QuotaExceeded, UploadGone.
        """
        known = self._digest.hexdigest() if self._digest else None
        expected = completion.announced_by(self.new.expected_sha256, self.new.expected_sha512)
        sha256 = await completion.prove(self._store, self._key, known, expected)
        shown = await in_transaction(self._record, sha256, request_id, show)
        self.recorded = True
        return shown

    async def discard(self) -> None:
        """Nothing of this file stays, unless it was recorded. Idempotent."""
        if self.recorded:
            return
        if self._session is not None:
            await in_transaction(files.mark_upload_ended, self._session.id, files.UploadStatus.CANCELLED)
            if self.new.grant is not None:
                await in_transaction(accounts.release_grant, self.new.grant.id, self.id)
        if self._created:
            await in_thread(self._store.discard, self._key, self._state)

    def describe(self, *, reference: str | None, sha256: str | None, metadata: dict[str, object]) -> None:
        """What the client said of the file after its bytes."""
        granted = self.new.grant.reference if self.new.grant else None
        self.new = replace(
            self.new,
            reference=granted or reference or self.new.reference,
            expected_sha256=sha256 or self.new.expected_sha256,
            metadata=metadata or self.new.metadata,
        )

    @property
    def _limit(self) -> int:
        return self.new.profile.max_size

    def _create(self) -> None:
        self._state = writing.create(self._store, self._key, at_most=self._limit)
        self._created = True

    def _store_at_once(self, found: InitialBody) -> None:
        self._created = True  # from here on something may have to be discarded
        self._state = writing.store_whole(self._store, self._key, found.buffers, self._digest)
        self.size = found.size

    async def _stream(self, source: ByteSource, found: InitialBody) -> None:
        await in_thread(self._create)
        leased = replace(self.new, resumable=False, holder=leases.holder(), lease_seconds=leases.LEASE_SECONDS)
        self._session = await in_transaction(
            files.create_upload, leased, upload_id=self.id, key=self._key, state=self._state
        )
        inlet = Inlet(
            self._store,
            files.lease_of(self._session),
            self._digest,
            must_hash=self.new.expected_sha256 is not None,
            ttl_hours=self.new.profile.upload_ttl_hours,
        )
        try:
            with leases.keeper.holding(self.id, inlet.request_stop):
                end = await inlet.receive(source, found.buffers, self._limit)
            self.size, self._digest = inlet.offset, inlet.digest
            self._refuse(end)
            await inlet.save(completes=True)
            self._state = inlet.state
        except files.LeaseLost as error:
            raise UploadGone(_CANCELLED) from error
        finally:
            await inlet.close()

    def _refuse(self, end: TransferEnd) -> None:
        match end:
            case TransferEnd.CLIENT_GONE:
                raise ClientGone
            case TransferEnd.OVER_LIMIT:
                raise FileTooLarge(self._limit)
            case TransferEnd.TIMED_OUT:
                raise ReceiveTimeout("The client sent nothing for too long; a form or raw upload cannot be resumed.")
            case TransferEnd.STOP_REQUESTED if leases.keeper.stopping:
                raise Unavailable("The server is stopping. Send the file again, or use a resumable protocol.")
            case TransferEnd.STOP_REQUESTED:
                raise UploadGone(_CANCELLED)

    def _record(self, sha256: str | None, request_id: str, show: Callable[[files.FileAsset], T]) -> T:
        if self._session is None:
            return show(
                completion.record_whole(
                    self.new,
                    upload_id=self.id,
                    key=self._key,
                    state=self._state,
                    size=self.size,
                    sha256=sha256,
                    request_id=request_id,
                )
            )
        self._describe_session(self._session)
        lease = files.lease_of(self._session)
        try:
            return show(completion.record(lease, self._session, size=self.size, sha256=sha256, request_id=request_id))
        except files.LeaseLost as error:
            raise UploadGone(_CANCELLED) from error

    def _describe_session(self, session: files.UploadSession) -> None:
        session.reference = self.new.reference
        session.expected_sha256 = self.new.expected_sha256
        session.metadata = self.new.metadata
