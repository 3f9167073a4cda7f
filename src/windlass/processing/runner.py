"""Runs a file's jobs: one stage, from claim to outcome, and the next ones where the same worker may go on with them."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from contextlib import ExitStack

import structlog
from django.db import close_old_connections

from windlass.files.api import Blob, FileAsset, FileRun, FileStatus, load_file
from windlass.jobs import api as jobs
from windlass.jobs.api import Stage
from windlass.kernel.clock import monotonic
from windlass.kernel.disk_full import is_disk_full
from windlass.processing import records, workshop
from windlass.processing.contract import Cancelled, NoRoom, PermanentError, StepError, Unavailable
from windlass.processing.execution import run_step, runs_in_session
from windlass.processing.heartbeat import Heartbeat
from windlass.processing.outcome import LONGEST_DETAIL, log_notes, text
from windlass.processing.plan import PlannedStep
from windlass.processing.sharing import store_once
from windlass.processing.stale import forget_stale
from windlass.processing.work import Ended, Work, is_filling, work_on
from windlass.processing.workshop import Bench
from windlass.storage.contract import ObjectMissing, StoreError, StoreFull, StoreUnavailable

log = structlog.get_logger(__name__)

EVERY_STAGE = tuple(Stage)

#: Seconds after which a file whose bytes could not be had, because their store was away, is tried again.
STORE_AGAIN_SECONDS = 10.0


def run_job(job_id: uuid.UUID, holder: str, stages: Collection[Stage] = EVERY_STAGE) -> None:
    """Claim the job under this worker's name and run its stage, and those of ``stages`` that follow at once.

    Returns quietly where there is nothing to claim. A failure is recorded, not raised. May be called in any thread.
    """
    close_old_connections()
    try:
        held = jobs.find_claimable(job_id, holder)
        if held is not None:
            _run(held, stages)
    finally:
        close_old_connections()


def _run(held: jobs.Claim, stages: Collection[Stage]) -> None:
    turn: Turn | None = None
    try:
        asset = load_file(held.file_id)
        if asset is None or not records.is_wanted(held, asset):
            records.nothing_to_do(held)
        else:
            turn = Turn(held, asset, stages)
            turn.take()
    except (jobs.LeaseLost, Cancelled):
        held = turn.held if turn else held
        log.info("job.fenced", job_id=str(held.job_id), stage=held.stage, attempt=held.attempt)


class Turn:
    """A worker's turn at one file."""

    def __init__(self, held: jobs.Claim, asset: FileAsset, stages: Collection[Stage]) -> None:
        self._claim = held
        self._stages = stages
        self._run = FileRun(asset, untouched=_is_untouched(held, asset))
        self._work: Work | None = None
        self._taken = False

    @property
    def held(self) -> jobs.Claim:
        """The claim as the records have it."""
        return self._work.held if self._work else self._claim

    def take(self) -> None:
        """Raises Fenced, Cancelled."""
        try:
            self._begin()
        except (jobs.LeaseLost, Cancelled):
            raise
        except Exception as error:  # noqa: BLE001  the boundary of a job: whatever happened, its row must say so
            self._failed(error)

    def _begin(self) -> None:
        work = work_on(self._claim, self._run)
        records.take(work.held)
        self._taken, self._work = True, work
        records.begin_stage(work)
        blob = work.asset.blob
        if blob is None or not work.to_do():
            records.stage_ended(work, None, ())
            return
        if blob.damaged_at is not None:
            raise PermanentError("The stored bytes of this file are damaged; process it again once they are mended.")
        self._work_through(work, blob)

    def _work_through(self, work: Work, blob: Blob) -> None:
        """Stage after stage over the file opened once, as far as this worker may go on by itself."""
        with ExitStack() as stack:
            beat = stack.enter_context(Heartbeat(lambda: work.held))
            bench = stack.enter_context(workshop.bench(blob))
            goes_on = True
            while goes_on:
                last = _run_steps(work, bench, beat)
                store_once(work)
                forget_stale(work, last)
                goes_on = records.stage_ended(work, last, self._stages)

    def _failed(self, error: Exception) -> None:
        if not self._taken:
            self._take_regardless()
        self._come_to_rest(error)
        step = self._work.current if self._work else None
        told = {"job_id": str(self.held.job_id), "file_id": str(self.held.file_id), "stage": self.held.stage}
        told |= {"attempt": str(self.held.attempt), "step": step.name if step else "", "reason": str(error)}
        if notes := log_notes(error):
            told["notes"] = "; ".join(notes)
        if not isinstance(error, StepError | StoreError):
            log.exception("job.error", **told)
        if isinstance(error, StoreUnavailable) and not is_filling(self._run.asset):
            error = Unavailable("The store of file bytes does not answer.", STORE_AGAIN_SECONDS)
        elif isinstance(error, StoreFull) or is_disk_full(error):
            error = NoRoom()
        said = _said(error)
        if isinstance(error, Unavailable):
            records.postpone(self.held, self._run, step, error, said)
            log.warning("job.postponed", **told)
        elif not _is_hopeless(error) and records.try_again(self.held, self._run, step, error, said):
            log.warning("job.retried", **told)
        else:
            records.give_up(self.held, self._run, step, error, said)
            log.error("job.dead", **told)

    def _take_regardless(self) -> None:
        """There was no plan to be had; that is the job's failure, and it is to say so."""
        records.take(self.held)
        self._taken = True

    def _come_to_rest(self, error: Exception) -> None:
        """The stage that went wrong is to have a job, which the failure is that of."""
        if not isinstance(error, StepError | StoreError):
            self._look_again()
        elif self._work is not None and self._work.begun:
            records.so_far(self._work)

    def _look_again(self) -> None:
        """What is in memory may not be what the records say: a transaction may have failed. What they do not say has
        not happened, and is done again."""
        asset = load_file(self.held.file_id)
        if asset is None:
            raise jobs.LeaseLost(f"file {self.held.file_id} is gone")
        self._run = FileRun(asset)
        if self._work is not None:
            self._work.forget_unrecorded(self._run)


def _run_steps(work: Work, bench: Bench, beat: Heartbeat) -> Ended | None:
    """Every step of the stage that is still to do; how the last one ended."""
    ended: Ended | None = None
    to_do = work.to_do()
    if any(runs_in_session(step.name) for step in to_do):
        bench.session.begin()
    for planned in to_do:
        work.current = planned
        work.run.start(planned.name)
        if monotonic() - work.recorded_at >= records.TOGETHER or _may_wait(work, planned):
            records.so_far(work)
        ended = run_step(work, planned, bench, beat.lost)
        work.take_in(ended)
        if ended.verdict is not None:
            break
    return ended


def _is_untouched(held: jobs.Claim, asset: FileAsset) -> bool:
    """Of a file that is ready, the first claim may be one of a job that was made anew for what was left for later."""
    return held.stage == Stage.INTAKE and held.epoch == 1 and asset.status == FileStatus.PENDING


def _may_wait(work: Work, planned: PlannedStep) -> bool:
    """Nobody looks at the clock while a step runs here, and it may talk to a service: the file, which may be served by
    now, is not to wait for that."""
    return bool(work.begun) and not planned.isolated


def _is_hopeless(error: Exception) -> bool:
    return isinstance(error, PermanentError | ObjectMissing)


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
