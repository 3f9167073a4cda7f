"""Objects that no record names and that are kept for a limited time; see ``RetainedObject``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db.models import QuerySet

from windlass.files.models import Blob, Rendition, RetainedObject
from windlass.kernel.clock import now
from windlass.storage.contract import StoreError
from windlass.storage.registry import store

log = structlog.get_logger(__name__)

#: Objects that one sweep removes.
_REMOVE_BATCH = 500
#: Pause before the next attempt if the store did not answer (seconds).
_RETRY_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class ObjectRetention:
    """The retention of one object. ``until`` fences its holder: the sweep changes it before it removes the object."""

    store: str
    key: str
    until: datetime


def retain_object(store_name: str, key: str, size: int, *, seconds: float) -> ObjectRetention:
    """Keep the object for ``seconds`` from now on, instead of any earlier retention."""
    until = now() + timedelta(seconds=seconds)
    RetainedObject.objects.update_or_create(store=store_name, key=key, defaults={"size": size, "until": until})
    return ObjectRetention(store_name, key, until)


def extend_retention(retention: ObjectRetention, *, seconds: float) -> ObjectRetention | None:
    """Extend the retention to ``seconds`` from now on; None if it has expired and the object is being removed."""
    until = now() + timedelta(seconds=seconds)
    return ObjectRetention(retention.store, retention.key, until) if _rows(retention).update(until=until) else None


def end_retention(retention: ObjectRetention) -> bool:
    """End the retention: a record names the object from now on, or it is deleted. False if it has expired."""
    return bool(_rows(retention).delete()[0])


def is_retained(store_name: str, key: str) -> bool:
    return RetainedObject.objects.filter(store=store_name, key=key).exists()


def remove_expired_objects(*, dry_run: bool = False) -> tuple[int, int]:
    """Delete objects whose retention has expired. Returns (objects, bytes freed).

    ``dry_run``: delete nothing; return what would be deleted.
    """
    count = freed = 0
    for row in RetainedObject.objects.filter(until__lt=now()).order_by("until")[:_REMOVE_BATCH]:
        size = row.size if dry_run else _remove(ObjectRetention(row.store, row.key, row.until))
        if size is not None:
            count, freed = count + 1, freed + size
    return count, freed


def _remove(expired: ObjectRetention) -> int | None:
    """Return the bytes freed; None if the retention was extended, or the store does not answer and is tried later."""
    claimed = extend_retention(expired, seconds=_RETRY_SECONDS)
    if claimed is None:
        return None
    freed = 0
    if not any(kind.objects.filter(store=claimed.store, key=claimed.key).exists() for kind in (Blob, Rendition)):
        try:
            target = store(claimed.store)
            freed = target.clear(claimed.key) + target.delete(claimed.key)
        except StoreError as error:
            log.warning("object.left_behind", store=claimed.store, key=claimed.key, reason=str(error))
            return None
    end_retention(claimed)
    return freed


def _rows(retention: ObjectRetention) -> QuerySet[RetainedObject]:
    return RetainedObject.objects.filter(store=retention.store, key=retention.key, until=retention.until)
