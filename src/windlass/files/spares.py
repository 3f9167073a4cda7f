"""Objects that no record names and that stay for a while all the same; see ``SpareObject``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db.models import QuerySet

from windlass.files.models import Blob, Rendition, SpareObject
from windlass.kernel.clock import now
from windlass.storage.contract import StoreError
from windlass.storage.registry import store

log = structlog.get_logger(__name__)

#: Objects that one sweep removes; the next one goes on.
AT_MOST = 500
#: When one whose store did not answer is tried again (seconds).
AGAIN_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Spare:
    """An object that is kept until then. Whoever keeps it is fenced by that moment: the sweep moves it when it begins
    to remove the object."""

    store: str
    key: str
    until: datetime


def keep(store_name: str, key: str, size: int, *, seconds: float) -> Spare:
    """The object stays for so long from now on, whatever was said of it before."""
    until = now() + timedelta(seconds=seconds)
    SpareObject.objects.update_or_create(store=store_name, key=key, defaults={"size": size, "until": until})
    return Spare(store_name, key, until)


def renewed(spare: Spare, *, seconds: float) -> Spare | None:
    """The same for so long from now on; None where its time was over and it is being removed."""
    until = now() + timedelta(seconds=seconds)
    return Spare(spare.store, spare.key, until) if _rows(spare).update(until=until) else None


def take(spare: Spare) -> bool:
    """It is spare no more: a record names it from this transaction on, or it is gone. False as ``renewed`` has it."""
    return bool(_rows(spare).delete()[0])


def is_kept(store_name: str, key: str) -> bool:
    return SpareObject.objects.filter(store=store_name, key=key).exists()


def remove_due(*, dry_run: bool = False) -> tuple[int, int]:
    """Delete those whose time is over. Returns (objects, bytes freed).

    ``dry_run``: nothing is deleted, and the figures are what would be.
    """
    count = freed = 0
    for spare in SpareObject.objects.filter(until__lt=now()).order_by("until")[:AT_MOST]:
        gone = spare.size if dry_run else _remove(Spare(spare.store, spare.key, spare.until))
        if gone is not None:
            count, freed = count + 1, freed + gone
    return count, freed


def _remove(seen: Spare) -> int | None:
    """The bytes freed; None where it is renewed, or its store does not answer and is asked again later."""
    held = renewed(seen, seconds=AGAIN_SECONDS)
    if held is None:
        return None
    freed = 0
    if not any(kind.objects.filter(store=held.store, key=held.key).exists() for kind in (Blob, Rendition)):
        try:
            target = store(held.store)
            freed = target.clear(held.key) + target.delete(held.key)
        except StoreError as error:
            log.warning("object.left_behind", store=held.store, key=held.key, reason=str(error))
            return None
    take(held)
    return freed


def _rows(spare: Spare) -> QuerySet[SpareObject]:
    return SpareObject.objects.filter(store=spare.store, key=spare.key, until=spare.until)
