"""File records: find them and change their status.

Functions that take ``recorder`` run within the caller's ``events.recording()`` transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet

from windlass.database import rows
from windlass.database.connection import atomic
from windlass.database.ownership import owned_by
from windlass.events.api import EventType, Recorder
from windlass.files.models import Blob, FileAsset, StepRun
from windlass.files.states import ENDED_FILES, FileStatus, StepState, file_statuses_before
from windlass.kernel.clock import now
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import NotFound

#: Facts that have a column of their own; all others are in ``extra_attributes``.
FACT_COLUMNS = ("mime_type", "checksum", "width", "height", "duration", "page_count")


class IllegalTransition(Exception):
    """The file's status does not allow this change (``states.FILE_TRANSITIONS``)."""


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How a step ended. ``facts`` are merged into the record."""

    name: str
    state: StepState
    seconds: float
    detail: str = ""
    facts: Mapping[str, Any] | None = None


def visible_files(principal: Principal, owner: str | None = None) -> QuerySet[FileAsset]:
    """The files of every owner whose files the caller may use, except those in the trash (``files.trash``).

    ``owner``: those of this owner alone; none if the caller may not use them.
    """
    return of_owner(_present(), principal, owner)


def of_owner(files: QuerySet[FileAsset], principal: Principal, owner: str | None) -> QuerySet[FileAsset]:
    """Those of ``files`` that a list shows to the caller; ``owner`` as in ``visible_files``."""
    return files.filter(owned_by(principal.owners if owner is None else principal.owners & {owner}))


def get_file(file_id: uuid.UUID, principal: Principal) -> FileAsset:
    """A file that the caller may access. Raises NotFound, also for any other one."""
    return get_files([file_id], principal)[0]


def get_files(ids: Sequence[uuid.UUID], principal: Principal) -> list[FileAsset]:
    """Files that the caller may access, in this order. Raises NotFound for the first that is none."""
    found = {asset.id: asset for asset in _present().filter(id__in=ids)}
    for file_id in ids:
        if file_id not in found or not principal.may_access(found[file_id].owner):
            raise NotFound(f"There is no file {file_id}.")
    return [found[file_id] for file_id in ids]


def _present() -> QuerySet[FileAsset]:
    return FileAsset.present.select_related("blob", "duplicate_of")


def load_file(file_id: uuid.UUID) -> FileAsset | None:
    """The file, without a check of access; None if it is deleted or in the trash."""
    asset = rows.find(FileAsset, id=file_id, trashed_at=None)
    if asset is None or asset.blob_id is None:
        return asset
    asset.blob = rows.find(Blob, id=asset.blob_id)
    if asset.blob is not None:
        return asset
    # Between the two statements the file got another blob or lost it.
    return FileAsset.present.select_related("blob").filter(id=file_id).first()


def expired_files() -> QuerySet[FileAsset]:
    """Files to delete now, because of their profile or because their time in the trash is over."""
    return FileAsset.objects.select_related("blob").filter(_is_expired()).order_by("trash_until", "expires_at")


def files_to_release() -> QuerySet[FileAsset]:
    """Files to release now because of their profile, in the trash or not, that are not to be deleted yet."""
    due = FileAsset.objects.select_related("blob").filter(release_at__lt=now())
    return due.exclude(_is_expired()).exclude(status=FileStatus.RELEASED).order_by("release_at")


def _is_expired() -> Q:
    return Q(expires_at__lt=now()) | Q(trash_until__lt=now())


def find_original_file(asset: FileAsset, sha256: str) -> uuid.UUID | None:
    """The oldest present file of the same owner with the same content, if it is older than this one."""
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


def change_status(
    recorder: Recorder, asset: FileAsset, target: FileStatus, *, of: Sequence[FileStatus] | None = None, **values: Any
) -> None:
    """Change the status and ``values``, and refresh ``asset``; ``of``: only from these statuses.

    Raises IllegalTransition.
    """
    changed = FileAsset.objects.filter(id=asset.id, status__in=of or file_statuses_before(target)).update(
        status=target, updated_at=now(), **values
    )
    if not changed:
        raise IllegalTransition(f"the status of file {asset.id} cannot change to {target}")
    asset.refresh_from_db(fields=["status", *values])
    event = outcome_event(asset)
    if event is not None:
        recorder.add(event[0], owner=asset.owner, file_id=asset.id, data=event[1])


def outcome_event(asset: FileAsset) -> tuple[EventType, dict[str, Any]] | None:
    """The event of a file whose status has just changed, and its data; None where the status has no event."""
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


def steps_of_file(asset: FileAsset) -> Sequence[StepRun]:
    """The steps of the current run, in order."""
    return list(StepRun.objects.filter(file=asset, run=asset.run).order_by("position"))


def running_step(file_id: uuid.UUID, run: int, stage: str) -> str:
    """The step of this stage that is recorded as running; empty if there is none."""
    running = StepRun.objects.filter(file_id=file_id, run=run, stage=stage, state=StepState.RUNNING)
    return running.order_by("position").values_list("step", flat=True).first() or ""


def has_owed_step(step: str) -> bool:
    """Whether any file, whatever its status, has this step postponed."""
    return StepRun.objects.filter(state=StepState.OWED, step=step).exists()


def has_owed_steps() -> bool:
    """Whether any step of any file is postponed."""
    return StepRun.objects.filter(state=StepState.OWED).order_by().exists()


def owed_steps(steps: Iterable[str], *, after: int, at_most: int) -> Sequence[StepRun]:
    """At most ``at_most`` postponed ones of these steps in ready files, by id, from after the id ``after``."""
    query = StepRun.objects.filter(
        state=StepState.OWED,
        step__in=list(steps),
        id__gt=after,
        file__status=FileStatus.READY,
        file__trashed_at=None,
        file__blob__damaged_at=None,
        run=F("file__run"),
    )
    return list(query.select_related("file").order_by("id")[:at_most])


def owed_step_counts() -> dict[str, int]:
    """How many ready files each postponed step is owed for, by the step's name."""
    owed = StepRun.objects.filter(state=StepState.OWED, file__status=FileStatus.READY, run=F("file__run"))
    counted = owed.order_by("step").values_list("step").annotate(count=Count("id"))
    return dict(counted)


