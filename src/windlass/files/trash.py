"""The trash: a deleted file that is gone for everybody, and can be restored until its window ends.

Only what is asked here knows such files; every other reader of files passes them over (``FileAsset.present``). Their
bytes stay where they are and count for their owner's quota. Functions that take ``tell`` run inside the caller's
``events.recording()`` transaction.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, QuerySet, Sum

from windlass import conf
from windlass.events.api import EventType, Recorder
from windlass.files.models import FileAsset
from windlass.files.profiles import profiles
from windlass.kernel.clock import now, rfc3339
from windlass.kernel.errors import NotFound
from windlass.kernel.principals import Principal


@dataclass(frozen=True, slots=True)
class Contents:
    """What an owner has in the trash, each file by its own size."""

    files: int
    bytes: int


def window_of(asset: FileAsset) -> datetime | None:
    """Until when the file could be restored if it were deleted now; None where deleting it is for good.

    A file that its profile keeps for a time only is kept no longer by the trash.
    """
    rules = profiles().get(asset.profile)
    hours = conf.get().trash_hours if rules is None else rules.trash_hours
    if not hours:
        return None
    end = now() + timedelta(hours=hours)
    return end if asset.expires_at is None else min(end, asset.expires_at)


def put(tell: Recorder, asset: FileAsset, until: datetime) -> None:
    """From now on the file is gone for everybody. Raises NotFound where another was faster."""
    moment = now()
    changed = FileAsset.present.filter(id=asset.id).update(trashed_at=moment, trash_until=until, updated_at=moment)
    if not changed:
        raise NotFound(f"There is no file {asset.id}.")
    tell.add(EventType.FILE_TRASHED, owner=asset.owner, file_id=asset.id, data={"until": rfc3339(until)})


def take_out(tell: Recorder, asset: FileAsset) -> bool:
    """The file is there again, as it was. False where it is not in the trash. Raises NotFound past its window."""
    still = FileAsset.objects.filter(id=asset.id, trash_until__gt=now())
    if still.update(trashed_at=None, trash_until=None, updated_at=now()):
        tell.add(EventType.FILE_RESTORED, owner=asset.owner, file_id=asset.id)
        return True
    if FileAsset.present.filter(id=asset.id).exists():
        return False
    raise NotFound(f"The file {asset.id} is no longer in the trash.")


def visible(principal: Principal) -> QuerySet[FileAsset]:
    """What this caller may take out of the trash."""
    kept = FileAsset.objects.select_related("blob").filter(trash_until__gt=now())
    return kept if principal.staff else kept.filter(owner=principal.owner)


def find(file_id: uuid.UUID, principal: Principal) -> FileAsset:
    """The caller's file, in the trash or not. Raises NotFound, for another's and for what is past its window too."""
    found = FileAsset.objects.select_related("blob").filter(id=file_id).first()
    over = found is not None and found.trash_until is not None and found.trash_until <= now()
    if found is None or over or not principal.may_access(found.owner):
        raise NotFound(f"There is no file {file_id}, and none in the trash.")
    return found


def contents(owner: str | None = None) -> Contents:
    """What is in the trash, of one owner or of all, and has bytes."""
    kept = FileAsset.objects.filter(trash_until__isnull=False, blob__isnull=False)
    found = (kept if owner is None else kept.filter(owner=owner)).aggregate(size=Sum("size"), count=Count("id"))
    return Contents(found["count"], found["size"] or 0)
