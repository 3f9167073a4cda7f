"""The trash: deleted files that can be restored for a while (``retention.restorable_until``).

Only this module sees them; all other code reads ``FileAsset.present``. Their bytes stay in the store and count for
their owner's quota. Functions with a ``recorder`` run inside the caller's ``events.recording()`` transaction.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, QuerySet, Sum

from windlass.events.api import EventType, Recorder
from windlass.files.assets import of_owner
from windlass.files.models import FileAsset
from windlass.kernel.clock import now, rfc3339
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import NotFound


@dataclass(frozen=True, slots=True)
class TrashTotals:
    """Files in the trash, each by its own size."""

    files: int
    bytes: int


def put_into_trash(recorder: Recorder, asset: FileAsset, until: datetime) -> None:
    """Move the file to the trash. Raises NotFound if it was moved or deleted meanwhile."""
    moment = now()
    changed = FileAsset.present.filter(id=asset.id).update(trashed_at=moment, trash_until=until, updated_at=moment)
    if not changed:
        raise NotFound(f"There is no file {asset.id}.")
    recorder.add(EventType.FILE_TRASHED, owner=asset.owner, file_id=asset.id, data={"until": rfc3339(until)})


def restore_from_trash(recorder: Recorder, asset: FileAsset) -> bool:
    """Move the file out of the trash. Return False if it is not in it. Raises NotFound if its time there is over."""
    trashed = FileAsset.objects.filter(id=asset.id, trash_until__gt=now())
    if trashed.update(trashed_at=None, trash_until=None, updated_at=now()):
        recorder.add(EventType.FILE_RESTORED, owner=asset.owner, file_id=asset.id)
        return True
    if FileAsset.present.filter(id=asset.id).exists():
        return False
    raise NotFound(f"The file {asset.id} is no longer in the trash.")


def trashed_files(principal: Principal, owner: str | None = None) -> QuerySet[FileAsset]:
    """Those in the trash; ``owner`` as in ``assets.visible_files``."""
    return of_owner(FileAsset.objects.select_related("blob").filter(trash_until__gt=now()), principal, owner)


def get_file_or_trashed(file_id: uuid.UUID, principal: Principal) -> FileAsset:
    """Return the principal's file, in the trash or not. Raises NotFound, also for files of others and expired ones."""
    asset = FileAsset.objects.select_related("blob").filter(id=file_id).first()
    over = asset is not None and asset.trash_until is not None and asset.trash_until <= now()
    if asset is None or over or not principal.may_access(asset.owner):
        raise NotFound(f"There is no file {file_id}, and none in the trash.")
    return asset


def trash_totals(owner: str | None = None) -> TrashTotals:
    """Files in the trash that have bytes, of one owner or of all."""
    kept = FileAsset.objects.filter(trash_until__isnull=False, blob__isnull=False)
    totals = (kept if owner is None else kept.filter(owner=owner)).aggregate(size=Sum("size"), count=Count("id"))
    return TrashTotals(totals["count"], totals["size"] or 0)
