"""Run a job: claim it, run the steps of its stage and of the stages that follow, record the outcome."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Collection

import structlog
from structlog.contextvars import bound_contextvars

from windlass.database.connection import close_stale_connections
from windlass.events.api import recording
from windlass.files.api import (
    Blob,
    delete_objects,
    delete_renditions_except,
    entity_graph,
    find_duplicate,
    load_file,
    share_blob,
    text_index,
)
from windlass.jobs import api as jobs
from windlass.jobs.api import Queue, Stage
from windlass.kernel import spans
from windlass.kernel.clock import monotonic
from windlass.kernel.disk_full import is_disk_full
from windlass.processing.contract import Cancelled, DiskFull, PermanentError, StepError, Unavailable
from windlass.processing.draining import HandedBack, is_ending
from windlass.processing.heartbeat import heartbeat
from windlass.processing.job_run import (
    SAVE_INTERVAL,
    EndedStep,
    JobRun,
    finish_without_work,
    is_backfilling,
    is_runnable,
)
from windlass.processing.plan import PlannedStep
from windlass.processing.step_result import LONGEST_DETAIL, checked_text, log_notes
from windlass.processing.step_runner import needs_shared_child, run_step
from windlass.processing.step_workspace import StepWorkspace, open_workspace
from windlass.storage.contract import ObjectMissing, StoreError, StoreFull, StoreUnavailable

log = structlog.get_logger(__name__)

#: The step that indexes the text.
INDEX = "index"
#: The step that finds entities in it.
GRAPH = "graph"

#: How a job run ended, in its span.
DONE, POSTPONED, RETRIED, DEAD, LEASE_LOST = "done", "postponed", "retried", "dead", "lease_lost"
#: Another worker had claimed the job: it was announced twice.
NOT_CLAIMED = "not_claimed"
_GOOD_OUTCOMES = frozenset({DONE, POSTPONED, NOT_CLAIMED})
#: Seconds after which a job is run again whose file could not be read because its store was away, while the store's
#: circuit breaker is closed.
STORE_RETRY_SECONDS = 10.0
#: How often another duplicate is looked for if one was deleted meanwhile.
SHARE_ATTEMPTS = 3


def run_job(job_id: uuid.UUID, holder: str, queues: Collection[Queue] = jobs.QUEUES) -> None:
    """Claim the job under this worker's name; run its stage, and those that follow at once.

    Does nothing if the job cannot be claimed. A failure is recorded, not raised. May be called in any thread.
    """
    close_stale_connections()
    try:
        claim = jobs.find_claimable(job_id, holder)
        if claim is not None:
            with bound_contextvars(request_id=claim.request_id, job_id=str(claim.job_id)):
                began = monotonic()
                _run_as_span(claim, queues)
                log.debug("job.ended", file_id=str(claim.file_id), seconds=round(monotonic() - began, 3))
    finally:
        close_stale_connections()


def _run_as_span(claim: jobs.Claim, queues: Collection[Queue]) -> None:
    """Measure the job run as a part of the trace that queued the job."""
    attributes: spans.Attributes = {
        "windlass.job.id": str(claim.job_id),
        "windlass.job.stage": claim.stage.value,
        "windlass.job.attempt": claim.attempt,
        "windlass.file.id": str(claim.file_id),
        "windlass.request_id": claim.request_id,
    }
    name = f"job {claim.stage.value}"
    with spans.span(name, spans.SpanKind.CONSUMER, parent=claim.trace_context, attributes=attributes) as span:
        outcome = _run(claim, queues)
        span.annotate({"windlass.job.outcome": outcome})
        if outcome not in _GOOD_OUTCOMES:
            span.fail(outcome)


def _run(claim: jobs.Claim, queues: Collection[Queue]) -> str:
    """Return how the job run ended."""
    run: JobRun | None = None
    try:
        asset = load_file(claim.file_id)
        if asset is None or not is_runnable(claim, asset):
            finish_without_work(claim)
            return DONE
        run = JobRun(claim, asset)
        # The name is in lines at debug level only, and error reports leave it out.
        with bound_contextvars(filename=asset.original_filename):
            return _run_and_record(run, queues)
    except (jobs.LeaseLost, Cancelled):
        claim = run.claim if run else claim
        log.info("job.lease_lost", job_id=str(claim.job_id), stage=claim.stage, attempt=claim.attempt)
        return LEASE_LOST if run is not None and run.acquired else NOT_CLAIMED


def _run_and_record(run: JobRun, queues: Collection[Queue]) -> str:
    """Return how the job run ended. Raises LeaseLost, Cancelled."""
    try:
        _run_stages(run, queues)
    except (jobs.LeaseLost, Cancelled):
        raise
    except HandedBack:
        run.hand_back()
        log.info("job.handed_back", job_id=str(run.claim.job_id), stage=run.claim.stage)
        return POSTPONED
    except Exception as error:  # noqa: BLE001  the boundary of a job: every failure is recorded in its row
        return _record_failure(run, error)
    return DONE


def _run_stages(run: JobRun, queues: Collection[Queue]) -> None:
    """Run stage after stage with the file opened once, as far as this worker may continue."""
    run.load_plan()
    run.acquire()
    run.start_stage()
    blob = run.asset.blob
    if blob is None or not run.steps_to_do():
        run.end_stage(None, ())
        return
    if blob.damaged_at is not None:
        raise PermanentError("The stored bytes of this file are damaged; process it again once they are mended.")
    with heartbeat(lambda: run.claim) as lost, open_workspace(blob) as workspace:
        continues = True
        while continues:
            last = _run_steps(run, workspace, lost)
            _share_duplicate_bytes(run)
            _delete_stale_renditions(run, last)
            continues = run.end_stage(last, () if is_ending() else queues)


def _run_steps(run: JobRun, workspace: StepWorkspace, lost: threading.Event) -> EndedStep | None:
    """Run the unfinished steps of the stage; return how the last one ended. Raises HandedBack."""
    ended: EndedStep | None = None
    to_do = run.steps_to_do()
    if any(needs_shared_child(step.name) for step in to_do):
        workspace.session.start()
    for step in to_do:
        if ended is not None and is_ending():
            raise HandedBack
        run.start_step(step)
        if monotonic() - run.saved_at >= SAVE_INTERVAL or _may_block(run, step):
            run.save()
        ended = _run_as_step_span(run, step, workspace, lost)
        run.end_step(ended)
        if ended.verdict is not None:
            break
    return ended


def _run_as_step_span(run: JobRun, step: PlannedStep, workspace: StepWorkspace, lost: threading.Event) -> EndedStep:
    attributes: spans.Attributes = {
        "windlass.step.name": step.name,
        "windlass.step.stage": step.stage,
        "windlass.step.isolated": step.isolated,
    }
    with spans.span(f"step {step.name}", attributes=attributes) as span:
        ended = run_step(run, step, workspace, lost)
        span.annotate({"windlass.step.outcome": ended.state.value})
        return ended


def _may_block(run: JobRun, step: PlannedStep) -> bool:
    """Whether what earlier stages found, with which the file may be served, must be saved before the step.

    A step outside the sandbox may wait for a service, and nothing is saved meanwhile. Before a step of the gate the
    file cannot be served in any case.
    """
    return run.has_moved_on and not step.isolated and not step.gate


def _share_duplicate_bytes(run: JobRun) -> None:
    """After intake, let a file whose content its owner has already stored refer to those bytes instead of its own.

    Its own bytes are deleted while this run has them open. Those of a file that may be served already are left to the
    sweep, since a download may be about to open them. Raises LeaseLost.
    """
    asset, blob = run.asset, run.asset.blob
    if run.stage != Stage.INTAKE or blob is None or asset.checksum is None:
        return
    if blob.sha256 is None:
        run.save()  # of two equal files received at once, the later one must find the earlier one's digest
    for _ in range(SHARE_ATTEMPTS):
        try:
            duplicate = find_duplicate(blob)
        except StoreError as error:  # the sweep shares the bytes later
            log.warning("file.not_shared", file_id=str(asset.id), reason=str(error))
            return
        if duplicate is None or _share_with(run, duplicate):
            return


def _share_with(run: JobRun, duplicate: Blob) -> bool:
    """Return False if the duplicate was deleted meanwhile; there may be another."""
    asset = run.asset
    with recording():
        jobs.renew_lease(run.claim)
        to_delete = share_blob(asset, duplicate)
    if asset.run == 1:
        delete_objects(to_delete)
    return asset.blob_id == duplicate.id


def _delete_stale_renditions(run: JobRun, last: EndedStep | None) -> None:
    """At the end of the last stage, delete renditions of an earlier run of the file that this one did not make again.

    ``last`` is the stage's last step. Raises LeaseLost.
    """
    refused = last is not None and last.verdict is not None
    if run.asset.run == 1 or run.backfilling or refused or not run.is_last_stage():
        return
    with recording():
        jobs.renew_lease(run.claim)
        to_delete = delete_renditions_except(run.asset, run.record.unsaved_renditions)
        _remove_stale_text(run)
    delete_objects(to_delete)


def _remove_stale_text(run: JobRun) -> None:
    """Remove what an earlier run indexed, if this one has no such step. Within the caller's transaction."""
    planned = {step.name for step in run.plan}
    index, graph = text_index(), entity_graph()
    if index is not None and INDEX not in planned:
        index.remove(run.asset.id)
    if graph is not None and GRAPH not in planned:
        graph.remove(run.asset.id)


