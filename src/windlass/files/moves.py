"""Moving objects from one store to another, as rows: what is to be moved, and the moment in which it has been.

A blob and each rendition move by themselves. Files that share a blob share it afterwards too.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, QuerySet, Sum

from windlass.files import spares
from windlass.files.models import Blob, FileAsset, Rendition
from windlass.files.states import FileStatus
from windlass.kernel.clock import now

#: Rows that are looked up at a time. What is done with each takes longer than the look.
BATCH = 200
#: While a file is one of these, a worker reads its bytes and puts what it makes beside them.
WORKED_ON = (FileStatus.PENDING, FileStatus.PROCESSING)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects are to lie in the store ``to``. What is None or 0 restricts nothing."""

    to: str
    of: str | None = None
    profile: str | None = None
    owner: str | None = None
    reference: str | None = None
    older_than_days: float = 0

    def files(self) -> dict[str, Any]:
        """What their files must be like."""
        named = {"profile": self.profile, "owner": self.owner, "reference": self.reference}
        found: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        if self.older_than_days:
            found["created_at__lt"] = now() - timedelta(days=self.older_than_days)
        return found


@dataclass(frozen=True, slots=True)
class Movable:
    """An object and where its row says that it lies. ``sha256`` is known of files only, and not of all."""

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


def totals(selection: Selection) -> dict[str, tuple[int, int, int]]:
    """Of each store that something is to be moved from: files, renditions, bytes of both."""
    found: dict[str, list[int]] = {}
    for position, rows in enumerate((_blobs(selection), _renditions(selection))):
        counted = rows.order_by().values_list("store").annotate(count=Count("id"), bytes=Sum("size"))
        for name, count, size in counted:
            figures = found.setdefault(name, [0, 0, 0])
            figures[position] += count
            figures[2] += size
    return {name: (figures[0], figures[1], figures[2]) for name, figures in sorted(found.items())}


def waiting(selection: Selection) -> Iterator[Movable]:
    """What is to be moved, each as it stands when its turn comes; files before what was made of them."""
    for rows in (_blobs(selection), _renditions(selection)):
        ordered = rows.order_by("id")
        ids = list(ordered.values_list("id", flat=True)[:BATCH])
        while ids:
            for each in ids:
                row = rows.filter(id=each).first()
                if row is not None:
                    yield _movable(row)
            ids = list(ordered.filter(id__gt=ids[-1]).values_list("id", flat=True)[:BATCH])


def is_worked_on(thing: Movable) -> bool:
    return FileAsset.objects.filter(id__in=thing.file_ids, status__in=WORKED_ON).exists()


def still_there(thing: Movable) -> bool:
    """Whether its row still says that it lies where it lay."""
    return _as_seen(thing).exists()


class Overtaken(Exception):
    """The row has changed, its file is being worked on, or the copy was given up: it is not the time to move it."""


def settle(thing: Movable, copy: spares.Spare, *, keep_seconds: float) -> None:
    """The copy is what the row names from now on; the old place stays for so long. Inside the caller's transaction,
    which is to be rolled back where this raises Overtaken."""
    if not _as_seen(thing).update(store=copy.store, key=copy.key) or is_worked_on(thing) or not spares.take(copy):
        raise Overtaken
    spares.keep(thing.store, thing.key, thing.size, seconds=keep_seconds)


def _as_seen(thing: Movable) -> QuerySet[Any]:
    return thing.kind.objects.filter(id=thing.id, store=thing.store, key=thing.key, size=thing.size)


def _movable(row: Blob | Rendition) -> Movable:
    if isinstance(row, Rendition):
        return Movable(Rendition, row.id, row.store, row.key, row.size, None, [row.file_id])
    file_ids = list(row.files.values_list("id", flat=True))
    return Movable(Blob, row.id, row.store, row.key, row.size, row.sha256, file_ids)


def _blobs(selection: Selection) -> QuerySet[Blob]:
    rows, wanted = Blob.objects.exclude(store=selection.to), selection.files()
    if selection.of is not None:
        rows = rows.filter(store=selection.of)
    return rows.filter(id__in=FileAsset.objects.filter(**wanted).values("blob")) if wanted else rows


def _renditions(selection: Selection) -> QuerySet[Rendition]:
    rows = Rendition.objects.exclude(store=selection.to)
    if selection.of is not None:
        rows = rows.filter(store=selection.of)
    return rows.filter(**{f"file__{name}": value for name, value in selection.files().items()})
