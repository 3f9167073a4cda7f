"""The JSON of files: the record and the processing status, each with its Pydantic model (http-api section 1).

A record needs the file's renditions and steps: one query each, or none where the caller has them (``FileRows``).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from windlass import conf
from windlass.files.api import FileAsset, FileRows, FileStatus, Rendition, StepRun, StepState, describe_damage
from windlass.http.json_models import ReplyModel
from windlass.jobs.api import Stage
from windlass.kernel import urls
from windlass.kernel.clock import rfc3339
from windlass.kernel.ids import parse_id
from windlass.kernel.problem_types import NotFound
from windlass.processing.api import gate_steps


class Check(ReplyModel):
    name: str
    state: Literal["passed", "failed", "pending", "owed"]
    detail: str


class RenditionOut(ReplyModel):
    name: str
    kind: str
    mime_type: str
    size: int
    width: int | None
    height: int | None
    url: str


class Rejection(ReplyModel):
    """The rule that refused the file, with its limit and the measured value."""

    rule: str | None
    detail: str | None
    limit: Any
    actual: Any


class Links(ReplyModel):
    self: str
    status: str
    download: str
    events: str


class FileRecord(ReplyModel):
    id: UUID
    original_filename: str
    size: int
    status: FileStatus
    mime_type: str | None = Field(description="Detected type; null until it is known.")
    declared_mime_type: str | None
    checksum: str | None
    checksum_algorithm: Literal["sha256"]
    width: int | None = Field(description="Pixels as displayed, with the orientation applied.")
    height: int | None
    duration: float | None = Field(description="Seconds.")
    page_count: int | None
    extra_attributes: dict[str, Any]
    metadata: dict[str, Any]
    profile: str
    reference: str | None
    duplicate_of: UUID | None
    thumbnail_url: str | None
    renditions: list[RenditionOut]
    checks: list[Check]
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    rejection: Rejection | None
    links: Links


class TrashedRecord(FileRecord):
    """A file in the trash. Every other call answers 404 for it."""

    trashed_at: datetime
    trash_until: datetime = Field(description="The file can be restored until then.")


def parse_file_id(text: str) -> uuid.UUID:
    file_id = parse_id(text)
    if file_id is None:
        raise NotFound(f"There is no file {text}.")
    return file_id


def file_record(asset: FileAsset) -> dict[str, Any]:
    """A ``FileRecord``."""
    found = FileRows(asset, list(asset.renditions.all()), list(asset.steps.all()))
    return _record(asset, found.renditions, found.steps_of_run)


def record_of_rows(found: FileRows) -> dict[str, Any]:
    """A ``FileRecord``; of a file in the trash a ``TrashedRecord``, which lists no renditions: they cannot be
    downloaded then."""
    if found.asset.trashed_at is not None:
        return _record(found.asset, [], found.steps_of_run, TrashedRecord)
    return _record(found.asset, found.renditions, found.steps_of_run)


def _name_and_number(name: str) -> tuple[str, int]:
    """What renditions are sorted by: page-2 comes before page-10."""
    base, _, number = name.rpartition("-")
    return (base, int(number)) if number.isascii() and number.isdigit() else (name, 0)


def new_file_record(asset: FileAsset) -> dict[str, Any]:
    """The ``FileRecord`` of a file that has just been stored and has no renditions and steps yet: no query."""
    return _record(asset, [], [])


def media_link(file_id: uuid.UUID, rest: str) -> str:
    """The URL of bytes of a file: below ``MEDIA_URL`` where that is set."""
    return urls.media_url(conf.get().media_url, f"/files/{file_id}/{rest}")


_REJECTION = dict.fromkeys(Rejection.model_fields)


def _record(
    asset: FileAsset, renditions: Sequence[Rendition], steps: Sequence[StepRun], model: type[FileRecord] = FileRecord
) -> dict[str, Any]:
    has_thumbnail = any(rendition.name == "thumbnail" for rendition in renditions)
    return model.of(
        asset,
        checksum_algorithm="sha256",
        duplicate_of=asset.original_id,
        thumbnail_url=media_link(asset.id, "thumbnail/") if has_thumbnail else None,
        renditions=[
            RenditionOut.of(rendition, url=media_link(asset.id, f"renditions/{rendition.name}/"))
            for rendition in sorted(renditions, key=lambda each: _name_and_number(each.name))
        ],
        checks=_checks(asset, steps),
        rejection=None if asset.rejection is None else _REJECTION | asset.rejection,
        links={
            "self": urls.file_path(asset.id),
            "status": urls.file_path(asset.id, "status/"),
            "download": media_link(asset.id, "download/"),
            "events": urls.file_path(asset.id, "events/"),
        },
    )


#: The state of a gate step -> the state of its check. A skipped step has checked nothing and is not listed.
_CHECK_STATES = {
    StepState.PENDING: "pending",
    StepState.RUNNING: "pending",
    StepState.DONE: "passed",
    StepState.OWED: "owed",
    StepState.FAILED: "failed",
}


def _checks(asset: FileAsset, steps: Sequence[StepRun]) -> list[dict[str, str]]:
    """The gate's verdicts, or the first check to come where there are none yet; then the integrity of the bytes."""
    postponed = gate_steps() if steps else ()
    gate = [
        step for step in steps if (step.stage == Stage.INTAKE or step.step in postponed) and step.state in _CHECK_STATES
    ]
    if not gate:
        return [_check("size", "pending", ""), *_integrity(asset)]
    # What a rule needed and no step could measure, of a file that its profile accepts nevertheless.
    unmeasured = asset.extra_attributes.get("not_measured") or ()
    return [
        *(_check(step.step, _CHECK_STATES[StepState(step.state)], step.detail) for step in gate),
        *(_check("not measured", "passed", str(reason)) for reason in unmeasured),
        *_integrity(asset),
    ]


def _integrity(asset: FileAsset) -> list[dict[str, str]]:
    """How the stored bytes were found when they were last verified."""
    blob = asset.blob
    if blob is None or blob.verified_at is None:
        return []
    if blob.damaged_at is not None:
        return [_check("integrity", "failed", describe_damage(blob))]
    detail = f"The stored bytes were what was received when they were read at {rfc3339(blob.verified_at)}."
    return [_check("integrity", "passed", detail)]


def _check(name: str, state: str, detail: str) -> dict[str, str]:
    return {"name": name, "state": state, "detail": detail}


class StepOut(ReplyModel):
    name: str
    stage: str
    state: StepState
    seconds: float | None
    progress: int
    detail: str


class FileStatusOut(ReplyModel):
    id: UUID
    status: FileStatus
    progress: int = Field(description="0 to 100. Never decreases within one run.")
    stage: str
    message: str
    steps: list[StepOut]
    owed: list[str]


def file_status(asset: FileAsset) -> dict[str, Any]:
    """A ``FileStatusOut``: how far processing is in the present run, step by step."""
    return status_of_rows(FileRows(asset, [], list(asset.steps.all())))


def status_of_rows(found: FileRows) -> dict[str, Any]:
    """A ``FileStatusOut``."""
    asset, steps = found.asset, found.steps_of_run
    return FileStatusOut.of(
        asset,
        progress=file_progress(asset),
        steps=[StepOut.of(step, name=step.step) for step in steps],
        owed=[step.step for step in steps if step.state == StepState.OWED],
    )


def file_progress(asset: FileAsset) -> int:
    """0 to 100; 100 only for a file that is ready."""
    return 100 if asset.status == FileStatus.READY else min(asset.progress, 99)
