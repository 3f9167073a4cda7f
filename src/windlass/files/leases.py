"""Leases of uploads: columns of the session's row. Each change is one conditional UPDATE, fenced by an epoch."""

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
    """Another request holds the lease now; what this one wrote after its last commit does not count."""


class UploadCompleted(Exception):
    """The upload has become a file, so it cannot be leased any more."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to an upload while ``epoch`` is that of the session.

    ``offset`` and ``state`` as last committed. ``until``: nobody else can take the lease before this time.
    """

    upload_id: uuid.UUID
    epoch: int
    offset: int
    size: int | None
    store_key: str
    state: dict[str, Any]
    until: datetime


def take_lease(upload_id: uuid.UUID, holder: str, seconds: float) -> Lease | None:
    """Take the lease if nobody holds it or it has expired; else return None.

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
    """Return the session if the lease is still valid."""
    return UploadSession.objects.filter(id=lease.upload_id, lease_epoch=lease.epoch).first()


def lease_of(session: UploadSession) -> Lease:
    """Return the lease of a leased session."""
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
    """Release the lease. ``reserved``: the quota reservation to go back to, for an upload of unknown length."""
    released = UploadSession.objects.filter(id=lease.upload_id, lease_epoch=lease.epoch, lease_until__isnull=False)
    changed = released.update(lease_holder="", lease_until=None, lease_wanted=False)
    if changed and reserved is not None and lease.size is None:
        quota.restore_reservation(lease.upload_id, reserved)


def reserve_for_lease(lease: Lease, size: int) -> None:
    """Reserve quota for ``size`` bytes of an upload of unknown length, before they are stored.

    Call it in a transaction. Raises LeaseLost, QuotaExceeded.
    """
    update_leased(lease, {"updated_at": now()})
    quota.reserve_at_least(lease.upload_id, size)


def request_lease(upload_id: uuid.UUID) -> None:
    """Ask the holder, in any process, to flush, commit and release the lease."""
    UploadSession.objects.filter(id=upload_id).exclude(lease_holder="").update(lease_wanted=True)


def unrequested_leases(holder: str) -> Collection[uuid.UUID]:
    """Return the uploads that ``holder`` still leases and nobody has requested."""
    return set(UploadSession.objects.filter(lease_holder=holder, lease_wanted=False).values_list("id", flat=True))


def renew_leases(holder: str, seconds: float) -> int:
    """Renew every lease of this holder by one statement; return how many."""
    return UploadSession.objects.filter(lease_holder=holder).update(lease_until=now() + timedelta(seconds=seconds))


def release_leases(holder: str) -> int:
    """Release and fence every lease of a process that has just started under this name; return how many."""
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
    """Commit the offset and the store's state; return when the session expires now. Call it in a transaction.

    ``release``: release the lease too. ``size``: the length of the upload, if it has become known. Raises LeaseLost,
    and QuotaExceeded for an upload whose length was not known before.
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
    """Update the session if the lease is still valid. Raises LeaseLost."""
    changed = UploadSession.objects.filter(
        id=lease.upload_id, lease_epoch=lease.epoch, status__in=UNFINISHED_UPLOADS
    ).update(**values)
    if not changed:
        raise LeaseLost(str(lease.upload_id))
