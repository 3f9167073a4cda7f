"""Run one step over an open file: in the sandbox where it parses, here where it does not."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO, cast

import structlog

from windlass.files.api import FileAsset, StepState, StoredRendition, find_original_file, places
from windlass.jobs import api as jobs
from windlass.kernel.clock import monotonic
from windlass.processing import records, scanning, scratch
from windlass.processing.contract import (
    About,
    Cancelled,
    MadeRendition,
    NoRoom,
    Owed,
    PermanentError,
    Step,
    StepContext,
    StepResult,
    Unavailable,
)
from windlass.processing.outcome import LONGEST_DETAIL, accept, announced, document, log_notes, text
from windlass.processing.plan import PlannedStep
from windlass.processing.reading import apart
from windlass.processing.registry import missing
from windlass.processing.registry import step as installed_step
from windlass.processing.sandbox.client import Order
from windlass.processing.scanners.contract import ScanResult
from windlass.processing.work import Ended, Work
from windlass.processing.workshop import Bench, own_bench
from windlass.storage.registry import store

log = structlog.get_logger(__name__)


def run_step(work: Work, planned: PlannedStep, bench: Bench, lost: threading.Event) -> Ended:
    """How the step ended, its renditions stored. A step past the gate that cannot be done has failed, and no more.

    One that cannot be done now, and need not be, is owed. Raises TransientError, PermanentError (in the gate),
    Cancelled, StoreError, Fenced.
    """
    began, step = monotonic(), installed_step(planned.name)
    if lacking := missing(step.about):
        return Ended(planned, StepState.OWED, 0, lacking, {})
    try:
        result, stored = _done(work, planned, step, bench, lost)
    except (Owed, Unavailable) as reason:
        if isinstance(reason, Unavailable) and not work.filling:
            raise
        return Ended(planned, StepState.OWED, monotonic() - began, text(str(reason), LONGEST_DETAIL), {})
    except PermanentError as error:
        log.info(
            "step.failed", step=planned.name, file_id=str(work.asset.id), reason=str(error), notes=log_notes(error)
        )
        if planned.gate and not work.filling:
            raise
        return Ended(planned, StepState.FAILED, monotonic() - began, text(str(error), LONGEST_DETAIL), {})
    return _ended(planned, result, stored, monotonic() - began)


def runs_in_session(name: str) -> bool:
    """Whether this step needs the child that the file's steps share."""
    about = installed_step(name).about
    return about.isolated and not about.long and missing(about) is None


def _ended(planned: PlannedStep, result: StepResult, stored: Sequence[StoredRendition], seconds: float) -> Ended:
    verdict = result.verdict
    if verdict is not None:
        return Ended(planned, StepState.FAILED, seconds, verdict.document()["detail"], result.facts, stored, verdict)
    state = StepState.SKIPPED if result.skipped else StepState.DONE
    return Ended(planned, state, seconds, result.detail, result.facts, stored)


def _done(
    work: Work, planned: PlannedStep, step: Step, shared: Bench, lost: threading.Event
) -> tuple[StepResult, list[StoredRendition]]:
    with ExitStack() as stack:
        bench = stack.enter_context(own_bench(shared, step.about)) if step.about.long else shared
        result = _result(work, planned, step, bench, lost)
        return result, [_store(work, made, step.about, bench.output) for made in result.renditions]


def _result(work: Work, planned: PlannedStep, step: Step, bench: Bench, lost: threading.Event) -> StepResult:
    report = _Reporter(work, planned, lost)
    try:
        said = (_isolated if step.about.isolated else _here)(work, step, bench, report)
    except PermanentError as error:
        if step.about.makes and scratch.is_full():  # whatever the library made of that
            raise NoRoom from error
        raise
    if lost.is_set():
        raise Cancelled
    return accept(step.about, said, os.fstat(bench.output.fileno()).st_size if step.about.makes else 0)


def _here(work: Work, step: Step, bench: Bench, report: _Reporter) -> Mapping[str, Any]:
    with ExitStack() as stack:
        file = stack.enter_context(apart(bench.file))
        context = StepContext(file, work.facts(), work.rules, None, report, _finder(work.asset))
        context.scan = _scanner(bench.file)
        if step.about.makes:
            os.ftruncate(bench.output.fileno(), 0)
            context.output = stack.enter_context(_view(bench.output, "wb"))
        return document(step.run(context))


def _view(shared: BinaryIO, mode: str) -> BinaryIO:
    """Children share the descriptor, and move its position: a buffer that was filled before would not notice."""
    view = cast("BinaryIO", open(shared.fileno(), mode, closefd=False))  # noqa: SIM115  the caller closes it
    view.seek(0)
    return view


def _isolated(work: Work, step: Step, bench: Bench, report: _Reporter) -> Mapping[str, Any]:
    order = Order(step.about.name, work.facts(), work.rules, makes=bool(step.about.makes))
    return bench.session.run(order, report, report.lost, report.look)


def _finder(asset: FileAsset) -> Callable[[str], str | None]:
    def find_original(sha256: str) -> str | None:
        found = find_original_file(asset, sha256)
        return str(found) if found else None

    return find_original


def _scanner(file: BinaryIO) -> Callable[[], ScanResult]:
    def scan() -> ScanResult:
        with apart(file) as reading:
            return scanning.scan(reading, os.fstat(file.fileno()).st_size)

    return scan


class _Reporter:
    """Takes a step's progress, as often as it likes; the records are told at most four times a second."""

    def __init__(self, work: Work, step: PlannedStep, lost: threading.Event) -> None:
        self.lost = lost
        self._work, self._step = work, step

    def __call__(self, percent: int) -> None:
        self._work.progressed(self._step, max(0, min(int(percent), 100)))
        self.look()

    def look(self) -> None:
        """Called now and then while the step runs: what earlier steps found is not to wait for it."""
        if self.lost.is_set():
            raise Cancelled
        if not self._work.run.is_saved and monotonic() - self._work.recorded_at >= records.TOGETHER:
            records.so_far(self._work)


def _store(work: Work, made: MadeRendition, about: About, output: BinaryIO) -> StoredRendition:
    """The key is the same at every attempt, so that a retry replaces. Who has lost the job replaces nothing."""
    makes = announced(about, made.name)
    kind = makes.kind if makes else ""  # it was accepted, so it was announced
    key = f"renditions/{work.asset.id}/{made.name}"
    target = store(places.store_of(work.asset))
    if not jobs.is_held(work.held):
        raise jobs.LeaseLost(f"job {work.held.job_id} is no longer held")
    with _view(output, "rb") as reading:
        reading.seek(made.offset)
        target.put(key, reading, made.length)
    return StoredRendition(made.name, kind, made.mime_type, target.name, key, made.length, made.width, made.height)
