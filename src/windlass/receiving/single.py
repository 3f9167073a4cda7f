"""Uploads of one request: a file of a form, a raw body. They cannot be resumed, so an incomplete one is deleted.

A file that fits one batch is stored first and then recorded, with its session, in one transaction. A larger one has a
session from its first batch on, so that it is visible while it is received.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from windlass.accounts import api as accounts
from windlass.events.api import recording
from windlass.executors import in_thread, in_thread_then_transaction, in_transaction
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.kernel import process_counters
from windlass.kernel.clock import monotonic
from windlass.kernel.ids import new_id
from windlass.kernel.object_keys import object_key
from windlass.kernel.problem_types import FileTooLarge, ReceiveTimeout, Unavailable, UploadGone
from windlass.receiving import completion
from windlass.receiving import lease as leases
from windlass.receiving.admission import check_size, pace_of
from windlass.receiving.body import ByteSource, ClientGone, InitialBody, read_initial_body
from windlass.receiving.digest import RunningDigest
from windlass.receiving.disk_space import require_free_space
from windlass.receiving.durability import syncs_complete_files
from windlass.receiving.leased_writer import LeasedUploadWriter
from windlass.receiving.transfer import TransferEnd
from windlass.storage.contract import State
from windlass.storage.registry import store

T = TypeVar("T")

_CANCELLED = "This upload was cancelled while it was being received."


class SingleRequestUpload:
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
        self._object_created = False
        #: All bytes, if they are to be stored by ``finish``.
        self._initial: InitialBody | None = None
        self._sha256: str | None = None
        self._began_at = monotonic()
        self.recorded = False
        self._commit_began = False

    async def receive(self, source: ByteSource, *, stores_at_end: bool = False) -> None:
        """Write all bytes to the store. ``stores_at_end``: a file that fits one batch is written by ``finish``.

        Raises ClientGone, FileTooLarge, InvalidField, QuotaExceeded, StorageFull, ReceiveTimeout, UploadGone,
        Unavailable, StoreError.
        """
        await require_free_space(self.new.store)
        initial = await read_initial_body(source)
        if initial.gone:
            raise ClientGone
        if initial.size > self._limit:
            raise FileTooLarge(self._limit, initial.size)
        if not initial.ended:
            await self._stream(source, initial)
        elif stores_at_end:
            self._initial, self.size = initial, initial.size
        else:
            await in_thread(self._store_at_once, initial)
        check_size(self.new.profile, self.size)

    async def verify(self) -> None:
        """Verify the announced checksum of the received bytes. Raises ChecksumMismatch."""
        known = self._digest.hexdigest() if self._digest else None
        expected = completion.announced_checksums(self.new.expected_sha256, self.new.expected_sha512)
        self._sha256 = await completion.verify_checksums(self._store, self._key, known, expected)

    async def finish(self, request_id: str, show: Callable[[files.FileAsset], T]) -> T:
        """Verify and record the file, and return ``show(file)``, called in the transaction that records it.

        Raises ChecksumMismatch, QuotaExceeded, UploadGone, and what ``show`` raises.
        """
        record = partial(self._record_and_show, request_id, show)
        announces_checksums = bool(self.new.expected_sha256 or self.new.expected_sha512)
        if self._initial is not None and not announces_checksums:
            shown = await in_thread_then_transaction(partial(self._store_at_once, self._initial), lambda _: record())
        else:
            if self._initial is not None:
                await in_thread(self._store_at_once, self._initial)
            await self.verify()
            shown = await in_transaction(record)
        self.note_recorded()
        return shown

    def record(self, request_id: str) -> files.FileAsset:
        """Record the verified file in the caller's transaction, whose last act is to call ``note_commit``; call
        ``note_recorded`` once it is committed.

        Raises QuotaExceeded, UploadGone.
        """
        session = self._session
        if session is None:
            return self._record_whole(request_id)
        session.reference = self.new.reference
        session.expected_sha256 = self.new.expected_sha256
        session.metadata = self.new.metadata
        lease = files.lease_of(session)
        try:
            return completion.record_file(lease, session, size=self.size, sha256=self._sha256, request_id=request_id)
        except files.LeaseLost as error:
            raise UploadGone(_CANCELLED) from error

    def note_commit(self) -> None:
        """Note that the transaction of ``record`` is about to be committed.

        If the database fails from here on, nobody knows whether the file is recorded. Its bytes are kept then, and the
        sweep deletes them if no row names them.
        """
        self._commit_began = True

    def note_recorded(self) -> None:
        """The file's record is committed: nothing of this upload is to be deleted."""
        self.recorded = True
        if self._session is None:  # otherwise it is measured from the session's creation
            process_counters.upload_seconds.observe(monotonic() - self._began_at, self.new.dialect)

    async def discard(self) -> None:
        """Delete everything of this upload, unless its file was recorded or may have been. Idempotent."""
        if self.recorded or self._commit_began:
            return
        if self._session is not None:
            await in_transaction(files.mark_upload_ended, self._session.id, files.UploadStatus.CANCELLED)
            if self.new.grant is not None:
                await in_transaction(accounts.release_grant, self.new.grant.id, self.id)
        if self._object_created:
            await in_thread(self._store.discard, self._key, self._state)

    def describe(self, *, reference: str | None, sha256: str | None, metadata: dict[str, object]) -> None:
        """Set what the client declared after the bytes. A reference of the grant takes precedence."""
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

    def _store_at_once(self, initial: InitialBody) -> None:
        self._object_created = True  # from here on there may be something to discard
        self._state = self._store.put_whole(self._key, initial.buffers, durable=syncs_complete_files())
        if self._digest is not None:
            self._digest.update(initial.buffers)
            self._sha256 = self._digest.hexdigest()
        self.size = initial.size

    def _create_object(self) -> None:
        self._state = self._store.create(self._key, durable=syncs_complete_files(), at_most=self._limit)
        self._object_created = True

    async def _stream(self, source: ByteSource, initial: InitialBody) -> None:
        await in_thread(self._create_object)
        leased = replace(self.new, resumable=False, holder=leases.holder(), lease_seconds=leases.LEASE_SECONDS)
        self._session = await in_transaction(
            files.create_upload, leased, upload_id=self.id, key=self._key, state=self._state
        )
        writer = LeasedUploadWriter(
            self._store,
            files.lease_of(self._session),
            self._digest,
            must_hash=self.new.expected_sha256 is not None,
            ttl_hours=self.new.profile.upload_ttl_hours,
            pace=pace_of(self._session),
        )
        try:
            with leases.keeper.holding(self.id, writer.request_stop):
                end = await writer.receive(source, initial.buffers, self._limit)
            self.size, self._digest = writer.offset, writer.digest
            self._require_complete_body(end)
            await writer.save(completes=True)
            self._state = writer.state
        except files.LeaseLost as error:
            raise UploadGone(_CANCELLED) from error
        finally:
            await writer.close()

    def _require_complete_body(self, end: TransferEnd) -> None:
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

    def _record_and_show(self, request_id: str, show: Callable[[files.FileAsset], T]) -> T:
        with recording():
            shown = show(self.record(request_id))
        self.note_commit()
        return shown

    def _record_whole(self, request_id: str) -> files.FileAsset:
        with recording() as recorder:
            _session, asset = files.create_complete_upload(
                recorder,
                self.new,
                upload_id=self.id,
                key=self._key,
                state=self._state,
                size=self.size,
                sha256=self._sha256,
            )
            cost = jobs.cost_class(asset.size)
            jobs.enqueue(jobs.Stage.INTAKE, asset.id, cost=cost, run=asset.run, request_id=request_id, is_new_file=True)
        return asset
