"""Whether stored bytes are still what was received: what is due to be read, what was found, who is told.

Reading and judging is not done here: see ``windlass.operations.verify``. What is found is written only where the row
still speaks of the same object, for files are deleted and moved while they are read.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from windlass.events.api import EventType, Recorder, recording
from windlass.files.models import Blob, FileAsset, Rendition
from windlass.kernel.clock import now, rfc3339
from windlass.kernel.errors import ContentDamaged

_BATCH = 100


class Damage(StrEnum):
    MISSING = "missing"  # the store has no such object
    SHORT = "short"  # it has fewer bytes than were received
    LONG = "long"  # it has more
    CHANGED = "changed"  # as many, but others
    UNREADABLE = "unreadable"  # the store is there, and cannot give these bytes


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Damage
    detail: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which blobs: those not looked at, or received, since ``before``; and of these only what else is named."""

    before: datetime
    store: str | None = None
    owner: str | None = None
    file_id: uuid.UUID | None = None
    damaged: bool = False

    def blobs(self) -> QuerySet[Any]:
        """Each with ``seen_at``: when it was looked at, else received."""
        found = Blob.objects.annotate(seen_at=_SEEN).filter(seen_at__lt=self.before, references__gte=1)
        named = {"store": self.store, "owner": self.owner, "files__id": self.file_id}
        found = found.filter(**{name: value for name, value in named.items() if value is not None})
        return found.filter(damaged_at__isnull=False) if self.damaged else found


_SEEN = Coalesce("verified_at", "created_at")


def must_be_sound(blob: Blob) -> None:
    """Before these bytes are given to anybody, or worked on. Raises ContentDamaged."""
    if blob.damaged_at is not None:
        raise ContentDamaged(
            f"{told(blob)} They are not served. Whoever runs this server has been told, and can restore them.",
            damage=blob.damage,
        )


def told(blob: Blob) -> str:
    """What a client may know of the damage."""
    what = {Damage.MISSING: "missing", Damage.UNREADABLE: "unreadable"}.get(
        Damage(blob.damage), "not what was received"
    )
    return f"The stored bytes of this file were found to be {what} at {rfc3339(blob.damaged_at)}."


def batches(selection: Selection) -> Iterator[Sequence[Blob]]:
    """All of them once, those first that have waited longest, whatever becomes of each meanwhile."""
    ordered = selection.blobs().order_by("seen_at", "id")
    batch = list(ordered[:_BATCH])
    while batch:
        yield batch
        last = batch[-1]
        after = Q(seen_at__gt=last.seen_at) | Q(seen_at=last.seen_at, id__gt=last.id)
        batch = list(ordered.filter(seen_at__gte=last.seen_at).filter(after)[:_BATCH])


def bytes_of(selection: Selection) -> int:
    return selection.blobs().aggregate(total=Sum("size"))["total"] or 0


def look(blob: Blob) -> Blob | None:
    """The row as it is now; None once nobody refers to it."""
    return Blob.objects.filter(id=blob.id, references__gte=1).first()


def found_sound(blob: Blob, sha256: str) -> bool:
    """These bytes are what was received; a digest that was not known is from now on. Whether they were damaged."""
    with recording() as tell:
        row = _same(blob)
        if row is None:
            return False
        values = {"verified_at": now(), "damaged_at": None, "damage": "", "damage_detail": ""}
        Blob.objects.filter(id=row.id).update(**values, sha256=row.sha256 or sha256)
        if row.damaged_at is not None:
            tell_mended(tell, FileAsset.objects.filter(blob=row))
    return row.damaged_at is not None


def found_damaged(blob: Blob, finding: Finding) -> bool:
    """From now on these bytes are not served. False where the row speaks of another object by now."""
    with recording() as tell:
        row = _same(blob)
        if row is None:
            return False
        moment = now()
        since = row.damaged_at or moment
        values = {"verified_at": moment, "damaged_at": since, "damage": finding.kind.value}
        Blob.objects.filter(id=row.id).update(**values, damage_detail=finding.detail[:200])
        if row.damaged_at is None:
            for asset in FileAsset.objects.filter(blob=row):
                data = {"damage": finding.kind.value}
                tell.add(EventType.FILE_DAMAGED, owner=asset.owner, file_id=asset.id, data=data)
    return True


def tell_mended(tell: Recorder, files: Iterable[FileAsset]) -> None:
    for asset in files:
        tell.add(EventType.FILE_MENDED, owner=asset.owner, file_id=asset.id)


def damaged() -> QuerySet[Blob]:
    """What is known to be damaged, longest known first."""
    return Blob.objects.filter(damaged_at__isnull=False).order_by("damaged_at", "id")


def has_bytes(file_id: uuid.UUID) -> bool:
    return Blob.objects.filter(files__id=file_id).exists()


def files_of(blob: Blob) -> list[uuid.UUID]:
    """The files that refer to it, in the trash too."""
    return list(FileAsset.objects.filter(blob=blob).order_by("created_at", "id").values_list("id", flat=True))


def renditions_of(blob: Blob) -> list[Rendition]:
    return list(Rendition.objects.filter(file__blob=blob).order_by("file_id", "name"))


def is_still(made: Rendition) -> bool:
    """Whether the row still says what was read of it."""
    return Rendition.objects.filter(id=made.id, store=made.store, key=made.key, size=made.size).exists()


def longest_unseen() -> datetime | None:
    """Since when the object that has waited longest has not been looked at, or was received."""
    oldest = Blob.objects.annotate(seen_at=_SEEN).order_by("seen_at", "id").first()
    return None if oldest is None else oldest.seen_at


def _same(blob: Blob) -> Blob | None:
    """The row, locked, if it still speaks of what was read."""
    as_read = {"store": blob.store, "key": blob.key, "size": blob.size, "sha256": blob.sha256}
    return Blob.objects.select_for_update().filter(id=blob.id, **as_read).first()
