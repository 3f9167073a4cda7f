"""Run one step over an open file: in the sandbox if it parses the file, else in this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any, BinaryIO, cast

import structlog

from windlass.events.api import recording
from windlass.files.api import (
    NO_TEXT,
    Rendition,
    StepState,
    find_original_file,
    store_of_file,
    text_index,
    text_of_file,
)
from windlass.jobs import api as jobs
from windlass.kernel import process_counters
from windlass.kernel.clock import monotonic
from windlass.kernel.object_keys import rendition_key
from windlass.kernel.seekable_reader import independent_reader
from windlass.processing.contract import (
    About,
    Cancelled,
    DiskFull,
    ExtractedEntities,
    IndexedText,
    MadeRendition,
    Owed,
    PermanentError,
    Step,
    StepContext,
    StepResult,
    Unavailable,
)
from windlass.processing.entity_extraction import extract_entities
from windlass.processing.job_run import SAVE_INTERVAL, EndedStep, JobRun
from windlass.processing.plan import PlannedStep
from windlass.processing.registry import missing
from windlass.processing.registry import step as installed_step
from windlass.processing.sandbox.client import Order
from windlass.processing.scanners import configured_scanner
from windlass.processing.scanners.contract import ScanResult
from windlass.processing.step_result import LONGEST_DETAIL, announced, checked_result, checked_text, log_notes, to_json
from windlass.processing.step_services import guarded_services
from windlass.processing.step_workspace import StepWorkspace, is_scratch_full, long_step_workspace
from windlass.processing.text_embedding import embed_text
from windlass.storage.registry import store

log = structlog.get_logger(__name__)

PDF = "application/pdf"


def run_step(run: JobRun, planned: PlannedStep, workspace: StepWorkspace, lost: threading.Event) -> EndedStep:
    """Run a step and store its renditions.

    A step after the gate that fails for good is recorded as failed; one that cannot run now and may be postponed is
    postponed. ``lost`` is set when the job's lease is lost.

    Raises TransientError, PermanentError (in the gate), Cancelled, StoreError, LeaseLost.
    """
    began, outcome = monotonic(), "error"
    try:
        ended = _run_step(run, planned, workspace, lost)
        outcome = "refused" if ended.verdict is not None else ended.state.value
        return ended
    except PermanentError:
        outcome = "failed"
        raise
    finally:
        process_counters.step_run_seconds.observe(monotonic() - began, planned.name, outcome)


def _run_step(run: JobRun, planned: PlannedStep, workspace: StepWorkspace, lost: threading.Event) -> EndedStep:
    started, step = monotonic(), installed_step(planned.name)
    if missing_extra := missing(step.about):
        return EndedStep(planned, StepState.OWED, 0, missing_extra, {})
    try:
        result, stored = _run_and_store(run, planned, step, workspace, lost)
    except (Owed, Unavailable) as reason:
        if isinstance(reason, Unavailable) and not run.backfilling:
            raise
        return _without_result(planned, StepState.OWED, started, reason)
    except PermanentError as error:
        log.info("step.failed", step=planned.name, file_id=str(run.asset.id), reason=str(error), notes=log_notes(error))
        if planned.gate and not run.backfilling:
            raise
        return _without_result(planned, StepState.FAILED, started, error)
    state, detail, verdict = StepState.SKIPPED if result.skipped else StepState.DONE, result.detail, result.verdict
    if verdict is not None:
        state, detail = StepState.FAILED, verdict.document()["detail"]
    return EndedStep(planned, state, monotonic() - started, detail, result.facts, stored, verdict)


def needs_shared_child(name: str) -> bool:
    """Return whether this step runs in the sandbox child that the file's steps share."""
    about = installed_step(name).about
    return about.isolated and not about.long and missing(about) is None


def _without_result(planned: PlannedStep, state: StepState, started: float, reason: Exception) -> EndedStep:
    return EndedStep(planned, state, monotonic() - started, checked_text(str(reason), LONGEST_DETAIL), {})


def _run_and_store(
    run: JobRun, planned: PlannedStep, step: Step, shared: StepWorkspace, lost: threading.Event
) -> tuple[StepResult, list[Rendition]]:
    about = step.about
    with long_step_workspace(shared, about) if about.long else nullcontext(shared) as workspace:
        run_step_there = _run_in_sandbox if about.isolated else _run_here
        try:
            answer = run_step_there(run, step, workspace, _Progress(run, planned, lost))
        except PermanentError as error:
            if about.makes and is_scratch_full():  # libraries report a full disk in many ways
                raise DiskFull from error
            raise
        if lost.is_set():
            raise Cancelled
        written = os.fstat(workspace.output.fileno()).st_size if about.makes else 0
        result = checked_result(about, answer, written)
        return result, [_store(run, each, about, workspace.output) for each in result.renditions]


