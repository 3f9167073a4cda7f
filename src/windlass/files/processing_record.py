"""The record of a file in processing: the file, its steps and what they found, as the worker that claimed it sees them.

Changes are collected in memory and written together in a few statements, because each transaction costs the database a
sync. Until then nobody else sees them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from windlass.database import rows
from windlass.events.api import EventType, Recorder
from windlass.files.assets import FACT_COLUMNS, IllegalTransition, StepOutcome, outcome_event, steps_of_file
from windlass.files.entity_graph import PreparedGraph, entity_graph
from windlass.files.models import Blob, FileAsset, Rendition, StepRun
from windlass.files.search_facts import searchable_facts
from windlass.files.states import FILE_TRANSITIONS, FileStatus, StepState
from windlass.files.text_index import PreparedText, text_index
from windlass.kernel.clock import now

_UNFINISHED = (StepState.PENDING, StepState.RUNNING)


class ProcessingRecord:
    """``asset`` and ``steps`` (rows by step name, in order) have the values that ``save`` will write. Not thread-safe.

    ``untouched``: no job of this run was claimed before, so that no steps need be read.
    """

    def __init__(self, asset: FileAsset, *, untouched: bool = False) -> None:
        self.asset = asset
        self.steps: dict[str, StepRun] = {} if untouched else {row.step: row for row in steps_of_file(asset)}
        self._saved_status = asset.status
        self._values: dict[str, Any] = {}
        self._changed_steps: dict[str, StepRun] = {}
        self._renditions: list[Rendition] = []
        self._events: list[tuple[EventType, dict[str, Any]]] = []
        self._digest: str | None = None
        self._text: PreparedText | None = None
        self._graph: PreparedGraph | None = None
        self._without_graph = False

    def add_steps(self, planned: Iterable[tuple[str, str]]) -> None:
        """Add the planned steps, as stage and name, that have no row yet, as pending."""
        for stage, name in planned:
            if name not in self.steps:
                of_file = {"file_id": self.asset.id, "run": self.asset.run}
                row = StepRun(**of_file, stage=stage, step=name, position=len(self.steps))
                self.steps[name] = self._changed_steps[name] = row

    def start_stage(self, stage: str) -> None:
        """Set the stage; a pending file becomes processing."""
        self._set(stage=stage, message="")
        if self.asset.status == FileStatus.PENDING:
            self.set_status(FileStatus.PROCESSING)
        self.add_event(EventType.FILE_STAGE, {"stage": stage, "progress": self.asset.progress})

    def start_step(self, name: str) -> None:
        row = self.steps.get(name)
        if row is None or (row.state, row.progress) != (StepState.RUNNING, 0):
            self._set_step(name, state=StepState.RUNNING, progress=0)

    def set_progress(self, name: str, percent: int, overall: int, message: str) -> None:
        """Raise the progress of a step, and that of the file unless it is ready; neither ever falls."""
        self._set_step(name, progress=max(self.steps[name].progress, percent))
        if self.asset.status == FileStatus.PROCESSING:
            self._raise_progress(overall)
            self._set(message=message[:500])

    def end_step(self, outcome: StepOutcome, overall: int | None = None) -> None:
        """Set a step's outcome; its facts become the file's. ``overall``: the file's progress, if it rises."""
        self._set_step(
            outcome.name,
            state=outcome.state,
            seconds=round(outcome.seconds, 4),
            detail=outcome.detail,
            progress=100 if outcome.state == StepState.DONE else 0,
        )
        self._add_facts(outcome.facts or {})
        if overall is not None:
            self._raise_progress(overall)
        data = {"step": outcome.name, "state": outcome.state.value, "progress": self.asset.progress}
        self.add_event(EventType.FILE_STEP, {**data, "message": outcome.detail})

    def add_renditions(self, renditions: Iterable[Rendition]) -> None:
        """Add unsaved rows, whose objects are stored. A rendition replaces the row of the same name, as it replaced the
        object."""
        self._renditions += renditions

    def set_text(self, text: PreparedText) -> None:
        """Index this text of the file with the next save, in place of what was indexed before."""
        self._text = text

    def set_graph(self, graph: PreparedGraph) -> None:
        """Store these entities of the file with the next save, in place of those before."""
        self._graph, self._without_graph = graph, False

    def remove_graph(self) -> None:
        """Store no entities of the file any more, with the next save."""
        self._graph, self._without_graph = None, True

    @property
    def new_text(self) -> PreparedText | None:
        """The text that ``save`` will index."""
        return self._text

    @property
    def new_renditions(self) -> Sequence[Rendition]:
        """Rows that ``save`` will write."""
        return tuple(self._renditions)

    @property
    def unsaved_renditions(self) -> set[str]:
        """Names of the renditions that are stored and have no saved row yet."""
        return {rendition.name for rendition in self._renditions}

    def pass_gate(self) -> None:
        self._set(gate_passed=True)

    def skip_steps(self, *, owed: bool = False, names: Sequence[str] | None = None) -> None:
        """Mark pending and running steps as skipped, of ``names`` only if given; ``owed``: postponed ones too."""
        states = (*_UNFINISHED, StepState.OWED) if owed else _UNFINISHED
        for name, row in self.steps.items():
            if row.state in states and (names is None or name in names):
                self._set_step(name, state=StepState.SKIPPED)

    def owe_again(self, name: str, detail: str) -> None:
        """Postpone a step that has ended: what it works on has changed."""
        self._set_step(name, state=StepState.OWED, detail=detail, progress=0)

    def set_status(self, target: FileStatus, **values: Any) -> None:
        """Change the file's status and other columns. Raises IllegalTransition."""
        if target not in FILE_TRANSITIONS[FileStatus(self.asset.status)]:
            raise IllegalTransition(f"file {self.asset.id} may not become {target}")
        self._set(status=target, **values)
        event = outcome_event(self.asset)
        if event is not None:
            self.add_event(*event)

    def add_event(self, kind: EventType, data: dict[str, Any]) -> None:
        self._events.append((kind, data))

    @property
    def is_saved(self) -> bool:
        knowledge = self._text or self._graph or self._without_graph
        return not (self._values or self._changed_steps or self._renditions or self._events or knowledge)

    def save(self, recorder: Recorder) -> None:
        """Write the changes inside the caller's ``events.recording()``; call ``mark_saved`` once it is committed.

        Raises IllegalTransition if the file's run or status was changed by another.
        """
        if self._values:
            expected = {"id": self.asset.id, "run": self.asset.run, "status": self._saved_status}
            if not rows.update(FileAsset, expected, {"updated_at": now(), **self._values}):
                raise IllegalTransition(f"file {self.asset.id} is no longer {self._saved_status}")
        if self._digest is not None and self.asset.blob is not None and self.asset.blob.sha256 is None:
            rows.update(Blob, {"id": self.asset.blob.id}, {"sha256": self._digest})
        if self._changed_steps:
            columns = ("state", "seconds", "progress", "detail")
            rows.insert(list(self._changed_steps.values()), unique=("file", "run", "step"), replace=columns)
        self._save_renditions()
        index = text_index()
        if self._text is not None and index is not None:
            index.replace(self.asset.id, self._text)
        self._save_graph()
        for kind, data in self._events:
            recorder.add(kind, owner=self.asset.owner, file_id=self.asset.id, data=data)

    def mark_saved(self) -> None:
        self._saved_status = self.asset.status
        if self._digest is not None and self.asset.blob is not None:
            self.asset.blob.sha256 = self._digest
        self._digest = self._text = self._graph = None
        self._without_graph = False
        for changes in (self._values, self._changed_steps, self._renditions, self._events):
            changes.clear()

    def _save_renditions(self) -> None:
        if not self._renditions:
            return
        latest = {rendition.name: rendition for rendition in self._renditions}
        for rendition in latest.values():
            rendition.file_id, rendition.run = self.asset.id, self.asset.run
        columns = ("kind", "mime_type", "store", "key", "size", "width", "height", "run")
        rows.insert(list(latest.values()), unique=("file", "name"), replace=columns)

    def _save_graph(self) -> None:
        graph = entity_graph()
        if graph is None:
            return
        if self._graph is not None:
            graph.replace(self.asset.id, self._graph)
        elif self._without_graph:
            graph.remove(self.asset.id)

    def _add_facts(self, facts: Mapping[str, Any]) -> None:
        others = dict(facts)
        values = {name: others.pop(name) for name in FACT_COLUMNS if name in others}
        if "duplicate_of" in others:
            original = others.pop("duplicate_of")
            values["duplicate_of_id"] = uuid.UUID(original) if original else None
        if others:
            values["extra_attributes"] = self.asset.extra_attributes | others
            found_by = searchable_facts(values["extra_attributes"])
            if found_by != self.asset.search_facts:
                values["search_facts"] = found_by
        if "checksum" in values:
            self._digest = values["checksum"]
        self._set(**values)

    def _raise_progress(self, overall: int) -> None:
        self._set(progress=max(self.asset.progress, min(overall, 99)))

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self.asset, name, value)
        self._values |= values

    def _set_step(self, name: str, **values: Any) -> None:
        row = self.steps.get(name)
        if row is not None:
            for field, value in values.items():
                setattr(row, field, value)
            self._changed_steps[name] = row
