"""Rows of upload sessions. Each change is one conditional UPDATE whose row count is checked."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db.models import F, Q, QuerySet

from windlass.database import rows
from windlass.database.connection import on_commit
from windlass.events.api import EventType, Recorder, recording
from windlass.files import quota, retention
from windlass.files.idempotency_keys import KeyClaim, record_upload
from windlass.files.lease_rows import UPLOAD_LEASES, Lease, update_leased, update_leased_session
from windlass.files.models import Blob, FileAsset, UploadSession
from windlass.files.open_uploads import require_open_upload_allowed
from windlass.files.profiles import Profile
from windlass.files.states import UNFINISHED_UPLOADS, UploadStatus, upload_statuses_before
from windlass.kernel import process_counters
from windlass.kernel.clock import now
from windlass.kernel.ids import new_id
from windlass.kernel.principals import GrantedUpload, Principal
from windlass.kernel.problem_types import NotFound, UploadGone

_BATCH = 500
#: Attributes of a new upload that are columns of its session.
_COLUMNS = (
    *("owner", "dialect", "resumable", "filename", "declared_type", "reference", "metadata", "client_metadata"),
    *("expected_sha256", "expected_sha512", "concat", "concat_key", "size", "chunk_size", "max_size", "store"),
    "address_key",
)


@dataclass(frozen=True, slots=True)
class NewUpload:
    """The attributes of a session to create, which its profile admits.

    ``on_create`` is called with the session's id in the transaction that creates it; if it raises, nothing is created.
    ``claim``: the idempotency key of the request, in whose row the session is recorded in the same transaction.
    ``address_key``: by which its address is counted (``open_uploads.address_key``).
    """

    owner: str
    dialect: str
    profile: Profile
    filename: str
    declared_type: str | None
    reference: str | None
    metadata: dict[str, Any]
    client_metadata: str | None
    expected_sha256: str | None
    size: int | None
    store: str
    expected_sha512: str | None = None
    concat: str | None = None
    parts: Sequence[uuid.UUID] | None = None
    concat_key: str = ""
    chunk_size: int | None = None
    max_size: int | None = None
    resumable: bool = True
    address_key: str = ""
    holder: str = ""
    lease_seconds: float = 0
    grant: GrantedUpload | None = None
    on_create: Callable[[uuid.UUID], None] | None = None
    claim: KeyClaim | None = None


def create_upload(new: NewUpload, *, upload_id: uuid.UUID, key: str, state: dict[str, Any]) -> UploadSession:
    """Create a session whose object exists in the store. With a holder it is leased from the start.

    Raises QuotaExceeded, TooManyUploads, RequestInProgress, and what ``on_create`` raises.
    """
    session = _new_session(new, upload_id, key, state)
    session.reserved = quota.new_reservation(session)
    with recording() as recorder:
        if new.on_create is not None:
            new.on_create(upload_id)
        if new.claim is not None:
            record_upload(new.claim, upload_id)
        require_open_upload_allowed(new.owner, new.address_key, new.parts or ())
        rows.insert_deferred(session)
        quota.reserve_upload(session)
        _record_created(recorder, session)
    return session


def get_upload(upload_id: uuid.UUID, principal: Principal) -> UploadSession:
    """Return the caller's session in any status. Raises NotFound, also for a session of another owner."""
    session = load_upload(upload_id)
    if session is None or not principal.may_access(session.owner):
        raise NotFound(f"There is no upload {upload_id}.")
    return session


def load_upload(upload_id: uuid.UUID) -> UploadSession | None:
    return rows.find(UploadSession, id=upload_id)


def require_living(session: UploadSession) -> None:
    """Raises UploadGone for a session that ended without becoming a file."""
    if session.status == UploadStatus.ACTIVE and session.expires_at > now():
        return
    if session.status in (UploadStatus.COMPLETED, UploadStatus.ASSEMBLING):
        return
    status = UploadStatus.EXPIRED if session.status == UploadStatus.ACTIVE else UploadStatus(session.status)
    why = f" {session.failure}" if session.failure else ""
    raise UploadGone(f"This upload is {status.value}.{why} Start a new one.", upload_status=status.value)


