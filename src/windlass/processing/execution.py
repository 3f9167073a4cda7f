"""Run one step over an open file: in the sandbox where it parses, here where it does not."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO

import structlog

from windlass import conf
from windlass.conf import MB
from windlass.files.api import FileAsset, StepState, StoredRendition, assets
from windlass.jobs import api as jobs
from windlass.kernel.clock import monotonic
from windlass.processing import scratch, workshop
from windlass.processing.contract import Cancelled, MadeRendition, Makes, PermanentError, Step, StepContext, StepResult
from windlass.processing.outcome import LONGEST_DETAIL, accept, document, text
from windlass.processing.plan import PlannedStep
from windlass.processing.registry import step as installed_step
from windlass.processing.sandbox.client import Order
from windlass.processing.sandbox.hardening import Limits
from windlass.processing.work import Ended, Work
from windlass.storage.registry import store

log = structlog.get_logger(__name__)

#: Progress reaches the records at most this often (http-api section 6): seconds.
TELL_EVERY = 0.25


def run_step(work: Work, planned: PlannedStep, file: BinaryIO, lost: threading.Event) -> Ended:
    """How the step ended, its renditions stored. A step past the gate that cannot be done has failed, and no more.

    Raises TransientError, PermanentError (in the gate), Cancelled, StoreError, Fenced.
    """
    began, step = monotonic(), installed_step(planned.name)
    try:
        with ExitStack() as stack:
            output = stack.enter_context(scratch.output()) if step.about.makes else None
            result = _result(work, planned, step, file, output, lost)
            stored = [_store(work, made, step.about.makes, output) for made in result.renditions if output is not None]
    except PermanentError as error:
        notes = getattr(error, "__notes__", [])
        log.info("step.failed", step=planned.name, file_id=str(work.asset.id), reason=str(error), notes=notes)
        if planned.gate:
            raise
        return Ended(planned, StepState.FAILED, monotonic() - began, text(str(error), LONGEST_DETAIL), {})
    return _ended(planned, result, stored, monotonic() - began)


def _ended(planned: PlannedStep, result: StepResult, stored: Sequence[StoredRendition], seconds: float) -> Ended:
    verdict = result.verdict
    if verdict is not None:
        return Ended(planned, StepState.FAILED, seconds, verdict.detail, result.facts, stored, verdict)
    return Ended(planned, StepState.DONE, seconds, result.detail, result.facts, stored)


def _result(
    work: Work, planned: PlannedStep, step: Step, file: BinaryIO, output: BinaryIO | None, lost: threading.Event
) -> StepResult:
    report = _Reporter(work, planned, lost)
    said = (_isolated if step.about.isolated else _here)(work, step, file, output, report)
    if lost.is_set():
        raise Cancelled
    return accept(step.about, said, os.fstat(output.fileno()).st_size if output is not None else 0)


def _here(work: Work, step: Step, file: BinaryIO, output: BinaryIO | None, report: _Reporter) -> Mapping[str, Any]:
    file.seek(0)
    context = StepContext(file, work.facts(), work.profile.document(), output, report, _finder(work.asset))
    said = document(step.run(context))
    if output is not None:
        output.flush()
    return said


def _isolated(work: Work, step: Step, file: BinaryIO, output: BinaryIO | None, report: _Reporter) -> Mapping[str, Any]:
    settings = conf.get()
    order = Order(
        step.about.name,
        work.facts(),
        work.profile.document(),
        Limits(memory=settings.step_memory_mb * MB, seconds=settings.step_timeout_seconds),
        file.fileno(),
        output.fileno() if output is not None else None,
    )
    return workshop.sandbox().run(order, report, report.lost)


def _finder(asset: FileAsset) -> Callable[[str], str | None]:
    def find_original(sha256: str) -> str | None:
        found = assets.find_original(asset, sha256)
        return str(found) if found else None

    return find_original


class _Reporter:
    """Takes a step's progress, as often as it likes, and tells it now and then."""

    def __init__(self, work: Work, step: PlannedStep, lost: threading.Event) -> None:
        self.lost = lost
        self._work, self._step, self._told = work, step, monotonic()

    def __call__(self, percent: int) -> None:
        if self.lost.is_set():
            raise Cancelled
        if monotonic() - self._told < TELL_EVERY:
            return
        self._told = monotonic()
        overall = self._work.progress(self._step, percent)
        assets.step_progress(self._work.asset, self._step.name, percent, overall, self._step.title)


def _store(work: Work, made: MadeRendition, makes: Sequence[Makes], output: BinaryIO) -> StoredRendition:
    """The key is the same at every attempt, so that a retry replaces. Who has lost the job replaces nothing."""
    kind = next(one.kind for one in makes if one.name == made.name)
    key = f"renditions/{work.asset.id}/{made.name}"
    target = store()
    jobs.keep(work.held)
    output.seek(made.offset)
    target.put(key, output, made.length)
    return StoredRendition(made.name, kind, made.mime_type, target.name, key, made.length, made.width, made.height)
