"""The right to write to an upload, as columns of its row: each change one conditional UPDATE, fenced by an epoch."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q

from windlass.files import quota
from windlass.files.models import UploadSession
from windlass.files.states import UNFINISHED_UPLOADS, UploadStatus
from windlass.kernel.clock import now
from windlass.kernel.errors import UploadGone


class LeaseLost(Exception):
    """Another request holds this upload now; what this one wrote after its last commit does not count."""


class UploadCompleted(Exception):
    """The upload has become a file, perhaps a moment ago: there is nothing to lease any more."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to an upload while ``epoch`` is the session's. ``offset`` and ``state`` as last committed.

    ``until``: nobody else can have taken it before then.
    """

    upload_id: uuid.UUID
    epoch: int
    offset: int
    size: int | None
    store_key: str
    state: dict[str, Any]
    until: datetime


def take_lease(upload_id: uuid.UUID, holder: str, seconds: float) -> Lease | None:
    """Take the lease if nobody holds it, or its holder's time ran out. None otherwise.

    Raises UploadCompleted, UploadGone.
    """
    moment = now()
    free = Q(lease_holder="") | Q(lease_until__lt=moment)
    taken = UploadSession.objects.filter(free, id=upload_id, status=UploadStatus.ACTIVE, expires_at__gt=moment).update(
        lease_holder=holder,
        lease_epoch=F("lease_epoch") + 1,
        lease_until=moment + timedelta(seconds=seconds),
        lease_wanted=False,
    )
    session = UploadSession.objects.filter(id=upload_id).first()
    if session is not None and session.status == UploadStatus.COMPLETED:
        raise UploadCompleted
    if session is None or session.status != UploadStatus.ACTIVE:
        raise UploadGone("This upload has ended.")
    return lease_of(session) if taken else None


def leased_upload(lease: Lease) -> UploadSession | None:
    """The session as it stands, if the lease is still its own."""
    return UploadSession.objects.filter(id=lease.upload_id, lease_epoch=lease.epoch).first()


def lease_of(session: UploadSession) -> Lease:
    """Of a session that has one."""
    return Lease(
        session.id,
        session.lease_epoch,
        session.offset,
        session.size,
        session.store_key,
        session.store_state,
        session.lease_until or now(),
    )


def release_lease(lease: Lease, reserved: int | None = None) -> None:
    """Give the lease back with nothing changed. ``reserved``: what the quota counts for the upload again, where its
    length is not known."""
    released = UploadSession.objects.filter(id=lease.upload_id, lease_epoch=lease.epoch, lease_until__isnull=False)
    changed = released.update(lease_holder="", lease_until=None, lease_wanted=False)
    if changed and reserved is not None and lease.size is None:
        quota.restore_reservation(lease.upload_id, reserved)


def reserve_for_lease(lease: Lease, size: int) -> None:
    """Before so many bytes are in the store of an upload whose length was not known: its owner's quota allows them.

    In a transaction. Raises LeaseLost, QuotaExceeded.
    """
    update_leased(lease, {"updated_at": now()})
    quota.reserve_at_least(lease.upload_id, size)


def request_lease(upload_id: uuid.UUID) -> None:
    """Ask whoever holds it, in any process, to flush, commit and let go."""
    UploadSession.objects.filter(id=upload_id).exclude(lease_holder="").update(lease_wanted=True)


def unrequested_leases(holder: str) -> Collection[uuid.UUID]:
    """The uploads that ``holder`` has and may keep: nobody asked for them, took them over or ended them."""
    return set(UploadSession.objects.filter(lease_holder=holder, lease_wanted=False).values_list("id", flat=True))


def renew_leases(holder: str, seconds: float) -> int:
    """Prolong every lease of this holder by one statement."""
    return UploadSession.objects.filter(lease_holder=holder).update(lease_until=now() + timedelta(seconds=seconds))


def release_leases(holder: str) -> int:
    """Free every lease of a holder that has just started under this name, and so cannot be writing."""
    return UploadSession.objects.filter(lease_holder=holder).update(
        lease_holder="", lease_until=None, lease_epoch=F("lease_epoch") + 1
    )


def commit_offset(
    lease: Lease,
    offset: int,
    state: dict[str, Any],
    *,
    ttl_hours: float,
    release: bool = False,
    size: int | None = None,
) -> datetime:
    """Commit how far the bytes are stored; returns when the session now expires. In a transaction.

    ``size``: the length of the whole, where it has become known. Raises LeaseLost, and QuotaExceeded where it was not
    known before and the owner's quota does not allow as much.
    """
    expires_at = now() + timedelta(hours=ttl_hours)
    values: dict[str, Any] = {"offset": offset, "store_state": state, "expires_at": expires_at, "updated_at": now()}
    if size is not None:
        values["size"] = size
    if release:
        values |= {"lease_holder": "", "lease_until": None, "lease_wanted": False}
    update_leased(lease, values)
    if lease.size is None:
        (quota.reserve_exactly if release else quota.reserve_at_least)(lease.upload_id, max(offset, size or 0))
    return expires_at


def update_leased(lease: Lease, values: dict[str, Any]) -> None:
    """Write to the session if the lease is still its own. Raises LeaseLost."""
    changed = UploadSession.objects.filter(
        id=lease.upload_id, lease_epoch=lease.epoch, status__in=UNFINISHED_UPLOADS
    ).update(**values)
    if not changed:
        raise LeaseLost(str(lease.upload_id))
