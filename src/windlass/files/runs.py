"""A file's present run, as the worker that holds its job sees it: its record, its steps, what they found.

Changes are collected in memory and written together, a few statements for all of them, because each transaction costs
the database a sync and each statement its share. Until then nobody else sees them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from windlass.database import rows
from windlass.events.api import EventType, Recorder
from windlass.files.assets import (
    FACT_COLUMNS,
    IllegalTransition,
    StepOutcome,
    StepPlan,
    StoredRendition,
    outcome_event,
    steps_of_file,
)
from windlass.files.models import Blob, FileAsset, Rendition, StepRun
from windlass.files.states import FILE_TRANSITIONS, FileStatus, StepState
from windlass.kernel.clock import now

_UNDONE = (StepState.PENDING, StepState.RUNNING)


class FileRun:
    """``asset`` and ``rows`` (the steps by name, in order) are as they will be once saved. One thread at a time.

    ``untouched``: nobody has worked on this run yet, so it has no steps to be looked for."""

    def __init__(self, asset: FileAsset, *, untouched: bool = False) -> None:
        self.asset = asset
        self.rows: dict[str, StepRun] = {} if untouched else {row.step: row for row in steps_of_file(asset)}
        self._status = asset.status
        self._values: dict[str, Any] = {}
        self._changed: dict[str, StepRun] = {}
        self._renditions: list[StoredRendition] = []
        self._events: list[tuple[EventType, dict[str, Any]]] = []
        self._digest: str | None = None

    def plan(self, planned: Iterable[StepPlan]) -> None:
        """The steps that are not yet known, in order, as pending."""
        for step in planned:
            if step.name not in self.rows:
                row = StepRun(
                    file_id=self.asset.id, run=self.asset.run, stage=step.stage, step=step.name, position=len(self.rows)
                )
                self.rows[step.name] = self._changed[step.name] = row

    def begin_stage(self, stage: str) -> None:
        """Show the stage; a pending file is processing from here on."""
        self._set(stage=stage, message="")
        if self.asset.status == FileStatus.PENDING:
            self.become(FileStatus.PROCESSING)
        self.tell(EventType.FILE_STAGE, {"stage": stage, "progress": self.asset.progress})

    def start(self, name: str) -> None:
        row = self.rows.get(name)
        if row is None or (row.state, row.progress) != (StepState.RUNNING, 0):
            self._step(name, state=StepState.RUNNING, progress=0)

    def progress(self, name: str, percent: int, overall: int, message: str) -> None:
        """How far a step is; neither figure falls. What is made good in a file that is ready shows in its step only."""
        self._step(name, progress=max(self.rows[name].progress, percent))
        if self.asset.status == FileStatus.PROCESSING:
            self._raise(overall)
            self._set(message=message[:500])

    def end(self, outcome: StepOutcome, overall: int | None = None) -> None:
        """A step's result; its facts become the record's. ``overall``: the file's progress, where it rises."""
        self._step(
            outcome.name,
            state=outcome.state,
            seconds=round(outcome.seconds, 4),
            detail=outcome.detail,
            progress=100 if outcome.state == StepState.DONE else 0,
        )
        self._know(outcome.facts or {})
        if overall is not None:
            self._raise(overall)
        told = {"step": outcome.name, "state": outcome.state.value, "progress": self.asset.progress}
        self.tell(EventType.FILE_STEP, {**told, "message": outcome.detail})

    def made(self, renditions: Iterable[StoredRendition]) -> None:
        """Names are unique per file: making one again replaces the row, as it replaced the object."""
        self._renditions += renditions

    @property
    def unsaved_renditions(self) -> set[str]:
        """Names of what has been made and whose rows do not say so yet."""
        return {made.name for made in self._renditions}

    def pass_gate(self) -> None:
        self._set(gate_passed=True)

    def skip(self, *, owed: bool = False, names: Sequence[str] | None = None) -> None:
        """What is still pending or running will not be done in this run; ``owed``: nor what was left for later."""
        states = (*_UNDONE, StepState.OWED) if owed else _UNDONE
        for name, row in self.rows.items():
            if row.state in states and (names is None or name in names):
                self._step(name, state=StepState.SKIPPED)

    def become(self, target: FileStatus, **values: Any) -> None:
        """Raises IllegalTransition."""
        if target not in FILE_TRANSITIONS[FileStatus(self.asset.status)]:
            raise IllegalTransition(f"file {self.asset.id} may not become {target}")
        self._set(status=target, **values)
        told = outcome_event(self.asset)
        if told is not None:
            self.tell(*told)

    def tell(self, kind: EventType, data: dict[str, Any]) -> None:
        self._events.append((kind, data))

    @property
    def is_saved(self) -> bool:
        return not (self._values or self._changed or self._renditions or self._events)

    def save(self, tell: Recorder) -> None:
        """Write what has changed, inside the caller's ``events.recording()``; once it is committed, call ``saved``.

        Raises IllegalTransition where the file is no longer as this run has it.
        """
        if self._values:
            as_known = {"id": self.asset.id, "run": self.asset.run, "status": self._status}
            if not rows.update(FileAsset, as_known, {"updated_at": now(), **self._values}):
                raise IllegalTransition(f"file {self.asset.id} is no longer {self._status}")
        if self._digest is not None and self.asset.blob is not None and self.asset.blob.sha256 is None:
            rows.update(Blob, {"id": self.asset.blob.id}, {"sha256": self._digest})
        self._save_steps()
        self._save_renditions()
        for kind, data in self._events:
            tell.add(kind, owner=self.asset.owner, file_id=self.asset.id, data=data)

    def saved(self) -> None:
        self._status = self.asset.status
        if self._digest is not None and self.asset.blob is not None:
            self.asset.blob.sha256 = self._digest
        self._digest = None
        for kept in (self._values, self._changed, self._renditions, self._events):
            kept.clear()

    def _save_steps(self) -> None:
        if not self._changed:
            return
        changes = ("state", "seconds", "progress", "detail")
        rows.insert(list(self._changed.values()), unique=("file", "run", "step"), replace=changes)

    def _save_renditions(self) -> None:
        if not self._renditions:
            return
        fields = ["kind", "mime_type", "store", "key", "size", "width", "height"]
        made = [
            Rendition(
                file_id=self.asset.id,
                name=made.name,
                run=self.asset.run,
                **{name: getattr(made, name) for name in fields},
            )
            for made in {made.name: made for made in self._renditions}.values()
        ]
        rows.insert(made, unique=("file", "name"), replace=(*fields, "run"))

    def _know(self, facts: Mapping[str, Any]) -> None:
        found = dict(facts)
        values = {name: found.pop(name) for name in FACT_COLUMNS if name in found}
        if "duplicate_of" in found:
            original = found.pop("duplicate_of")
            values["duplicate_of_id"] = uuid.UUID(original) if original else None
        if found:
            values["extra_attributes"] = self.asset.extra_attributes | found
        if "checksum" in values:
            self._digest = values["checksum"]
        self._set(**values)

    def _raise(self, overall: int) -> None:
        self._set(progress=max(self.asset.progress, min(overall, 99)))

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self.asset, name, value)
        self._values |= values

    def _step(self, name: str, **values: Any) -> None:
        row = self.rows.get(name)
        if row is not None:
            for field, value in values.items():
                setattr(row, field, value)
            self._changed[name] = row
