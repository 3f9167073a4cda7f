"""File records: how they are found, and each change that may happen to them.

Functions that take ``tell`` run inside the caller's ``events.recording()`` transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, QuerySet
from django.db.models.functions import Greatest

from windlass.events.api import EventType, Recorder
from windlass.files.models import FileAsset, Rendition, StepRun
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
    """The files this caller may see."""
    every = FileAsset.objects.select_related("blob")
    return every if principal.staff else every.filter(owner=principal.owner)


def get(file_id: uuid.UUID, principal: Principal) -> FileAsset:
    """Raises NotFound, for another's file too."""
    asset = visible(principal).filter(id=file_id).first()
    if asset is None:
        raise NotFound(f"There is no file {file_id}.")
    return asset


def load(file_id: uuid.UUID) -> FileAsset | None:
    """For work on a file that is already authorised; None once it is deleted."""
    return FileAsset.objects.select_related("blob").filter(id=file_id).first()


def find_original(asset: FileAsset, sha256: str) -> uuid.UUID | None:
    """The oldest file of the same owner with the same content that is still here, if it came before this one."""
    return (
        FileAsset.objects.filter(owner=asset.owner, checksum=sha256, size=asset.size, created_at__lt=asset.created_at)
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
    kind = _EVENT_OF.get(target)
    if kind:
        data: dict[str, Any] = {"progress": 100} if target == FileStatus.READY else {}
        if asset.message:
            data["message"] = asset.message
        if asset.rejection and target in (FileStatus.REJECTED, FileStatus.QUARANTINED):
            data["rejection"] = asset.rejection
        if asset.rejection and target == FileStatus.QUARANTINED:
            data["signature"] = asset.rejection["actual"]
        tell.add(kind, owner=asset.owner, file_id=asset.id, data=data)


_EVENT_OF = {
    FileStatus.READY: EventType.FILE_READY,
    FileStatus.REJECTED: EventType.FILE_REJECTED,
    FileStatus.QUARANTINED: EventType.FILE_QUARANTINED,
    FileStatus.FAILED: EventType.FILE_FAILED,
    FileStatus.RELEASED: EventType.FILE_RELEASED,
}


def plan_steps(asset: FileAsset, steps: Iterable[StepPlan]) -> None:
    """Write the steps of this run that are not yet known, in order, as pending."""
    known = set(StepRun.objects.filter(file=asset, run=asset.run).values_list("step", flat=True))
    new = [step for step in steps if step.name not in known]
    StepRun.objects.bulk_create(
        StepRun(file=asset, run=asset.run, stage=step.stage, step=step.name, position=len(known) + index)
        for index, step in enumerate(new)
    )


def steps(asset: FileAsset) -> Sequence[StepRun]:
    """The steps of the present run, in order."""
    return list(StepRun.objects.filter(file=asset, run=asset.run).order_by("position"))


def has_owed(step: str) -> bool:
    """Whether any file, however it stands, has this step left for later."""
    return StepRun.objects.filter(state=StepState.OWED, step=step).exists()


def owed(steps: Iterable[str], *, after: int, at_most: int) -> Sequence[OwedStep]:
    """What was left for later of these steps in files that are ready, by number, from behind ``after``."""
    rows = StepRun.objects.filter(
        state=StepState.OWED, step__in=list(steps), id__gt=after, file__status=FileStatus.READY, run=F("file__run")
    )
    found = rows.order_by("id").values_list("id", "file_id", "run", "stage")[:at_most]
    return [OwedStep(*row) for row in found]


def step_started(asset: FileAsset, name: str) -> None:
    StepRun.objects.filter(file=asset, run=asset.run, step=name).update(state=StepState.RUNNING, progress=0)


def step_progress(asset: FileAsset, name: str, percent: int, overall: int, message: str) -> None:
    """State, not journal: throttled by the caller to at most 4 a second. Never falls."""
    StepRun.objects.filter(file=asset, run=asset.run, step=name).update(progress=Greatest("progress", percent))
    raise_progress(asset, overall, message)


def raise_progress(asset: FileAsset, overall: int, message: str) -> None:
    """Of a file that is being processed; what is made good in one that is ready does not show in it."""
    FileAsset.objects.filter(id=asset.id, run=asset.run, status=FileStatus.PROCESSING).update(
        progress=Greatest("progress", min(overall, 99)), message=message[:500]
    )


def step_ended(tell: Recorder, asset: FileAsset, outcome: StepOutcome, overall: int) -> None:
    """Record a step's result and merge its facts into the record."""
    StepRun.objects.filter(file=asset, run=asset.run, step=outcome.name).update(
        state=outcome.state,
        seconds=round(outcome.seconds, 4),
        detail=outcome.detail,
        progress=100 if outcome.state == StepState.DONE else 0,
    )
    facts = dict(outcome.facts or {})
    values: dict[str, Any] = {name: facts.pop(name) for name in COLUMNS if name in facts}
    if facts:
        values["extra_attributes"] = asset.extra_attributes | facts
    FileAsset.objects.filter(id=asset.id).update(
        progress=Greatest("progress", min(overall, 99)), updated_at=now(), **values
    )
    asset.refresh_from_db()
    tell.add(
        EventType.FILE_STEP,
        owner=asset.owner,
        file_id=asset.id,
        data={
            "step": outcome.name,
            "state": outcome.state.value,
            "progress": asset.progress,
            "message": outcome.detail,
        },
    )


def skip_steps(asset: FileAsset, *, owed: bool = False, names: Sequence[str] | None = None) -> None:
    """What is still pending or running will not be done in this run; ``owed``: nor what was left for later."""
    states = [StepState.PENDING, StepState.RUNNING, *([StepState.OWED] if owed else [])]
    rows = StepRun.objects.filter(file=asset, run=asset.run, state__in=states)
    (rows if names is None else rows.filter(step__in=names)).update(state=StepState.SKIPPED)


def stage_began(tell: Recorder, asset: FileAsset, stage: str) -> None:
    """Show the stage; a pending file is processing from here on."""
    FileAsset.objects.filter(id=asset.id).update(stage=stage, message="", updated_at=now())
    asset.stage, asset.message = stage, ""
    if asset.status == FileStatus.PENDING:
        move(tell, asset, FileStatus.PROCESSING)
    tell.add(
        EventType.FILE_STAGE,
        owner=asset.owner,
        file_id=asset.id,
        data={"stage": stage, "progress": asset.progress},
    )


def pass_gate(asset: FileAsset) -> None:
    FileAsset.objects.filter(id=asset.id).update(gate_passed=True)
    asset.gate_passed = True


def set_duplicate(asset: FileAsset, original: uuid.UUID | None) -> None:
    FileAsset.objects.filter(id=asset.id).update(duplicate_of_id=original)
    asset.duplicate_of_id = original


def know_checksum(asset: FileAsset, sha256: str) -> None:
    """Somebody has read every byte: the record and the blob carry the digest from now on."""
    FileAsset.objects.filter(id=asset.id).update(checksum=sha256)
    if asset.blob is not None and asset.blob.sha256 is None:
        type(asset.blob).objects.filter(id=asset.blob.id).update(sha256=sha256)
        asset.blob.sha256 = sha256
    asset.checksum = sha256


def save_rendition(asset: FileAsset, made: StoredRendition) -> None:
    """Names are unique per file: making one again replaces the row, as it replaced the object."""
    Rendition.objects.update_or_create(
        file=asset,
        name=made.name,
        defaults={
            "kind": made.kind,
            "mime_type": made.mime_type,
            "store": made.store,
            "key": made.key,
            "size": made.size,
            "width": made.width,
            "height": made.height,
            "run": asset.run,
        },
    )


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
