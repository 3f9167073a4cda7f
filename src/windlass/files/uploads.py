"""Upload sessions as rows. Each change is one conditional UPDATE whose row count is checked."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q

from windlass.events.api import EventType, Recorder, recording
from windlass.files.models import Blob, FileAsset, UploadSession
from windlass.files.profiles import Profile
from windlass.files.states import UploadStatus, uploads_that_may_become
from windlass.kernel.clock import now
from windlass.kernel.errors import NotFound, UploadGone
from windlass.kernel.ids import new_id
from windlass.kernel.principals import Principal


class LeaseLost(Exception):
    """Another request holds this upload now; what this one wrote after its last commit does not count."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to an upload while ``epoch`` is the session's. ``offset`` and ``state`` as last committed."""

    upload_id: uuid.UUID
    epoch: int
    offset: int
    size: int | None
    store_key: str
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewUpload:
    """What a session begins with; already admitted by its profile."""

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
    holder: str = ""
    lease_seconds: float = 0


def create(new: NewUpload, *, upload_id: uuid.UUID, key: str, state: dict[str, Any]) -> UploadSession:
    """Record a session whose object exists in the store. With a holder it is leased from its first moment."""
    moment = now()
    session = UploadSession(
        id=upload_id,
        owner=new.owner,
        dialect=new.dialect,
        profile=new.profile.name,
        filename=new.filename,
        declared_type=new.declared_type,
        reference=new.reference,
        metadata=new.metadata,
        client_metadata=new.client_metadata,
        expected_sha256=new.expected_sha256,
        size=new.size,
        store=new.store,
        store_key=key,
        store_state=state,
        expires_at=moment + timedelta(hours=new.profile.upload_ttl_hours),
        lease_holder=new.holder,
        lease_epoch=1 if new.holder else 0,
        lease_until=moment + timedelta(seconds=new.lease_seconds) if new.holder else None,
    )
    with recording() as tell:
        session.save(force_insert=True)
        tell.add(
            EventType.UPLOAD_CREATED,
            owner=new.owner,
            upload_id=session.id,
            data={"filename": new.filename, "size": new.size},
        )
    return session


def get(upload_id: uuid.UUID, principal: Principal) -> UploadSession:
    """The caller's session, whatever its status. Raises NotFound for another's too."""
    session = UploadSession.objects.filter(id=upload_id).first()
    if session is None or not principal.may_see(session.owner):
        raise NotFound(f"There is no upload {upload_id}.")
    return session


def must_be_alive(session: UploadSession) -> None:
    """Raises UploadGone for a session that has ended without becoming a file."""
    if session.status == UploadStatus.ACTIVE and session.expires_at > now():
        return
    if session.status == UploadStatus.COMPLETED:
        return
    status = UploadStatus.EXPIRED if session.status == UploadStatus.ACTIVE else UploadStatus(session.status)
    why = f" {session.failure}" if session.failure else ""
    raise UploadGone(f"This upload is {status.value}.{why} Start a new one.", upload_status=status.value)


def take_lease(upload_id: uuid.UUID, holder: str, seconds: float) -> Lease | None:
    """Take the lease if nobody holds it, or its holder's time ran out. None otherwise. Raises UploadGone."""
    moment = now()
    free = Q(lease_holder="") | Q(lease_until__lt=moment)
    taken = UploadSession.objects.filter(free, id=upload_id, status=UploadStatus.ACTIVE, expires_at__gt=moment).update(
        lease_holder=holder,
        lease_epoch=F("lease_epoch") + 1,
        lease_until=moment + timedelta(seconds=seconds),
        lease_wanted=False,
    )
    session = UploadSession.objects.filter(id=upload_id).first()
    if session is None or session.status != UploadStatus.ACTIVE:
        raise UploadGone("This upload has ended.")
    return lease_of(session) if taken else None


def held(lease: Lease) -> UploadSession | None:
    """The session as it stands, if the lease is still its own."""
    return UploadSession.objects.filter(id=lease.upload_id, lease_epoch=lease.epoch).first()


def lease_of(session: UploadSession) -> Lease:
    return Lease(session.id, session.lease_epoch, session.offset, session.size, session.store_key, session.store_state)


def release_lease(lease: Lease) -> None:
    """Give the lease back with nothing changed."""
    UploadSession.objects.filter(id=lease.upload_id, lease_epoch=lease.epoch).update(
        lease_holder="", lease_until=None, lease_wanted=False
    )


def ask_for_lease(upload_id: uuid.UUID) -> None:
    """Ask whoever holds it, in any process, to flush, commit and let go."""
    UploadSession.objects.filter(id=upload_id).exclude(lease_holder="").update(lease_wanted=True)


def wanted_from(holder: str) -> Sequence[uuid.UUID]:
    """Uploads that ``holder`` is asked to let go of."""
    return list(UploadSession.objects.filter(lease_holder=holder, lease_wanted=True).values_list("id", flat=True))


