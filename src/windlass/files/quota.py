"""Quotas: how much an owner may store. What uploads declare is reserved when they begin, and what a file takes counts
as long as its bytes are kept, in the trash too, each record by its own size, shared bytes or not.

The account is one row that is changed by one conditional UPDATE, in the transaction of what it counts and after that
was written. So it cannot be exceeded by any number of uploads at once, and a crash leaves it as it leaves the rows.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from windlass import conf
from windlass.database.connection import atomic
from windlass.files import trash
from windlass.files.models import FileAsset, OwnerAccount, UploadSession
from windlass.files.states import UNFINISHED_UPLOADS
from windlass.kernel.errors import QuotaExceeded

_COUNTED = ("bytes_used", "bytes_reserved", "files_used", "files_reserved")
_KINDS = ("bytes", "files")

#: Metadata of an upload up to this size (bytes) is part of its record and does not count; all of what is larger does.
FREE_METADATA = 1024


@dataclass(frozen=True, slots=True)
class Amount:
    """``limit``: None where there is none. ``trashed``: how much of what is used is in the trash."""

    limit: int | None
    used: int
    reserved: int
    trashed: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    owner: str
    bytes: Amount
    files: Amount

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Drift:
    """An account that did not say what the rows do: by how much it said too much, where that is not 0."""

    owner: str
    too_much: dict[str, int]


def change_account(owner: str, **by: int) -> None:
    """Add these figures, such as ``bytes_reserved=10``, to the owner's account, inside the transaction that wrote what
    they count. Raises QuotaExceeded where more would be taken than is allowed; nobody is stopped from taking less.
    """
    rows = OwnerAccount.objects.filter(owner=owner)
    changes = {name: F(name) + number for name, number in by.items() if number}
    more = {kind: by.get(f"{kind}_used", 0) + by.get(f"{kind}_reserved", 0) for kind in _KINDS}
    more = {kind: number for kind, number in more.items() if number > 0}
    if not more:
        if changes:
            rows.update(**changes)
        return
    if not rows.exists():
        if not any(_defaults().values()):
            return
        if _opened(owner):  # and counted, with what was written just now
            _must_fit(owner, more)
            return
    with_room = _with_limits(rows)
    for kind, number in more.items():
        taken = F(f"{kind}_used") + F(f"{kind}_reserved") + number
        with_room = with_room.filter(Q(**{f"{kind}_most": 0}) | Q(**{f"{kind}_most__gte": taken}))
    if not with_room.update(**changes):
        raise _exceeded(quota_usage(owner), more)


def metadata_size(session: UploadSession) -> int:
    """What counts for what the client said of its file (bytes)."""
    shown = len(json.dumps(session.metadata, ensure_ascii=False).encode(errors="surrogatepass"))
    sent = len(f"{session.client_metadata or ''}{session.concat or ''}".encode(errors="surrogatepass"))
    return size if (size := max(shown, sent)) > FREE_METADATA else 0


def reserve_upload(session: UploadSession) -> None:
    """For an upload that has just begun."""
    session.reserved = (session.size or 0) + metadata_size(session)
    UploadSession.objects.filter(id=session.id).update(reserved=session.reserved)
    change_account(session.owner, bytes_reserved=session.reserved, files_reserved=_files_of(session))


def reserve_at_least(upload_id: uuid.UUID, size: int) -> None:
    """An upload whose length was not known has this size at least. Its row was changed before, and so is locked."""
    session = _reserving(upload_id)
    _reserve_again(session, max(session.reserved, size + metadata_size(session)))


def reserve_exactly(upload_id: uuid.UUID, size: int) -> None:
    """An upload whose length is not known has so many bytes in the store, and no more. Its row is locked."""
    session = _reserving(upload_id)
    _reserve_again(session, size + metadata_size(session))


def restore_reservation(upload_id: uuid.UUID, reserved: int) -> None:
    """What was reserved since for an upload is not needed. Its row is locked."""
    _reserve_again(_reserving(upload_id), reserved)


def _reserving(upload_id: uuid.UUID) -> UploadSession:
    needed = ("owner", "reserved", "metadata", "client_metadata", "concat")
    return UploadSession.objects.only(*needed).get(id=upload_id)


def _reserve_again(session: UploadSession, reserved: int) -> None:
    if reserved != session.reserved:
        UploadSession.objects.filter(id=session.id).update(reserved=reserved)
        change_account(session.owner, bytes_reserved=reserved - session.reserved)


def settle_upload(upload_id: uuid.UUID, asset: FileAsset) -> None:
    """An upload has become a file: what was reserved for it is used, be it more or less. Its row is locked."""
    session = UploadSession.objects.only("reserved", "concat", "parts").get(id=upload_id)
    change_account(
        asset.owner,
        bytes_reserved=-session.reserved,
        files_reserved=-_files_of(session),
        bytes_used=asset.size + asset.metadata_size,
        files_used=1,
    )


def release_upload(session: UploadSession) -> None:
    """An upload has ended without becoming a file."""
    change_account(session.owner, bytes_reserved=-session.reserved, files_reserved=-_files_of(session))


def quota_usage(owner: str) -> Usage:
    """What counts for the owner now, whether or not a limit holds."""
    account = OwnerAccount.objects.filter(owner=owner).first()
    counted = _counted(owner) if account is None else {name: getattr(account, name) for name in _COUNTED}
    most = _defaults()
    for kind in _KINDS:
        own = getattr(account, f"{kind}_limit", None)
        most[kind] = most[kind] if own is None else own
    kept = asdict(trash.trash_totals(owner))
    amounts = [
        Amount(most[kind] or None, counted[f"{kind}_used"], counted[f"{kind}_reserved"], kept[kind]) for kind in _KINDS
    ]
    return Usage(owner, *amounts)


def set_quota_limits(owner: str, **limits: int | None) -> Usage:
    """Limits of this owner's own, ``bytes`` and ``files``; None is the settings' limit, 0 none. What they have already
    stays, be it more."""
    with atomic():
        _opened(owner)
        OwnerAccount.objects.filter(owner=owner).update(**{f"{kind}_limit": limits[kind] for kind in limits})
    return quota_usage(owner)


def quota_owners() -> Iterator[str]:
    """Everybody with an account."""
    return OwnerAccount.objects.order_by("owner").values_list("owner", flat=True).iterator()


def recount_quota(owner: str, *, dry_run: bool = False) -> Drift | None:
    """Make the account say what the rows do; what was wrong with it, if anything.

    Whoever changes rows of this owner changes the account in the same transaction: while it is locked here, none of
    them has written and not committed what was counted.
    """
    with atomic():
        account = OwnerAccount.objects.select_for_update().filter(owner=owner).first()
        if account is None:
            return None
        right = _counted(owner)
        wrong = {
            name: getattr(account, name) - right[name] for name in _COUNTED if getattr(account, name) != right[name]
        }
        if wrong and not dry_run:
            OwnerAccount.objects.filter(owner=owner).update(**right)
    return Drift(owner, wrong) if wrong else None


def _defaults() -> dict[str, int]:
    settings = conf.get()
    return {"bytes": settings.quota_bytes, "files": settings.quota_files}


def _files_of(session: UploadSession) -> int:
    return 0 if session.is_partial else 1


def _with_limits(rows: QuerySet[OwnerAccount]) -> QuerySet[Any]:
    most = {f"{kind}_most": Coalesce(f"{kind}_limit", Value(limit)) for kind, limit in _defaults().items()}
    return rows.annotate(**most)


def _opened(owner: str) -> bool:
    """Make the account, counted. False where it was there, or another transaction made it."""
    _, made = OwnerAccount.objects.get_or_create(owner=owner)
    if made:
        OwnerAccount.objects.filter(owner=owner).update(**_counted(owner))
    return made


def _counted(owner: str) -> dict[str, int]:
    """From the rows themselves."""
    counted = Sum(F("size") + F("metadata_size"))
    kept = FileAsset.objects.filter(owner=owner, blob__isnull=False).aggregate(size=counted, count=Count("id"))
    under_way = UploadSession.objects.filter(owner=owner, status__in=UNFINISHED_UPLOADS)
    files = under_way.filter(Q(concat__isnull=True) | Q(parts__isnull=False))
    return {
        "bytes_used": kept["size"] or 0,
        "files_used": kept["count"],
        "bytes_reserved": under_way.aggregate(size=Sum("reserved"))["size"] or 0,
        "files_reserved": files.count(),
    }


def _must_fit(owner: str, more: dict[str, int]) -> None:
    now = quota_usage(owner)
    for kind in more:
        amount: Amount = getattr(now, kind)
        if amount.limit is not None and amount.used + amount.reserved > amount.limit:
            raise _exceeded(now, more, counted=True)


def _exceeded(now: Usage, more: dict[str, int], *, counted: bool = False) -> QuotaExceeded:
    """``counted``: what is asked for is in the figures already, as reserved or used."""
    for kind in more:
        amount: Amount = getattr(now, kind)
        taken = amount.used + amount.reserved - (more[kind] if counted else 0)
        if amount.limit is not None and taken + more[kind] > amount.limit:
            return QuotaExceeded(kind, limit=amount.limit, used=taken, requested=more[kind])
    return QuotaExceeded("bytes", limit=now.bytes.limit or 0, used=now.bytes.used, requested=more.get("bytes", 0))
