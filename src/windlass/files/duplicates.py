"""The same content of one owner, stored once. Another owner's content is never looked at: whether it exists shows in
no answer and in no time that an answer takes."""

from __future__ import annotations

from collections.abc import Iterator

import structlog
from django.db.models import Count, QuerySet

from windlass.database import rows
from windlass.events.api import recording
from windlass.files import integrity
from windlass.files.models import Blob, FileAsset
from windlass.files.references import share
from windlass.storage.contract import ObjectMissing, StoreError
from windlass.storage.registry import store

log = structlog.get_logger(__name__)

#: Contents that one housekeeping brings together.
AT_MOST = 200


def twin_of(blob: Blob) -> Blob | None:
    """The oldest sound blob with the same content, if it is older than this one and its bytes are there.

    Only ever an older one: of two that look for each other at once, one must stay. Asks the store, so it is not for
    transactions.
    """
    if blob.sha256 is None:
        return None
    same = {"owner": blob.owner, "store": blob.store, "size": blob.size, "sha256": blob.sha256, "damaged_at": None}
    oldest = rows.select(Blob, most=3, order=("created_at", "id"), **same)
    older = [each for each in oldest if (each.created_at, each.id) < (blob.created_at, blob.id) and each.references]
    return next((other for other in older if _is_there(other)), None)


def merge(*, dry_run: bool = False) -> int:
    """Bring together what became equal unseen, as two files do whose digests are worked out at the same time.

    A file whose bytes are damaged gets those of a sound one so. Returns how many files now share.

    What nobody refers to any more is left to the next search for orphans: a download or a worker may have learned of
    its key a moment ago.
    """
    merged = 0
    for first in list(_first_of_each()):
        if not _is_there_now(first):
            continue
        others = FileAsset.objects.select_related("blob").filter(blob__in=_same(first).exclude(id=first.id))
        for asset in others:
            if not dry_run:
                _share(asset, first)
            merged += 1
    return merged


def _share(asset: FileAsset, first: Blob) -> None:
    damaged = asset.blob is not None and asset.blob.damaged_at is not None
    with recording() as tell:
        share(asset, first)
        if damaged and asset.blob_id == first.id:
            integrity.tell_mended(tell, [asset])


def _first_of_each() -> Iterator[Blob]:
    content = ("owner", "store", "size", "sha256")
    known = Blob.objects.filter(sha256__isnull=False).values(*content)
    several = known.annotate(count=Count("id")).filter(count__gt=1).order_by()
    for same in several.values(*content)[:AT_MOST]:
        first = Blob.objects.filter(**same, damaged_at=None).order_by("created_at", "id").first()
        if first is not None:
            yield first


def _same(blob: Blob) -> QuerySet[Blob]:
    return Blob.objects.filter(
        owner=blob.owner, store=blob.store, size=blob.size, sha256=blob.sha256, references__gte=1
    )


def _is_there(blob: Blob) -> bool:
    try:
        return store(blob.store).info(blob.key).size == blob.size
    except ObjectMissing:
        return False


def _is_there_now(blob: Blob) -> bool:
    """Nor is it in a store that is away, for this once: the contents of the others are to be brought together."""
    try:
        return _is_there(blob)
    except StoreError as error:
        log.warning("duplicates.passed_over", store=blob.store, reason=str(error))
        return False
