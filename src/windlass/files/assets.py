"""File records: how they are found, and each change that may happen to them.

Functions that take ``tell`` run inside the caller's ``events.recording()`` transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q, QuerySet

from windlass.database import rows
from windlass.events.api import EventType, Recorder
from windlass.files.models import Blob, FileAsset, StepRun
from windlass.files.states import ENDED_FILES, FileStatus, StepState, files_that_may_become
from windlass.kernel.clock import now
from windlass.kernel.errors import NotFound
from windlass.kernel.principals import Principal

#: Facts with a column of their own; every other fact lives in ``extra_attributes``.
COLUMNS = ("mime_type", "checksum", "width", "height", "duration", "page_count")


class IllegalMove(Exception):
    """The file is not in a status from which it may become that."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A step as it will be shown before it runs."""

    stage: str
    name: str


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How a step ended. ``facts`` are merged into the record."""

    name: str
    state: StepState
    seconds: float
    detail: str = ""
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class OwedStep:
    """Where a step was left for later."""

    id: int
    file_id: uuid.UUID
    run: int
    stage: str


@dataclass(frozen=True, slots=True)
class StoredRendition:
    """A derived object that the store holds under ``key``."""

    name: str
    kind: str
    mime_type: str
    store: str
    key: str
    size: int
    width: int | None = None
    height: int | None = None


def visible(principal: Principal) -> QuerySet[FileAsset]:
    """The files this caller may see. What is in the trash is not there: see ``files.trash``."""
    every = FileAsset.present.select_related("blob", "duplicate_of")
    return every if principal.staff else every.filter(owner=principal.owner)


def get(file_id: uuid.UUID, principal: Principal) -> FileAsset:
    """Raises NotFound, for another's file too."""
    asset = visible(principal).filter(id=file_id).first()
    if asset is None:
        raise NotFound(f"There is no file {file_id}.")
    return asset


def load(file_id: uuid.UUID) -> FileAsset | None:
    """For work on a file that is already authorised; None once it is deleted, or in the trash."""
    asset = rows.find(FileAsset, id=file_id, trashed_at=None)
    if asset is None or asset.blob_id is None:
        return asset
    asset.blob = rows.find(Blob, id=asset.blob_id)
    if asset.blob is not None:
        return asset
    # Between the two looks its bytes became another's, or went.
    return FileAsset.present.select_related("blob").filter(id=file_id).first()


def past_their_end() -> QuerySet[FileAsset]:
    """Files to be deleted, by their profile or because their time in the trash is over."""
    over = Q(expires_at__lt=now()) | Q(trash_until__lt=now())
    return FileAsset.objects.select_related("blob").filter(over).order_by("trash_until", "expires_at")


def past_their_bytes() -> QuerySet[FileAsset]:
    """Files to be released, by their profile, and not to be deleted yet. The trash holds nobody's bytes back."""
    due = FileAsset.objects.select_related("blob").filter(release_at__lt=now())
    going = Q(expires_at__lt=now()) | Q(trash_until__lt=now())
    return due.exclude(going).exclude(status=FileStatus.RELEASED).order_by("release_at")


def find_original(asset: FileAsset, sha256: str) -> uuid.UUID | None:
    """The oldest file of the same owner with the same content that is still here, if it came before this one."""
    same = {"owner": asset.owner, "checksum": sha256, "size": asset.size}
    oldest = rows.select(FileAsset, most=1, order=("created_at", "id"), **same)
    if not oldest or oldest[0].id == asset.id:
        return None
    return (
        FileAsset.present.filter(owner=asset.owner, checksum=sha256, size=asset.size, created_at__lt=asset.created_at)
        .exclude(id=asset.id)
        .exclude(status__in=[FileStatus.RELEASED, FileStatus.REJECTED, FileStatus.QUARANTINED])
        .order_by("created_at", "id")
        .values_list("id", flat=True)
        .first()
    )


def move(
    tell: Recorder, asset: FileAsset, target: FileStatus, *, of: Sequence[FileStatus] | None = None, **values: Any
) -> None:
    """Change the status, and ``values`` with it; ``of``: only from these. Raises IllegalMove; ``asset`` is refreshed
    with what was written."""
    changed = FileAsset.objects.filter(id=asset.id, status__in=of or files_that_may_become(target)).update(
        status=target, updated_at=now(), **values
    )
    if not changed:
        raise IllegalMove(f"file {asset.id} may not become {target}")
    asset.refresh_from_db(fields=["status", *values])
    told = outcome_event(asset)
    if told is not None:
        tell.add(told[0], owner=asset.owner, file_id=asset.id, data=told[1])


def outcome_event(asset: FileAsset) -> tuple[EventType, dict[str, Any]] | None:
    """What is told of a file that has just got the status it has; None where that says nothing."""
    kind = _EVENT_OF.get(FileStatus(asset.status))
    if kind is None:
        return None
    data: dict[str, Any] = {"progress": 100} if kind == EventType.FILE_READY else {}
    if asset.message:
        data["message"] = asset.message
    if asset.rejection and kind in (EventType.FILE_REJECTED, EventType.FILE_QUARANTINED):
        data["rejection"] = asset.rejection
    if asset.rejection and kind == EventType.FILE_QUARANTINED:
        data["signature"] = asset.rejection["actual"]
    return kind, data


_EVENT_OF = {
    FileStatus.READY: EventType.FILE_READY,
    FileStatus.REJECTED: EventType.FILE_REJECTED,
    FileStatus.QUARANTINED: EventType.FILE_QUARANTINED,
    FileStatus.FAILED: EventType.FILE_FAILED,
    FileStatus.RELEASED: EventType.FILE_RELEASED,
}


def steps(asset: FileAsset) -> Sequence[StepRun]:
    """The steps of the present run, in order."""
    return list(StepRun.objects.filter(file=asset, run=asset.run).order_by("position"))


def has_owed(step: str) -> bool:
    """Whether any file, however it stands, has this step left for later."""
    return StepRun.objects.filter(state=StepState.OWED, step=step).exists()


def owed(steps: Iterable[str], *, after: int, at_most: int) -> Sequence[OwedStep]:
    """What was left for later of these steps in files that are ready, by number, from behind ``after``."""
    rows = StepRun.objects.filter(
        state=StepState.OWED,
        step__in=list(steps),
        id__gt=after,
        file__status=FileStatus.READY,
        file__trashed_at=None,
        file__blob__damaged_at=None,
        run=F("file__run"),
    )
    found = rows.order_by("id").values_list("id", "file_id", "run", "stage")[:at_most]
    return [OwedStep(*row) for row in found]


def new_run(tell: Recorder, asset: FileAsset) -> None:
    """Process from the start once more. Raises IllegalMove while a run is on, or after release."""
    move(
        tell,
        asset,
        FileStatus.PENDING,
        of=ENDED_FILES,
        run=asset.run + 1,
        progress=0,
        stage="",
        message="",
        gate_passed=False,
        rejection=None,
    )
