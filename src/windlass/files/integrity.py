"""Rows about the integrity of stored bytes: which blobs to verify, and recording the result.

``windlass.operations.verify`` reads and compares the bytes. A result is recorded only if the row still names the same
object, because files are deleted and moved while they are read.
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
from windlass.kernel.problem_types import ContentDamaged

_BATCH = 100


class Damage(StrEnum):
    MISSING = "missing"  # the store has no such object
    SHORT = "short"  # it has fewer bytes than were received
    LONG = "long"  # it has more bytes
    CHANGED = "changed"  # as many bytes, but others
    UNREADABLE = "unreadable"  # the store is available, but cannot read these bytes


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Damage
    detail: str


@dataclass(frozen=True, slots=True)
class VerifySelection:
    """The blobs last verified or received before ``before``, restricted by the other fields."""

    before: datetime
    store: str | None = None
    owner: str | None = None
    file_id: uuid.UUID | None = None
    damaged: bool = False

    def blobs(self) -> QuerySet[Any]:
        """Each with ``seen_at``: when it was verified, or else received."""
        selected = Blob.objects.annotate(seen_at=_SEEN).filter(seen_at__lt=self.before, references__gte=1)
        named = {"store": self.store, "owner": self.owner, "files__id": self.file_id}
        selected = selected.filter(**{name: value for name, value in named.items() if value is not None})
        return selected.filter(damaged_at__isnull=False) if self.damaged else selected


_SEEN = Coalesce("verified_at", "created_at")


def require_intact(blob: Blob) -> None:
    """Raise ContentDamaged if the bytes must not be served or processed."""
    if blob.damaged_at is not None:
        raise ContentDamaged(
            f"{describe_damage(blob)} They are not served. The operator has been notified and can restore them.",
            damage=blob.damage,
        )


def describe_damage(blob: Blob) -> str:
    what = {Damage.MISSING: "missing", Damage.UNREADABLE: "unreadable"}.get(
        Damage(blob.damage), "not what was received"
    )
    return f"The stored bytes of this file were found to be {what} at {rfc3339(blob.damaged_at)}."


def blob_batches(selection: VerifySelection) -> Iterator[Sequence[Blob]]:
    """Yield all selected blobs once in batches, the least recently verified first."""
    ordered = selection.blobs().order_by("seen_at", "id")
    batch = list(ordered[:_BATCH])
    while batch:
        yield batch
        last = batch[-1]
        after = Q(seen_at__gt=last.seen_at) | Q(seen_at=last.seen_at, id__gt=last.id)
        batch = list(ordered.filter(seen_at__gte=last.seen_at).filter(after)[:_BATCH])


def selected_bytes(selection: VerifySelection) -> int:
    return selection.blobs().aggregate(total=Sum("size"))["total"] or 0


def reload_blob(blob: Blob) -> Blob | None:
    """Return the current row; None if no file refers to it any more."""
    return Blob.objects.filter(id=blob.id, references__gte=1).first()


def record_intact(blob: Blob, sha256: str) -> bool:
    """Record that the bytes are intact, and their digest if it was unknown. Return whether they were damaged."""
    with recording() as recorder:
        row = _lock_unchanged(blob)
        if row is None:
            return False
        values = {"verified_at": now(), "damaged_at": None, "damage": "", "damage_detail": ""}
        Blob.objects.filter(id=row.id).update(**values, sha256=row.sha256 or sha256)
        if row.damaged_at is not None:
            record_mended_events(recorder, FileAsset.objects.filter(blob=row))
    return row.damaged_at is not None


def record_damage(blob: Blob, finding: Finding) -> bool:
    """Record damage, so that the bytes are not served. False if the row names another object by now."""
    with recording() as recorder:
        row = _lock_unchanged(blob)
        if row is None:
            return False
        moment = now()
        since = row.damaged_at or moment
        values = {"verified_at": moment, "damaged_at": since, "damage": finding.kind.value}
        Blob.objects.filter(id=row.id).update(**values, damage_detail=finding.detail[:200])
        if row.damaged_at is None:
            for asset in FileAsset.objects.filter(blob=row):
                data = {"damage": finding.kind.value}
                recorder.add(EventType.FILE_DAMAGED, owner=asset.owner, file_id=asset.id, data=data)
    return True


def record_mended_events(recorder: Recorder, files: Iterable[FileAsset]) -> None:
    for asset in files:
        recorder.add(EventType.FILE_MENDED, owner=asset.owner, file_id=asset.id)


def damaged_blobs() -> QuerySet[Blob]:
    """Return the damaged blobs, the longest known first."""
    return Blob.objects.filter(damaged_at__isnull=False).order_by("damaged_at", "id")


def has_blob(file_id: uuid.UUID) -> bool:
    return Blob.objects.filter(files__id=file_id).exists()


def files_of_blob(blob: Blob) -> list[uuid.UUID]:
    """Return the ids of the files that refer to the blob, including those in the trash."""
    return list(FileAsset.objects.filter(blob=blob).order_by("created_at", "id").values_list("id", flat=True))


def renditions_of_blob(blob: Blob) -> list[Rendition]:
    return list(Rendition.objects.filter(file__blob=blob).order_by("file_id", "name"))


def is_unchanged(rendition: Rendition) -> bool:
    """Whether the row still has the same store, key and size."""
    return Rendition.objects.filter(
        id=rendition.id, store=rendition.store, key=rendition.key, size=rendition.size
    ).exists()


def oldest_verification() -> datetime | None:
    """Return when the least recently verified blob was verified, or else received."""
    oldest = Blob.objects.annotate(seen_at=_SEEN).order_by("seen_at", "id").first()
    return None if oldest is None else oldest.seen_at


def _lock_unchanged(blob: Blob) -> Blob | None:
    """Lock and return the row if it still names the object that was read."""
    read = {"store": blob.store, "key": blob.key, "size": blob.size, "sha256": blob.sha256}
    return Blob.objects.select_for_update().filter(id=blob.id, **read).first()
