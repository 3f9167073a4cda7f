"""Store the same content of one owner once. Other owners' content is never compared, so neither a reply nor its timing
reveals whether it exists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import structlog
from django.db.models import Count

from windlass.database import rows
from windlass.events.api import recording
from windlass.files.blobs import share_blob
from windlass.files.integrity import record_mended_events
from windlass.files.models import Blob, FileAsset
from windlass.storage.contract import ObjectMissing, StoreError
from windlass.storage.registry import store

log = structlog.get_logger(__name__)

#: Contents that one run of ``merge_duplicates`` merges.
_MERGE_BATCH = 200
#: Columns that are equal for blobs with the same content.
_CONTENT = ("owner", "store", "size", "sha256")


def find_duplicate(blob: Blob) -> Blob | None:
    """Return the oldest intact blob with the same content, if it is older than this one and its bytes exist.

    Only an older one counts: of two blobs that are compared at the same time, one must stay. Asks the store, so do not
    call it in a transaction.
    """
    if blob.sha256 is None:
        return None
    oldest = rows.select(Blob, most=3, order=("created_at", "id"), **_content(blob), damaged_at=None)
    older = [each for each in oldest if (each.created_at, each.id) < (blob.created_at, blob.id) and each.references]
    return next((other for other in older if _exists(other)), None)


def merge_duplicates(*, dry_run: bool = False) -> int:
    """Merge blobs with equal content that intake did not see, such as two files hashed at the same time.

    A file whose bytes are damaged gets those of an intact blob. Returns how many files now share a blob.

    Objects without references are left to the search for orphans: a download or a worker may just have read their key.
    """
    return sum(_merge_with(first, dry_run=dry_run) for first in list(_first_blobs()))


def merge_blobs_like(blob: Blob) -> int:
    """Merge the blobs that have the content of this one; return how many files now share another blob."""
    first = _first_blob(_content(blob))
    return 0 if first is None else _merge_with(first)


def _merge_with(first: Blob, *, dry_run: bool = False) -> int:
    if not _exists_now(first):
        return 0
    merged = 0
    others = Blob.objects.filter(**_content(first), references__gte=1).exclude(id=first.id)
    for asset in FileAsset.objects.select_related("blob").filter(blob__in=others):
        if not dry_run:
            _share(asset, first)
        merged += 1
    return merged


def _share(asset: FileAsset, first: Blob) -> None:
    damaged = asset.blob is not None and asset.blob.damaged_at is not None
    with recording() as recorder:
        share_blob(asset, first)
        if damaged and asset.blob_id == first.id:
            record_mended_events(recorder, [asset])


def _first_blobs() -> Iterator[Blob]:
    known = Blob.objects.filter(sha256__isnull=False).values(*_CONTENT)
    several = known.annotate(count=Count("id")).filter(count__gt=1).order_by()
    for same in several.values(*_CONTENT)[:_MERGE_BATCH]:
        first = _first_blob(same)
        if first is not None:
            yield first


def _first_blob(content: dict[str, Any]) -> Blob | None:
    return Blob.objects.filter(**content, damaged_at=None).order_by("created_at", "id").first()


def _content(blob: Blob) -> dict[str, Any]:
    return {name: getattr(blob, name) for name in _CONTENT}


def _exists(blob: Blob) -> bool:
    try:
        return store(blob.store).info(blob.key).size == blob.size
    except ObjectMissing:
        return False


def _exists_now(blob: Blob) -> bool:
    """``_exists``; False if the store is unavailable, so that duplicates in other stores are still merged."""
    try:
        return _exists(blob)
    except StoreError as error:
        log.warning("duplicates.store_skipped", store=blob.store, reason=str(error))
        return False
