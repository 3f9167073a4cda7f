"""Quotas: how much an owner may store.

The declared size of an upload is reserved when it is created. A file counts as long as its bytes are kept, in the trash
too; each record counts with its own size, even if bytes are shared. The account is one row. One conditional UPDATE
changes it, in the transaction of what it counts and after that was written. So any number of concurrent uploads cannot
exceed it, and a crash leaves account and rows consistent.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThanOrEqual

from windlass import conf
from windlass.database.connection import atomic
from windlass.events.api import AuditAction, record_action
from windlass.files import trash
from windlass.files.models import FileAsset, OwnerAccount, UploadSession
from windlass.files.states import UNFINISHED_UPLOADS
from windlass.kernel.problem_types import QuotaExceeded

_COUNTED = ("bytes_used", "bytes_reserved", "files_used", "files_reserved")
_KINDS = ("bytes", "files")

#: Metadata up to this size (bytes) is part of the record and does not count; larger metadata counts completely.
FREE_METADATA = 1024


@dataclass(frozen=True, slots=True)
class Amount:
    """``limit``: None for no limit. ``trashed``: how much of ``used`` is in the trash."""

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


def change_account(owner: str, **by: int) -> None:
    """Add figures such as ``bytes_reserved=10`` to the owner's account, in the transaction that wrote what they count.

    Raises QuotaExceeded for an increase beyond the limit; a decrease is always possible.
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
        if _open_account(owner):  # its count includes what was written just now
            error = _exceeded(quota_usage(owner), more, counted=True)
            if error is not None:
                raise error
            return
    within_limits = _with_limits(rows)
    for kind, number in more.items():
        taken = F(f"{kind}_used") + F(f"{kind}_reserved") + number
        within_limits = within_limits.filter(Q(**{f"{kind}_most": 0}) | Q(**{f"{kind}_most__gte": taken}))
    if not within_limits.update(**changes):
        usage = quota_usage(owner)
        freed_meanwhile = QuotaExceeded(
            "bytes", limit=usage.bytes.limit or 0, used=usage.bytes.used, requested=more.get("bytes", 0)
        )
        raise _exceeded(usage, more) or freed_meanwhile


def metadata_size(session: UploadSession) -> int:
    """Return the bytes that the metadata of an upload counts in the quota."""
    shown = len(json.dumps(session.metadata, ensure_ascii=False).encode(errors="surrogatepass"))
    sent = len(f"{session.client_metadata or ''}{session.concat or ''}".encode(errors="surrogatepass"))
    return size if (size := max(shown, sent)) > FREE_METADATA else 0


def lock_account(owner: str) -> None:
    """Lock the owner's account, which is created if need be, until the caller's transaction ends."""
    _open_account(owner)
    OwnerAccount.objects.select_for_update().get(owner=owner)


def reserve_upload(session: UploadSession) -> None:
    """Reserve the declared size of a new upload. Raises QuotaExceeded."""
    session.reserved = (session.size or 0) + metadata_size(session)
    UploadSession.objects.filter(id=session.id).update(reserved=session.reserved)
    change_account(session.owner, bytes_reserved=session.reserved, files_reserved=_files_of(session))


def reserve(upload_id: uuid.UUID, size: int, *, may_decrease: bool) -> None:
    """Set the reservation of an upload of unknown length for ``size`` bytes of content. Its row is locked."""
    session = _load_reservation(upload_id)
    needed = size + metadata_size(session)
    _set_reservation(session, needed if may_decrease else max(session.reserved, needed))


def restore_reservation(upload_id: uuid.UUID, reserved: int) -> None:
    """Set the reservation of an upload back to ``reserved``. Its row is locked."""
    _set_reservation(_load_reservation(upload_id), reserved)


def _load_reservation(upload_id: uuid.UUID) -> UploadSession:
    needed = ("owner", "reserved", "metadata", "client_metadata", "concat")
    return UploadSession.objects.only(*needed).get(id=upload_id)


def _set_reservation(session: UploadSession, reserved: int) -> None:
    if reserved != session.reserved:
        UploadSession.objects.filter(id=session.id).update(reserved=reserved)
        change_account(session.owner, bytes_reserved=reserved - session.reserved)


def settle_upload(upload_id: uuid.UUID, asset: FileAsset) -> None:
    """Turn the reservation of an upload into the usage of its file. Its row is locked."""
    session = UploadSession.objects.only("reserved", "concat", "parts").get(id=upload_id)
    change_account(
        asset.owner,
        bytes_reserved=-session.reserved,
        files_reserved=-_files_of(session),
        bytes_used=asset.size + asset.metadata_size,
        files_used=1,
    )