def owed_file_count(step: str, files: QuerySet[FileAsset]) -> int:
    """How many ready ones of ``files`` have this step postponed."""
    ready = files.order_by().filter(status=FileStatus.READY)
    return StepRun.objects.filter(state=StepState.OWED, step=step, run=F("file__run"), file__in=ready).count()


def mark_step_owed(stage: str, step: str, file_ids: Sequence[uuid.UUID], reason: str) -> int:
    """Postpone a step of these ready files, also of those that have ended it or never planned it. Return how many."""
    with atomic():
        ready = FileAsset.present.select_for_update().filter(id__in=file_ids, status=FileStatus.READY)
        files = list(ready.order_by("id").only("id", "run"))
        known = Max("steps__position", filter=Q(steps__run=F("run")))
        last = dict(
            FileAsset.objects.filter(id__in=[each.id for each in files]).annotate(last=known).values_list("id", "last")
        )
        owed = [
            StepRun(
                file_id=each.id,
                run=each.run,
                stage=stage,
                step=step,
                position=(last[each.id] or 0) + 1,
                state=StepState.OWED,
                detail=reason,
            )
            for each in files
        ]
        if owed:
            rows.insert(owed, unique=("file", "run", "step"), replace=("state", "detail"))
    return len(owed)


def has_type(mime_type: str) -> Q:
    """Condition of files of this detected type; ``image/*`` matches all images."""
    kind, wildcard, _ = mime_type.lower().partition("/*")
    return Q(mime_type__startswith=f"{kind}/") if wildcard else Q(mime_type=kind)


def resume_failed_stage(recorder: Recorder, asset: FileAsset, stage: str, step: str) -> None:
    """Let the step of this stage that failed run again, and those that were left out because of it.

    A failed file is pending again, in the same run; what is done stays. In a ready file the step is owed, and the file
    stays in service. ``step`` is empty if the stage failed outside a step. Raises IllegalTransition if the file is
    neither.
    """
    steps = StepRun.objects.filter(file=asset, run=asset.run)
    if asset.status == FileStatus.READY:
        failed = steps.filter(stage=stage, state=StepState.FAILED)
        (failed.filter(step=step) if step else failed).update(state=StepState.OWED, progress=0)
        return
    change_status(recorder, asset, FileStatus.PENDING, of=[FileStatus.FAILED], message="")
    of_stage = steps.filter(stage=stage)
    first = of_stage.aggregate(failed=Min("position", filter=Q(step=step)), of_stage=Min("position"))
    position = first["of_stage"] if first["failed"] is None else first["failed"]
    if position is not None:
        again = steps.filter(position__gte=position, state__in=[StepState.FAILED, StepState.SKIPPED])
        again.update(state=StepState.PENDING, progress=0)


def start_new_run(recorder: Recorder, asset: FileAsset) -> None:
    """Process the file from the start again. Raises IllegalTransition during a run and after release."""
    unprocessed = {"progress": 0, "stage": "", "message": "", "gate_passed": False, "rejection": None}
    change_status(recorder, asset, FileStatus.PENDING, of=ENDED_FILES, run=asset.run + 1, **unprocessed)