def renew_leases(holder: str, seconds: float) -> int:
    """Prolong every lease of this holder by one statement."""
    return UploadSession.objects.filter(lease_holder=holder).update(lease_until=now() + timedelta(seconds=seconds))


def release_leases(holder: str) -> int:
    """Free every lease of a holder that has just started under this name, and so cannot be writing."""
    return UploadSession.objects.filter(lease_holder=holder).update(
        lease_holder="", lease_until=None, lease_epoch=F("lease_epoch") + 1
    )


def checkpoint(
    lease: Lease,
    offset: int,
    state: dict[str, Any],
    *,
    ttl_hours: float,
    release: bool = False,
) -> datetime:
    """Commit how far the bytes are stored; returns when the session now expires. Raises LeaseLost."""
    expires_at = now() + timedelta(hours=ttl_hours)
    values: dict[str, Any] = {"offset": offset, "store_state": state, "expires_at": expires_at, "updated_at": now()}
    if release:
        values |= {"lease_holder": "", "lease_until": None, "lease_wanted": False}
    _held(lease, values)
    return expires_at


def complete(
    tell: Recorder,
    lease: Lease,
    session: UploadSession,
    *,
    size: int,
    sha256: str | None,
    last_append_offset: int = 0,
) -> FileAsset:
    """Every byte is in: the session ends, its file begins. Inside the caller's transaction. Raises LeaseLost.

    ``last_append_offset`` is where the completing request began, by which its repetition is known.
    """
    blob = Blob.objects.create(
        owner=session.owner, store=session.store, key=session.store_key, size=size, sha256=sha256
    )
    asset = FileAsset.objects.create(
        id=new_id(),
        owner=session.owner,
        upload_id=session.id,
        blob=blob,
        original_filename=session.filename,
        size=size,
        profile=session.profile,
        reference=session.reference,
        metadata=session.metadata,
        declared_mime_type=session.declared_type,
        expected_sha256=session.expected_sha256,
        checksum=sha256,
    )
    values: dict[str, Any] = {
        "status": UploadStatus.COMPLETED,
        "offset": size,
        "size": size,
        "file_id": asset.id,
        "lease_holder": "",
        "lease_until": None,
        "last_append_offset": last_append_offset,
        "ended_at": now(),
        "updated_at": now(),
    }
    _held(lease, values)
    tell.add(
        EventType.UPLOAD_COMPLETED,
        owner=session.owner,
        upload_id=session.id,
        file_id=asset.id,
        data={"size": size},
    )
    tell.add(
        EventType.FILE_CREATED,
        owner=session.owner,
        upload_id=session.id,
        file_id=asset.id,
        data={"filename": session.filename, "size": size},
    )
    return asset


_ENDING_EVENT = {
    UploadStatus.CANCELLED: EventType.UPLOAD_CANCELLED,
    UploadStatus.FAILED: EventType.UPLOAD_CANCELLED,
    UploadStatus.EXPIRED: EventType.UPLOAD_EXPIRED,
}


def end(upload_id: uuid.UUID, target: UploadStatus, reason: str = "") -> bool:
    """Cancel, fail or expire an active session. False where it had ended already. Its holder is fenced."""
    with recording() as tell:
        ended = UploadSession.objects.filter(id=upload_id, status__in=uploads_that_may_become(target)).update(
            status=target,
            failure=reason,
            ended_at=now(),
            updated_at=now(),
            lease_holder="",
            lease_until=None,
            lease_epoch=F("lease_epoch") + 1,
        )
        if ended:
            session = UploadSession.objects.only("owner", "id").get(id=upload_id)
            tell.add(
                _ENDING_EVENT[target],
                owner=session.owner,
                upload_id=session.id,
                data={"message": reason} if reason else {},
            )
    return bool(ended)


def forget(upload_id: uuid.UUID) -> None:
    """Delete the session's row: the client gave it up, or its time to be remembered is over."""
    UploadSession.objects.filter(id=upload_id).delete()


def expired(moment: datetime) -> Sequence[UploadSession]:
    """Active sessions past their life that nobody is writing to."""
    idle = Q(lease_holder="") | Q(lease_until__lt=moment)
    return list(UploadSession.objects.filter(idle, status=UploadStatus.ACTIVE, expires_at__lt=moment)[:500])


def to_forget(ended_before: datetime) -> Sequence[UploadSession]:
    """Sessions that ended before this moment."""
    return list(UploadSession.objects.filter(ended_at__lt=ended_before)[:500])


def _held(lease: Lease, values: dict[str, Any]) -> None:
    changed = UploadSession.objects.filter(
        id=lease.upload_id, lease_epoch=lease.epoch, status=UploadStatus.ACTIVE
    ).update(**values)
    if not changed:
        raise LeaseLost(str(lease.upload_id))
