"""Rows of moves from one store to another: which objects to move, the retention of copies, and recording a move.

A blob and each rendition move independently. Files that share a blob still share it afterwards.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.db.models import Count, QuerySet, Sum

from windlass.files.backups import is_backup_running
from windlass.files.models import Blob, FileAsset, Rendition, RetainedObject
from windlass.files.states import FileStatus
from windlass.kernel.clock import now
from windlass.storage.contract import StoreError
from windlass.storage.registry import store

log = structlog.get_logger(__name__)

#: Rows that are read at a time.
_BATCH = 200
#: Statuses of files that a worker is reading, and whose renditions it is writing.
_IN_PROCESSING = (FileStatus.PENDING, FileStatus.PROCESSING)
#: Objects that one sweep removes.
_REMOVE_BATCH = 500
#: Pause before the next attempt if the store did not answer (seconds).
_RETRY_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class MoveSelection:
    """The objects to move to the store ``to``. A field that is None or 0 does not restrict the selection."""

    to: str
    of: str | None = None
    profile: str | None = None
    owner: str | None = None
    reference: str | None = None
    older_than_days: float = 0

    def files(self) -> dict[str, Any]:
        """Return the conditions on their files, as arguments of ``filter``."""
        named = {"profile": self.profile, "owner": self.owner, "reference": self.reference}
        conditions: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        if self.older_than_days:
            conditions["created_at__lt"] = now() - timedelta(days=self.older_than_days)
        return conditions


@dataclass(frozen=True, slots=True)
class Movable:
    """An object with the store and key of its row. ``sha256``: None for renditions and for files not hashed yet."""

    kind: type[Blob | Rendition]
    id: uuid.UUID
    store: str
    key: str
    size: int
    sha256: str | None
    file_ids: Sequence[uuid.UUID]

    @property
    def is_file(self) -> bool:
        return self.kind is Blob


def move_totals(selection: MoveSelection) -> dict[str, tuple[int, int, int]]:
    """Return (files, renditions, bytes of both) to move, by store."""
    totals: dict[str, list[int]] = {}
    for position, rows in enumerate((_blobs(selection), _renditions(selection))):
        counted = rows.order_by().values_list("store").annotate(count=Count("id"), bytes=Sum("size"))
        for name, count, size in counted:
            figures = totals.setdefault(name, [0, 0, 0])
            figures[position] += count
            figures[2] += size
    return {name: (figures[0], figures[1], figures[2]) for name, figures in sorted(totals.items())}


def objects_to_move(selection: MoveSelection) -> Iterator[Movable]:
    """Yield the objects to move, files before renditions; each row is read just before it is yielded."""
    for rows in (_blobs(selection), _renditions(selection)):
        ordered = rows.order_by("id")
        ids = list(ordered.values_list("id", flat=True)[:_BATCH])
        while ids:
            for each in ids:
                row = rows.filter(id=each).first()
                if row is not None:
                    yield _movable(row)
            ids = list(ordered.filter(id__gt=ids[-1]).values_list("id", flat=True)[:_BATCH])


def is_in_processing(source: Movable) -> bool:
    return FileAsset.objects.filter(id__in=source.file_ids, status__in=_IN_PROCESSING).exists()


def is_unmoved(source: Movable) -> bool:
    """Whether its row still has the same store and key."""
    return _unchanged_rows(source).exists()


class MoveConflict(Exception):
    """The row changed, the file is being processed, or the copy's retention expired: do not move the object now."""


def record_move(source: Movable, copy: RetainedObject, *, keep_seconds: float) -> None:
    """Let the row name the copy; retain the old object for ``keep_seconds``. Runs in the caller's transaction.

    Raises MoveConflict, after which the transaction must be rolled back.
    """
    updated = _unchanged_rows(source).update(store=copy.store, key=copy.key)
    if not updated or is_in_processing(source) or not end_retention(copy):
        raise MoveConflict
    retain_object(source.store, source.key, source.size, seconds=keep_seconds)


def _unchanged_rows(source: Movable) -> QuerySet[Any]:
    return source.kind.objects.filter(id=source.id, store=source.store, key=source.key, size=source.size)


def _movable(row: Blob | Rendition) -> Movable:
    if isinstance(row, Rendition):
        return Movable(Rendition, row.id, row.store, row.key, row.size, None, [row.file_id])
    file_ids = list(row.files.values_list("id", flat=True))
    return Movable(Blob, row.id, row.store, row.key, row.size, row.sha256, file_ids)


def _blobs(selection: MoveSelection) -> QuerySet[Blob]:
    rows, wanted = Blob.objects.exclude(store=selection.to), selection.files()
    if selection.of is not None:
        rows = rows.filter(store=selection.of)
    return rows.filter(id__in=FileAsset.objects.filter(**wanted).values("blob")) if wanted else rows


def _renditions(selection: MoveSelection) -> QuerySet[Rendition]:
    rows = Rendition.objects.exclude(store=selection.to)
    if selection.of is not None:
        rows = rows.filter(store=selection.of)
    return rows.filter(**{f"file__{name}": value for name, value in selection.files().items()})


def retain_object(store_name: str, key: str, size: int, *, seconds: float) -> RetainedObject:
    """Keep the object for ``seconds`` from now on, instead of any earlier retention.

    ``until`` of the row fences its holder: the sweep changes it before it removes the object.
    """
    until = now() + timedelta(seconds=seconds)
    values = {"size": size, "until": until}
    return RetainedObject.objects.update_or_create(store=store_name, key=key, defaults=values)[0]


def extend_retention(retained: RetainedObject, *, seconds: float) -> bool:
    """Extend the retention to ``seconds`` from now on; False if it has expired and the object is being removed."""
    until = now() + timedelta(seconds=seconds)
    extended = _unchanged_retention(retained).update(until=until)
    if extended:
        retained.until = until
    return bool(extended)


def end_retention(retained: RetainedObject) -> bool:
    """End the retention: a record names the object from now on, or it is deleted. False if it has expired."""
    return bool(_unchanged_retention(retained).delete()[0])


def is_retained(store_name: str, key: str) -> bool:
    return RetainedObject.objects.filter(store=store_name, key=key).exists()


def remove_expired_objects(*, dry_run: bool = False) -> tuple[int, int]:
    """Delete objects whose retention has expired; none while a backup runs. Returns (objects, bytes freed).

    ``dry_run``: delete nothing; return what would be deleted.
    """
    count = freed = 0
    expired = list(RetainedObject.objects.filter(until__lt=now()).order_by("until")[:_REMOVE_BATCH])
    if not expired or is_backup_running():
        return count, freed
    for row in expired:
        size = row.size if dry_run else _remove(row)
        if size is not None:
            count, freed = count + 1, freed + size
    return count, freed


def _remove(expired: RetainedObject) -> int | None:
    """Return the bytes freed; None if the retention was extended, or the store does not answer and is tried later."""
    if not extend_retention(expired, seconds=_RETRY_SECONDS):
        return None
    freed = 0
    if not any(kind.objects.filter(store=expired.store, key=expired.key).exists() for kind in (Blob, Rendition)):
        try:
            target = store(expired.store)
            freed = target.clear(expired.key) + target.delete(expired.key)
        except StoreError as error:
            log.warning("object.left_behind", store=expired.store, key=expired.key, reason=str(error))
            return None
    end_retention(expired)
    return freed


def _unchanged_retention(retained: RetainedObject) -> QuerySet[RetainedObject]:
    return RetainedObject.objects.filter(store=retained.store, key=retained.key, until=retained.until)