def _record_failure(run: JobRun, error: Exception) -> str:
    """Return how the job run ended."""
    if not run.acquired:  # there was no plan: the failure is the job's
        run.acquire()
    # The failure belongs to the job of the stage that was run, so that job must exist.
    if not isinstance(error, StepError | StoreError):
        run.discard_unsaved()
    elif run.has_moved_on:
        run.save()
    context = _log_context(run, error)
    if not isinstance(error, StepError | StoreError):
        log.exception("job.error", **context)
    error = _as_step_error(run, error)
    reason = _public_reason(error)
    if isinstance(error, Unavailable):
        run.postpone(error, reason)
        log.warning("job.postponed", **context)
        return POSTPONED
    if not isinstance(error, PermanentError | ObjectMissing) and run.retry_later(error, reason):
        log.warning("job.retried", **context)
        return RETRIED
    run.dead_letter(error, reason)
    log.error("job.dead", **context)
    return DEAD


def _log_context(run: JobRun, error: Exception) -> dict[str, str]:
    claim = run.claim
    context = {
        "job_id": str(claim.job_id),
        "file_id": str(claim.file_id),
        "stage": claim.stage,
        "attempt": str(claim.attempt),
        "step": run.current.name if run.current else "",
        "reason": str(error),
    }
    return context | ({"notes": "; ".join(notes)} if (notes := log_notes(error)) else {})


def _as_step_error(run: JobRun, error: Exception) -> Exception:
    """An unavailable store and a full disk postpone the job, as an unavailable service does."""
    if isinstance(error, StoreUnavailable) and not is_backfilling(run.asset):
        return Unavailable("The store of file bytes does not answer.", error.retry_after or STORE_RETRY_SECONDS)
    if isinstance(error, StoreFull) or is_disk_full(error):
        return DiskFull()
    return error


def _public_reason(error: Exception) -> str:
    """The reason as the file's owner may read it, without internals."""
    match error:
        case StepError():
            return checked_text(str(error), LONGEST_DETAIL)
        case ObjectMissing():
            return "The bytes of this file are no longer in the store."
        case StoreError():
            return "The store of file bytes failed."
        case _:
            return "An error in the server; it has been logged."