def complete_upload(
    recorder: Recorder,
    lease: Lease,
    session: UploadSession,
    *,
    size: int,
    sha256: str | None,
    last_append_offset: int = 0,
) -> FileAsset:
    """End a complete session and create its file, inside the caller's transaction.

    ``last_append_offset``: where the completing request began, by which a replay is recognised. Raises LeaseLost,
    and QuotaExceeded if the length was not known before.
    """
    asset = _new_file(session, size, sha256)
    values: dict[str, Any] = {"status": UploadStatus.COMPLETED, "offset": size, "size": size, "file_id": asset.id}
    values |= {"last_append_offset": last_append_offset, "ended_at": now(), "updated_at": now()}
    values |= {"lease_holder": "", "lease_until": None, "address_key": ""}
    if lease.size is None:  # what it has reserved has changed since the session was read
        session.reserved = update_leased_session(lease, values).reserved
    else:
        update_leased(lease, values)
    _insert_file(asset)
    quota.settle_upload(session, asset)
    _record_completed(recorder, session, asset)
    took = (now() - session.created_at).total_seconds()
    on_commit(partial(process_counters.upload_seconds.observe, took, session.dialect))
    return asset


def create_complete_upload(
    recorder: Recorder,
    new: NewUpload,
    *,
    upload_id: uuid.UUID,
    key: str,
    state: dict[str, Any],
    size: int,
    sha256: str | None,
) -> tuple[UploadSession, FileAsset]:
    """Create a complete session and its file, inside the caller's transaction.

    Raises QuotaExceeded, and what ``on_create`` raises.
    """
    session = _new_session(new, upload_id, key, state)
    session.status, session.ended_at, session.address_key = UploadStatus.COMPLETED, now(), ""
    session.offset = session.size = size
    session.last_append_offset = 0
    asset = _new_file(session, size, sha256)
    session.file_id = asset.id
    if new.on_create is not None:
        new.on_create(upload_id)
    _insert_file(asset)
    rows.insert_deferred(session)
    quota.change_account(session.owner, bytes_used=size + asset.metadata_size, files_used=1)
    _record_created(recorder, session)
    _record_completed(recorder, session, asset)
    return session, asset


_ENDING_EVENT = {
    UploadStatus.CANCELLED: EventType.UPLOAD_CANCELLED,
    UploadStatus.FAILED: EventType.UPLOAD_CANCELLED,
    UploadStatus.EXPIRED: EventType.UPLOAD_EXPIRED,
}


def mark_upload_ended(
    upload_id: uuid.UUID, target: UploadStatus, reason: str = "", *, as_seen: UploadSession | None = None
) -> bool:
    """Cancel, fail or expire an active session, and fence its holder. False if it had ended already.

    ``as_seen``: only if nobody has written to it, or taken its lease, since it was read. The stored object is kept.
    """
    still = UploadSession.objects.filter(id=upload_id, status__in=upload_statuses_before(target))
    if as_seen is not None:
        still = still.filter(updated_at=as_seen.updated_at, lease_epoch=as_seen.lease_epoch)
    with recording() as recorder:
        ended = still.update(
            status=target,
            failure=reason,
            metadata={},  # it does not count in the quota any more
            client_metadata=None,
            address_key="",
            ended_at=now(),
            updated_at=now(),
            lease_holder="",
            lease_until=None,
            lease_epoch=F("lease_epoch") + 1,
        )
        if ended:
            session = UploadSession.objects.only("owner", "id", "reserved", "concat", "parts").get(id=upload_id)
            quota.release_upload(session)
            data = {"message": reason} if reason else {}
            recorder.add(_ENDING_EVENT[target], owner=session.owner, upload_id=session.id, data=data)
    return bool(ended)


def describe_upload(session: UploadSession, values: dict[str, Any]) -> None:
    """Set attributes that the client declares late: ``reference``, ``metadata``."""
    UploadSession.objects.filter(id=session.id).update(**values)
    for name, value in values.items():
        setattr(session, name, value)


