"""Runs one job: one stage of one file, from claim to outcome. What is done is recorded as it is done."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from itertools import zip_longest

import structlog
from django.db import close_old_connections

from windlass.files.api import FileAsset, assets
from windlass.jobs import api as jobs
from windlass.processing import records, workshop
from windlass.processing.contract import Cancelled, PermanentError, StepError, Unavailable
from windlass.processing.execution import run_step, runs_in_session
from windlass.processing.heartbeat import Heartbeat
from windlass.processing.outcome import LONGEST_DETAIL, text
from windlass.processing.plan import PlannedStep
from windlass.processing.stale import forget_stale
from windlass.processing.work import Ended, Work, work_on
from windlass.storage.contract import ObjectMissing, StoreError

log = structlog.get_logger(__name__)


def run_job(job_id: uuid.UUID, holder: str) -> None:
    """Claim the job under this worker's name and run its stage; the next stage's job is made at its end.

    Returns quietly where there is nothing to claim. A failure is recorded, not raised. May be called in any thread.
    """
    close_old_connections()
    try:
        held = jobs.claim(job_id, holder)
        if held is not None:
            _run(held)
    finally:
        close_old_connections()


def _run(held: jobs.Claim) -> None:
    try:
        asset = assets.load(held.file_id)
        if asset is None or asset.run != held.run or asset.status not in records.WORKED_ON or asset.blob is None:
            records.nothing_to_do(held)  # withdrawn, or this run of it is over
        else:
            _attempt(held, asset)
    except (jobs.Fenced, Cancelled):
        log.info("job.fenced", job_id=str(held.job_id), stage=held.stage, attempt=held.attempt)


def _attempt(held: jobs.Claim, asset: FileAsset) -> None:
    work: Work | None = None
    try:
        work = work_on(held, asset)
        records.stage_began(work)
        last = _run_steps(work)
        forget_stale(work, last)
        records.stage_ended(work, last)
    except (jobs.Fenced, Cancelled):
        raise
    except Unavailable as error:
        _postponed(held, asset, work.current if work else None, error)
    except Exception as error:  # noqa: BLE001  the boundary of a job: whatever happened, its row must say so
        _failed(held, asset, work.current if work else None, error)


def _run_steps(work: Work) -> Ended | None:
    """Every step still to do, over the file opened once. The last one's end is returned, the others' are recorded."""
    to_do, blob = work.to_do(), work.asset.blob
    if not to_do or blob is None:
        return None
    with ExitStack() as stack:
        beat = stack.enter_context(Heartbeat(work.held))
        bench = stack.enter_context(workshop.bench(blob))
        if any(runs_in_session(step.name) for step in to_do):
            bench.session.begin()
        for planned, following in zip_longest(to_do, to_do[1:]):
            work.current = planned
            ended = run_step(work, planned, bench, beat.lost)
            if following is None or ended.verdict is not None:
                break
            records.step_ended(work, ended, following)
    return ended


def _postponed(held: jobs.Claim, asset: FileAsset, step: PlannedStep | None, error: Unavailable) -> None:
    records.postpone(held, asset, step, error, _said(error))
    name = step.name if step else None
    log.warning("job.postponed", job_id=str(held.job_id), file_id=str(asset.id), step=name, reason=str(error))


def _failed(held: jobs.Claim, asset: FileAsset, step: PlannedStep | None, error: Exception) -> None:
    told = {"job_id": str(held.job_id), "file_id": str(asset.id), "stage": held.stage, "attempt": held.attempt}
    if not isinstance(error, StepError | StoreError):
        log.exception("job.error", **told)
    hopeless = isinstance(error, PermanentError | ObjectMissing)
    if not hopeless and records.try_again(held, asset, step, error, _said(error)):
        log.warning("job.retried", step=step.name if step else None, reason=str(error), **told)
    else:
        records.give_up(held, asset, step, error, _said(error))
        log.error("job.dead", step=step.name if step else None, reason=str(error), **told)


def _said(error: Exception) -> str:
    """The reason as the file's owner may read it: it names nothing of our insides."""
    match error:
        case StepError():
            return text(str(error), LONGEST_DETAIL)
        case ObjectMissing():
            return "The bytes of this file are no longer in the store."
        case StoreError():
            return "The store of file bytes failed."
        case _:
            return "An error in the server; it has been logged."
