"""Leases of uploads, and claims of chunks and idempotency keys: columns of the row, fenced by an epoch. Each change is
one UPDATE."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q, QuerySet

from windlass.database import rows
from windlass.database.ownership import rows_owned_by
from windlass.files import quota
from windlass.files.models import IdempotencyKey, UploadChunk, UploadSession
from windlass.files.states import UNFINISHED_UPLOADS, UploadStatus
from windlass.kernel.clock import now
from windlass.kernel.owners import EVERY_OWNER, Owners
from windlass.kernel.problem_types import UploadGone


class LeaseLost(Exception):
    """Another request holds the lease now; what this one wrote after its last commit does not count."""


class UploadCompleted(Exception):
    """The upload has become a file, so it cannot be leased any more."""


@dataclass(frozen=True, slots=True)
class LeaseColumns:
    """The columns ``<prefix>_holder``, ``_epoch``, ``_until`` and ``_wanted`` of a table."""

    table: type[UploadSession | UploadChunk | IdempotencyKey]
    prefix: str

    def is_free(self, moment: datetime) -> Q:
        """The condition that nobody holds the lease, or it has expired."""
        return Q(**self._columns(holder="")) | Q(**self._columns(until__lt=moment))

    def free(self, moment: datetime) -> rows.Conditions:
        """``is_free`` for ``rows``: at least one of these conditions."""
        return self._columns(holder="", until=rows.Below(moment))

    def taken(self, holder: str, until: datetime) -> dict[str, Any]:
        """The columns of a lease that ``holder`` takes."""
        return self._columns(holder=holder, epoch=self._next_epoch, until=until, wanted=False)

    def taking(self, holder: str, until: datetime) -> dict[str, Any]:
        """``taken`` for ``rows``."""
        return self._columns(holder=holder, epoch=rows.Plus(1), until=until, wanted=False)

    def released(self) -> dict[str, Any]:
        """The columns of a lease that its holder releases."""
        return self._columns(holder="", until=None, wanted=False)

    def request(self, row_id: uuid.UUID, seconds: float) -> None:
        """Ask the holder, in any process, to flush, commit and release the lease, which lasts ``seconds``.

        A lease that ends later than that was taken while a clock was ahead. It is shortened: a holder that lives renews
        it, and one that died does not keep it for as long as the clock was ahead.
        """
        held = self.table.objects.filter(id=row_id).exclude(**self._columns(holder=""))
        held.update(**self._columns(wanted=True))
        longest = now() + timedelta(seconds=seconds)
        held.filter(**self._columns(until__gt=longest)).update(**self._columns(until=longest))

    def unrequested(self, holder: str) -> Collection[uuid.UUID]:
        """The rows that ``holder`` still leases and nobody has requested."""
        return set(self._held_by(holder).filter(**self._columns(wanted=False)).values_list("id", flat=True))

    def renew(self, holder: str, seconds: float) -> int:
        """Renew every lease of this holder by one statement; return how many."""
        return self._held_by(holder).update(**self._columns(until=now() + timedelta(seconds=seconds)))

    def release_all(self, holder: str) -> int:
        """Release and fence every lease of a process that has just started under this name; return how many."""
        return self._held_by(holder).update(**self._columns(holder="", until=None, epoch=self._next_epoch))

    @property
    def _next_epoch(self) -> Any:
        return F(f"{self.prefix}_epoch") + 1

    def _held_by(self, holder: str) -> QuerySet[Any]:
        return self.table.objects.filter(**self._columns(holder=holder))

    def _columns(self, **values: Any) -> dict[str, Any]:
        return {f"{self.prefix}_{name}": value for name, value in values.items()}


UPLOAD_LEASES = LeaseColumns(UploadSession, "lease")
CHUNK_CLAIMS = LeaseColumns(UploadChunk, "claim")
KEY_CLAIMS = LeaseColumns(IdempotencyKey, "claim")


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
    leased = lease_upload(upload_id, holder, seconds)
    if leased is not None:
        return lease_of(leased)
    session = rows.find(UploadSession, id=upload_id)
    if session is not None and session.status == UploadStatus.COMPLETED:
        raise UploadCompleted
    if session is None or session.status != UploadStatus.ACTIVE:
        raise UploadGone("This upload has ended.")
    return None


def lease_upload(
    upload_id: uuid.UUID, holder: str, seconds: float, owners: Owners = EVERY_OWNER
) -> UploadSession | None:
    """Take the lease by one statement, and return the session; None if it is leased, has ended, does not exist, or is
    not of one of these owners."""
    moment = now()
    takes_bytes = {"id": upload_id, "status": UploadStatus.ACTIVE, "expires_at": rows.Above(moment)}
    return rows.update_one(
        UploadSession,
        {**takes_bytes, **rows_owned_by(owners)},
        UPLOAD_LEASES.taking(holder, moment + timedelta(seconds=seconds)),
        either=UPLOAD_LEASES.free(moment),
    )


def leased_upload(lease: Lease) -> UploadSession | None:
    """Return the session if the lease is still valid."""
    return rows.find(UploadSession, id=lease.upload_id, lease_epoch=lease.epoch)


def is_lease_valid(lease: Lease) -> bool:
    """Whether nobody has taken the lease since, and the upload has not ended. Reads only."""
    return rows.exists(UploadSession, **_held(lease))


def lease_of(session: UploadSession) -> Lease:
    until = session.lease_until or now()
    return Lease(
        session.id, session.lease_epoch, session.offset, session.size, session.store_key, session.store_state, until
    )


def release_lease(lease: Lease, reserved: int | None = None) -> None:
    """Release the lease. ``reserved``: the quota reservation to go back to, for an upload of unknown length."""
    held = {"id": lease.upload_id, "lease_epoch": lease.epoch, "lease_until": rows.NotNull()}
    changed = rows.update(UploadSession, held, UPLOAD_LEASES.released())
    if changed and reserved is not None and lease.size is None:
        quota.restore_reservation(lease.upload_id, reserved)


def reserve_for_lease(lease: Lease, size: int) -> None:
    """Reserve quota for ``size`` bytes of an upload of unknown length, before they are stored.

    Call it in a transaction. Raises LeaseLost, QuotaExceeded.
    """
    quota.reserve(update_leased_session(lease, {"updated_at": now()}), size, may_decrease=False)


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
        values |= UPLOAD_LEASES.released()
    if lease.size is None:
        quota.reserve(update_leased_session(lease, values), max(offset, size or 0), may_decrease=release)
    else:  # it was reserved on creation
        update_leased(lease, values)
    return expires_at


def update_leased(lease: Lease, values: dict[str, Any]) -> None:
    """Update the session if the lease is still valid. Raises LeaseLost."""
    if not rows.update(UploadSession, _held(lease), values):
        raise LeaseLost(str(lease.upload_id))


def update_leased_session(lease: Lease, values: dict[str, Any]) -> UploadSession:
    """``update_leased`` that returns the session as it is now. Raises LeaseLost."""
    session = rows.update_one(UploadSession, _held(lease), values)
    if session is None:
        raise LeaseLost(str(lease.upload_id))
    return session


def _held(lease: Lease) -> rows.Conditions:
    return {"id": lease.upload_id, "lease_epoch": lease.epoch, "status": rows.OneOf(UNFINISHED_UPLOADS)}
