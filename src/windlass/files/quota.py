"""Quotas: how much an owner may store.

The declared size of an upload is reserved when it is created. A file counts as long as its bytes are kept, in the trash
too; each record counts with its own size, even if bytes are shared. The account is one row. One conditional UPDATE
changes it, in the transaction of what it counts and after that was written. So any number of concurrent uploads cannot
exceed it, and a crash leaves account and rows consistent.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThanOrEqual

from windlass import conf
from windlass.database import rows
from windlass.database.connection import atomic
from windlass.events.api import AuditAction, record_action
from windlass.files import trash
from windlass.files.kept_figures import KeptFigures
from windlass.files.models import FileAsset, OwnerAccount, UploadSession
from windlass.files.states import UNFINISHED_UPLOADS
from windlass.kernel.problem_types import QuotaExceeded

_COUNTED = ("bytes_used", "bytes_reserved", "files_used", "files_reserved")
_KINDS = ("bytes", "files")
#: Files of an owner that are counted at each question.
MOST_COUNTED = 10_000
#: Owners that are listed by what they store.
MAX_OWNERS = 100

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

    Raises QuotaExceeded for an increase beyond the limit, with which the transaction must end; a decrease is always
    possible.
    """
    changes = {name: rows.Plus(number) for name, number in by.items() if number}
    if not changes:
        return
    more = {kind: by.get(f"{kind}_used", 0) + by.get(f"{kind}_reserved", 0) for kind in _KINDS}
    more = {kind: number for kind, number in more.items() if number > 0}
    # The row stays locked until the transaction ends, so what it has now is what all others will find.
    account = rows.update_one(OwnerAccount, {"owner": owner}, changes)
    if account is None and more and any(_defaults().values()):
        # A new account's count includes what was written just now. If another transaction has opened it meanwhile, its
        # count does not.
        is_new = _open_account(owner)
        account = rows.find(OwnerAccount, owner=owner) if is_new else _require(owner, changes)
    if account is not None and more:
        _require_within_limits(account, more)


def _require(owner: str, changes: dict[str, rows.Plus]) -> OwnerAccount:
    """Change an account that exists."""
    account = rows.update_one(OwnerAccount, {"owner": owner}, changes)
    assert account is not None, "accounts are not deleted while their owners upload"
    return account


def _require_within_limits(account: OwnerAccount, more: dict[str, int]) -> None:
    """``more``: what the account, as it is now, was increased by. Raises QuotaExceeded."""
    defaults = _defaults()
    for kind, number in more.items():
        own: int | None = getattr(account, f"{kind}_limit")
        limit = defaults[kind] if own is None else own
        taken = getattr(account, f"{kind}_used") + getattr(account, f"{kind}_reserved")
        if limit and taken > limit:
            raise QuotaExceeded(kind, limit=limit, used=taken - number, requested=number)


def metadata_size(session: UploadSession) -> int:
    """Return the bytes that the metadata of an upload counts in the quota."""
    shown = len(json.dumps(session.metadata, ensure_ascii=False).encode(errors="surrogatepass"))
    sent = len(f"{session.client_metadata or ''}{session.concat or ''}".encode(errors="surrogatepass"))
    return size if (size := max(shown, sent)) > FREE_METADATA else 0


def lock_account(owner: str) -> None:
    """Lock the owner's account, which is created if need be, until the caller's transaction ends."""
    _open_account(owner)
    OwnerAccount.objects.select_for_update().get(owner=owner)


def new_reservation(session: UploadSession) -> int:
    """Return the bytes to reserve for a new upload: its declared size, and its metadata if it counts."""
    return (session.size or 0) + metadata_size(session)


def reserve_upload(session: UploadSession) -> None:
    """Count the reservation of a new upload, whose row is written. Raises QuotaExceeded."""
    change_account(session.owner, bytes_reserved=session.reserved, files_reserved=_files_of(session))


def reserve(session: UploadSession, size: int, *, may_decrease: bool) -> None:
    """Set the reservation of an upload of unknown length for ``size`` bytes of content. Its row is locked."""
    needed = size + metadata_size(session)
    _set_reservation(session, needed if may_decrease else max(session.reserved, needed))


def restore_reservation(upload_id: uuid.UUID, reserved: int) -> None:
    """Set the reservation of an upload back to ``reserved``. Its row is locked."""
    _set_reservation(UploadSession.objects.only("owner", "reserved").get(id=upload_id), reserved)


def _set_reservation(session: UploadSession, reserved: int) -> None:
    if reserved != session.reserved:
        rows.update(UploadSession, {"id": session.id}, {"reserved": reserved})
        change_account(session.owner, bytes_reserved=reserved - session.reserved)


def settle_upload(session: UploadSession, asset: FileAsset) -> None:
    """Turn the reservation of an upload into the usage of its file. Its row is locked."""
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
    """The owner's usage. Where no limit has ever applied to an owner with more than MOST_COUNTED files, what is stored
    is that of ``figures_of_owners``."""
    account = OwnerAccount.objects.filter(owner=owner).first()
    counted = _uncounted_usage(owner) if account is None else {name: getattr(account, name) for name in _COUNTED}
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


def quota_owners() -> Sequence[str]:
    return list(OwnerAccount.objects.order_by("owner").values_list("owner", flat=True))


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


def _uncounted_usage(owner: str) -> dict[str, int]:
    """What an owner without an account has."""
    files = FileAsset.objects.filter(owner=owner).order_by().values_list("id", flat=True)
    if files[MOST_COUNTED : MOST_COUNTED + 1]:
        kept = figures_of_owners.read()
        for name, size, count in (*kept.get("largest", ()), *kept.get("others", ())):
            if name == owner:
                return {"bytes_used": size, "files_used": count, **_reserved(owner)}
    return _counted(owner)


def _count_owners() -> dict[str, Any]:
    """Owner, bytes and files of the MAX_OWNERS who have most bytes, the largest first, and of the others who have more
    than MOST_COUNTED files."""
    kept = FileAsset.objects.filter(blob__isnull=False).order_by().values("owner")
    sums = kept.annotate(stored=Sum(F("size") + F("metadata_size")), count=Count("id")).order_by("-stored", "owner")
    rows = sums.values_list("owner", "stored", "count")
    largest = [list(row) for row in rows[:MAX_OWNERS]]
    listed = {owner for owner, _, _ in largest}
    others = [list(row) for row in rows.filter(count__gt=MOST_COUNTED) if row[0] not in listed]
    return {"largest": largest, "others": others}


#: Kept, because counting reads the whole table of files.
figures_of_owners = KeptFigures("owners", _count_owners)


def _counted(owner: str) -> dict[str, int]:
    counted = Sum(F("size") + F("metadata_size"))
    kept = FileAsset.objects.filter(owner=owner, blob__isnull=False).aggregate(size=counted, count=Count("id"))
    return {"bytes_used": kept["size"] or 0, "files_used": kept["count"], **_reserved(owner)}


def _reserved(owner: str) -> dict[str, int]:
    under_way = UploadSession.objects.filter(owner=owner, status__in=UNFINISHED_UPLOADS)
    becomes_file = Q(concat__isnull=True) | Q(parts__isnull=False)
    reserved = under_way.aggregate(size=Sum("reserved"), files=Count("id", filter=becomes_file))
    return {"bytes_reserved": reserved["size"] or 0, "files_reserved": reserved["files"]}
