"""How a claimed job ends: done, retried, postponed, dead letter. Each outcome is recorded with its attempt.

All functions run inside the caller's transaction and raise LeaseLost if the claim is no longer valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from windlass import conf
from windlass.database import rows
from windlass.database.connection import on_commit
from windlass.jobs import notify
from windlass.jobs.claims import Claim, lease_end, update_claimed
from windlass.jobs.models import Attempt, Job
from windlass.jobs.states import AttemptOutcome, CostClass, JobState, Stage
from windlass.kernel.clock import now


@dataclass(frozen=True, slots=True)
class StartedStage:
    """A stage that the holder of the previous stage's job has started at ``at``; its job has no row yet."""

    stage: Stage
    at: datetime
    cost: CostClass = CostClass.LIGHT


def finish_and_continue(claim: Claim, started: Sequence[StartedStage]) -> Claim:
    """End the claimed job and create the jobs of the stages started since; return the claim on the last of them.

    No notification is sent: the holder of a stage is the only one that creates the next stage of this run, and runs it
    itself. If the worker dies, the lease expires and the job is queued again.
    """
    _finish(claim)
    return _create_jobs(claim, started, finished=False)


def finish(claim: Claim, started: Sequence[StartedStage] = ()) -> None:
    """End the claimed job and the stages started since, in the transaction that records their results."""
    _finish(claim)
    if started:
        _create_jobs(claim, started, finished=True)


def retry_later(claim: Claim, error: BaseException | str, *, step: str = "") -> bool:
    """Queue the job again after a backoff that doubles with each attempt.

    Return False if the attempts are used up; the caller then calls ``dead_letter``.
    """
    if claim.last_attempt:
        return False
    delay = conf.get().job_backoff_seconds * 2 ** (claim.attempt - 1)
    _queue_again(claim, delay, str(error))
    _end_attempt(claim, AttemptOutcome.FAILED, error, step)
    return True


def postpone(claim: Claim, reason: str, seconds: float, *, step: str = "") -> None:
    """Queue the job again in ``seconds`` for an unavailable service, without using up an attempt."""
    _queue_again(claim, seconds, reason, attempts=claim.attempt - 1)
    _end_attempt(claim, AttemptOutcome.POSTPONED, reason, step)


def hand_back(claim: Claim) -> None:
    """Queue the job again at once because its worker ends, without using up an attempt; notify the others."""
    reason = "The worker ended."
    moment = now()
    update_claimed(
        claim,
        state=JobState.QUEUED,
        due_at=moment,
        notified_at=moment,
        lease_until=None,
        last_error=reason,
        attempts=claim.attempt - 1,
    )
    _end_attempt(claim, AttemptOutcome.POSTPONED, reason)
    queue = Job.objects.only("stage", "cost").get(id=claim.job_id).queue
    on_commit(lambda: notify.notify_workers(claim.job_id, queue))


def dead_letter(claim: Claim, error: BaseException | str, *, step: str = "") -> None:
    """End the job for good: it cannot succeed, or its attempts are used up."""
    update_claimed(
        claim,
        state=JobState.DEAD,
        lease_until=None,
        last_error=str(error),
        dead_at=now(),
        dead_step=step,
        dead_error_class=error_class(error),
    )
    _end_attempt(claim, AttemptOutcome.FAILED, error, step)


def error_class(error: BaseException | str) -> str:
    """The name by which failures are counted and filtered; empty if only a text is known."""
    return type(error).__name__[:200] if isinstance(error, BaseException) else ""


def _finish(claim: Claim) -> None:
    update_claimed(claim, state=JobState.DONE, lease_until=None, last_error="")
    _end_attempt(claim, AttemptOutcome.DONE)


def _queue_again(claim: Claim, seconds: float, reason: str, **values: int) -> None:
    due_at = now() + timedelta(seconds=seconds)
    update_claimed(
        claim, state=JobState.QUEUED, due_at=due_at, notified_at=None, lease_until=None, last_error=reason, **values
    )


def _create_jobs(claim: Claim, started: Sequence[StartedStage], *, finished: bool) -> Claim:
    """Each stage's job ended where the next stage started. The last one ends now if ``finished``, else is claimed."""
    ends = [*(later.at for later in started[1:]), now() if finished else None]
    jobs = [_job(claim, each, end) for each, end in zip(started, ends, strict=True)]
    rows.insert(jobs)
    rows.insert([_attempt(job, each, end) for job, each, end in zip(jobs, started, ends, strict=True)])
    return replace(claim, job_id=jobs[-1].id, stage=started[-1].stage, epoch=1, attempt=1, retries=0, due_at=None)


def _job(claim: Claim, started: StartedStage, end: datetime | None) -> Job:
    return rows.new(
        Job,
        file_id=claim.file_id,
        run=claim.run,
        stage=started.stage,
        cost=started.cost,
        state=JobState.DONE if end else JobState.RUNNING,
        attempts=1,
        max_attempts=claim.max_attempts,
        due_at=started.at,
        notified_at=started.at,
        lease_holder=claim.holder,
        lease_epoch=1,
        lease_until=None if end else lease_end(now()),
        request_id=claim.request_id,
        trace_context=claim.trace_context,
    )


def _attempt(job: Job, started: StartedStage, end: datetime | None) -> Attempt:
    return Attempt(
        job_id=job.id,
        number=1,
        epoch=1,
        worker=job.lease_holder,
        request_id=job.request_id,
        outcome=AttemptOutcome.DONE if end else AttemptOutcome.RUNNING,
        started_at=started.at,
        ended_at=end,
    )


def _end_attempt(claim: Claim, outcome: AttemptOutcome, error: BaseException | str = "", step: str = "") -> None:
    ended = {
        "outcome": outcome,
        "ended_at": now(),
        "step": step,
        "error_class": error_class(error),
        "message": str(error),
    }
    rows.update(Attempt, {"job_id": claim.job_id, "epoch": claim.epoch}, ended)