def _run_in_sandbox(run: JobRun, step: Step, workspace: StepWorkspace, progress: _Progress) -> Mapping[str, Any]:
    order = Order(step.about.name, run.known_facts(), run.profile_document, makes=bool(step.about.makes))
    return workspace.session.run(order, progress, progress.lost, progress.save_if_due)


def _run_here(run: JobRun, step: Step, workspace: StepWorkspace, progress: _Progress) -> Mapping[str, Any]:
    def find_original(sha256: str) -> str | None:
        original = find_original_file(run.asset, sha256)
        return str(original) if original else None

    def scan() -> ScanResult:
        with independent_reader(workspace.file) as reader:
            return configured_scanner.scan(reader, os.fstat(workspace.file.fileno()).st_size)

    with ExitStack() as stack:
        file = stack.enter_context(independent_reader(workspace.file))

        def index_text() -> IndexedText | None:
            return _index_text(run)

        def extract() -> ExtractedEntities | None:
            return extract_entities(run, progress)

        context = StepContext(
            file,
            run.known_facts(),
            run.profile_document,
            report=progress,
            find_original=find_original,
            scan=scan,
            index_text=index_text,
            embed_text=lambda: embed_text(run, partial(_leased_transaction, run)),
            extract_entities=extract,
        )
        if step.about.makes:
            os.ftruncate(workspace.output.fileno(), 0)
            context.output = stack.enter_context(_reopened(workspace.output, "wb"))
        stack.enter_context(guarded_services(step.about))
        return to_json(step.run(context))


def _index_text(run: JobRun) -> IndexedText | None:
    """Prepare the file's text for the index, which is changed when the run is saved. Raises StoreError."""
    index = text_index()
    if index is None:
        return None
    asset = run.asset
    text = text_of_file(asset, run.record.new_renditions)
    prepared = NO_TEXT
    if text is not None:
        prepared = index.prepare(text, one_page=asset.mime_type == PDF and asset.page_count == 1)
        index.begin(asset.id, prepared, partial(_leased_transaction, run))
    run.record.set_text(prepared)
    return IndexedText(len(prepared.passages), prepared.language) if prepared.passages else None


@contextmanager
def _leased_transaction(run: JobRun) -> Iterator[None]:
    """A transaction that writes about the file only while the job's lease lasts. Raises LeaseLost."""
    with recording():
        jobs.renew_lease(run.claim)
        yield


def _reopened(shared: BinaryIO, mode: str) -> BinaryIO:
    """A new buffer over the shared descriptor: children move its position, which an old buffer would not notice."""
    reopened = cast("BinaryIO", open(shared.fileno(), mode, closefd=False))  # noqa: SIM115  the caller closes it
    reopened.seek(0)
    return reopened


class _Progress:
    """Receives a step's progress, and saves the job run at most four times a second while the step runs."""

    def __init__(self, run: JobRun, step: PlannedStep, lost: threading.Event) -> None:
        self.lost = lost
        self._run, self._step = run, step

    def __call__(self, percent: int) -> None:
        self._run.set_progress(self._step, max(0, min(int(percent), 100)))
        self.save_if_due()

    def save_if_due(self) -> None:
        """Called at intervals while the step runs: results of earlier steps do not wait for it. Raises Cancelled."""
        if self.lost.is_set():
            raise Cancelled
        if not self._run.record.is_saved and monotonic() - self._run.saved_at >= SAVE_INTERVAL:
            self._run.save()


def _store(run: JobRun, rendition: MadeRendition, about: About, output: BinaryIO) -> Rendition:
    """Store a rendition under a key that each attempt uses again. Raises LeaseLost before replacing another's."""
    makes = announced(about, rendition.name)
    kind = makes.kind if makes else ""  # never empty: a checked result has announced renditions only
    key = rendition_key(run.asset.id, rendition.name)
    target = store(store_of_file(run.asset))
    if not jobs.is_held(run.claim):
        raise jobs.LeaseLost(f"job {run.claim.job_id} is no longer held")
    with _reopened(output, "rb") as source:
        source.seek(rendition.offset)
        target.put(key, source, rendition.length)
    stored = {"store": target.name, "key": key, "size": rendition.length, "mime_type": rendition.mime_type}
    return Rendition(name=rendition.name, kind=kind, width=rendition.width, height=rendition.height, **stored)