def release_upload(session: UploadSession) -> None:
    """Free the reservation of an upload that ended without becoming a file."""
    change_account(session.owner, bytes_reserved=-session.reserved, files_reserved=-_files_of(session))


def quota_usage(owner: str) -> Usage:
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
    """Set the owner's own limits, ``bytes`` and ``files``: None for the limit of the settings, 0 for no limit.

    Files that are stored already stay, even beyond the limit.
    """
    with atomic():
        _open_account(owner)
        OwnerAccount.objects.filter(owner=owner).update(**{f"{kind}_limit": limits[kind] for kind in limits})
        record_action(AuditAction.QUOTA_CHANGED, owner=owner, detail=limits)
    return quota_usage(owner)


@dataclass(frozen=True, slots=True)
class QuotaTotals:
    """Over all owners that have a limit. ``over_80_percent`` and ``full`` count those whose bytes or files are."""

    owners: int
    over_80_percent: int
    full: int
    bytes_taken: int
    bytes_limit: int


def quota_totals() -> QuotaTotals:
    """Add up all accounts. What is reserved for unfinished uploads counts as taken."""
    accounts = _with_limits(OwnerAccount.objects.all())
    limited = Q(bytes_most__gt=0) | Q(files_most__gt=0)
    of_bytes = accounts.filter(bytes_most__gt=0).aggregate(
        taken=Sum(F("bytes_used") + F("bytes_reserved")), limit=Sum("bytes_most")
    )
    return QuotaTotals(
        owners=accounts.filter(limited).count(),
        over_80_percent=accounts.filter(_taken_at_least(80)).count(),
        full=accounts.filter(_taken_at_least(100)).count(),
        bytes_taken=of_bytes["taken"] or 0,
        bytes_limit=of_bytes["limit"] or 0,
    )


def _with_limits(rows: QuerySet[OwnerAccount]) -> Any:
    """The accounts with ``bytes_most`` and ``files_most``: the limits that apply, where 0 is none."""
    most = {f"{kind}_most": Coalesce(f"{kind}_limit", Value(limit)) for kind, limit in _defaults().items()}
    return rows.annotate(**most)


def _taken_at_least(percent: int) -> Q:
    """Accounts whose bytes or files, reserved ones included, are at least this much of their limit."""
    found = Q()
    for kind in _KINDS:
        taken = 100 * (F(f"{kind}_used") + F(f"{kind}_reserved"))
        found |= Q(GreaterThanOrEqual(taken, percent * F(f"{kind}_most")), **{f"{kind}_most__gt": 0})
    return found


def quota_owners() -> Iterator[str]:
    return OwnerAccount.objects.order_by("owner").values_list("owner", flat=True).iterator()


def recount_quota(owner: str, *, dry_run: bool = False) -> dict[str, int]:
    """Correct the account from the rows; return by counter how much too high it was, without zeros.

    Every change of the owner's rows changes the account in the same transaction. So while the account is locked here,
    no other transaction has uncommitted changes of the rows that are counted.
    """
    with atomic():
        account = OwnerAccount.objects.select_for_update().filter(owner=owner).first()
        if account is None:
            return {}
        right = _counted(owner)
        wrong = {
            name: getattr(account, name) - right[name] for name in _COUNTED if getattr(account, name) != right[name]
        }
        if wrong and not dry_run:
            OwnerAccount.objects.filter(owner=owner).update(**right)
    return wrong


def _defaults() -> dict[str, int]:
    settings = conf.get()
    return {"bytes": settings.quota_bytes, "files": settings.quota_files}


def _files_of(session: UploadSession) -> int:
    return 0 if session.is_partial else 1


def _open_account(owner: str) -> bool:
    """Create and count the account. False if it exists already."""
    _, created = OwnerAccount.objects.get_or_create(owner=owner)
    if created:
        OwnerAccount.objects.filter(owner=owner).update(**_counted(owner))
    return created


def _counted(owner: str) -> dict[str, int]:
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


def _exceeded(usage: Usage, more: dict[str, int], *, counted: bool = False) -> QuotaExceeded | None:
    """The error for an increase beyond a limit. ``counted``: the increase is included in the figures already."""
    for kind in more:
        amount: Amount = getattr(usage, kind)
        taken = amount.used + amount.reserved - (more[kind] if counted else 0)
        if amount.limit is not None and taken + more[kind] > amount.limit:
            return QuotaExceeded(kind, limit=amount.limit, used=taken, requested=more[kind])
    return None