def forget_upload(upload_id: uuid.UUID) -> None:
    UploadSession.objects.filter(id=upload_id).delete()


def expired_uploads(idle_hours: float | None = None) -> Iterator[UploadSession]:
    """Return sessions without a writer that are expired, or had nothing written for ``idle_hours``.

    A session that cannot be resumed expires with its request.
    """
    moment = now()
    free = UploadSession.objects.filter(UPLOAD_LEASES.is_free(moment), status__in=UNFINISHED_UPLOADS)
    # One by one, as each condition has an index of its own.
    yield from _in_batches(free.filter(expires_at__lt=moment), "expires_at")
    once = _in_batches(free.filter(resumable=False), "id")
    yield from (session for session in once if session.expires_at >= moment)
    if idle_hours is not None:
        idle = free.filter(resumable=True, updated_at__lt=moment - timedelta(hours=idle_hours))
        yield from (session for session in _in_batches(idle, "updated_at") if session.expires_at >= moment)


def uploads_ended_before(ended_before: datetime) -> Iterator[UploadSession]:
    return _in_batches(UploadSession.objects.filter(ended_at__lt=ended_before), "ended_at")


def _in_batches(sessions: QuerySet[UploadSession], column: str) -> Iterator[UploadSession]:
    """Iterate in batches, by this column, so that the caller may change the table and take long between two rows."""
    ordered = sessions.order_by(column, "id")
    batch = list(ordered[:_BATCH])
    while batch:
        yield from batch
        last = {column: getattr(batch[-1], column), "id": batch[-1].id}
        after = Q(**{f"{column}__gt": last[column]}) | Q(**{column: last[column], "id__gt": last["id"]})
        batch = list(ordered.filter(Q(**{f"{column}__gte": last[column]}), after)[:_BATCH])


def _new_session(new: NewUpload, upload_id: uuid.UUID, key: str, state: dict[str, Any]) -> UploadSession:
    moment = now()
    return rows.new(
        UploadSession,
        id=upload_id,
        **{name: getattr(new, name) for name in _COLUMNS},
        profile=new.profile.name,
        parts=None if new.parts is None else [str(part) for part in new.parts],
        store_key=key,
        store_state=state,
        expires_at=moment + timedelta(hours=new.profile.upload_ttl_hours),
        lease_holder=new.holder,
        lease_epoch=1 if new.holder else 0,
        lease_until=moment + timedelta(seconds=new.lease_seconds) if new.holder else None,
    )


def _insert_file(asset: FileAsset) -> None:
    assert asset.blob is not None
    rows.insert_deferred(asset.blob)
    rows.insert_deferred(asset)


def _new_file(session: UploadSession, size: int, sha256: str | None) -> FileAsset:
    """The file record and its blob, which are not in the database yet."""
    blob = rows.new(Blob, owner=session.owner, store=session.store, key=session.store_key, size=size, sha256=sha256)
    return rows.new(
        FileAsset,
        id=new_id(),
        owner=session.owner,
        upload_id=session.id,
        blob=blob,
        original_filename=session.filename,
        size=size,
        profile=session.profile,
        reference=session.reference,
        metadata=session.metadata,
        metadata_size=quota.metadata_size(session),
        declared_mime_type=session.declared_type,
        expected_sha256=session.expected_sha256,
        checksum=sha256,
        **retention.columns_of_new_file(session.profile),
    )


def _record_created(recorder: Recorder, session: UploadSession) -> None:
    data = {"filename": session.filename, "size": session.size}
    recorder.add(EventType.UPLOAD_CREATED, owner=session.owner, upload_id=session.id, data=data)


def _record_completed(recorder: Recorder, session: UploadSession, asset: FileAsset) -> None:
    about: dict[str, Any] = {"owner": session.owner, "upload_id": session.id, "file_id": asset.id}
    recorder.add(EventType.UPLOAD_COMPLETED, **about, data={"size": asset.size})
    recorder.add(EventType.FILE_CREATED, **about, data={"filename": session.filename, "size": asset.size})
