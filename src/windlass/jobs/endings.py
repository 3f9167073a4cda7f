"""How a claimed job ends: done, due again, postponed, dead. Fenced by the claim, and recorded with its attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from windlass import conf
from windlass.database import rows
from windlass.jobs.claims import Claim, change, lease_end
from windlass.jobs.models import Attempt, Job
from windlass.jobs.states import AttemptOutcome, JobState, Stage
from windlass.kernel.clock import now


@dataclass(frozen=True, slots=True)
class Begun:
    """A stage that the holder of an earlier one's job has gone on with, and since when. Its job is not recorded yet."""

    stage: Stage
    at: datetime


def hand_on(held: Claim, begun: Sequence[Begun]) -> Claim:
    """End the held job, and record those of the stages begun since, in the transaction that records what they found.
    The last of them is claimed; no bell rings. Raises Fenced.

    Whoever holds a stage is alone in making the next of this run. Should the worker die, the lease brings it back.
    """
    _end(held)
    return _record(held, begun, is_over=False)


def finish(held: Claim, begun: Sequence[Begun] = ()) -> None:
    """The effects of the job, and of the stages begun since, are recorded in this same transaction. Raises Fenced."""
    _end(held)
    if begun:
        _record(held, begun, is_over=True)


def retry_later(held: Claim, error: BaseException | str, *, step: str = "") -> bool:
    """Due again after a backoff that doubles. False where the attempts are used up: call ``bury``. Raises Fenced."""
    if held.last_attempt:
        return False
    delay = conf.get().job_backoff_seconds * 2 ** (held.attempt - 1)
    change(
        held,
        state=JobState.QUEUED,
        due_at=now() + timedelta(seconds=delay),
        rung_at=None,
        lease_until=None,
        last_error=str(error),
    )
    _end_attempt(held, AttemptOutcome.FAILED, error, step)
    return True


def postpone(held: Claim, reason: str, seconds: float, *, step: str = "") -> None:
    """Due again later without using up an attempt: a part that the step needs is away. Raises Fenced."""
    change(
        held,
        state=JobState.QUEUED,
        attempts=held.attempt - 1,
        due_at=now() + timedelta(seconds=seconds),
        rung_at=None,
        lease_until=None,
        last_error=reason,
    )
    _end_attempt(held, AttemptOutcome.POSTPONED, reason, step)


def bury(held: Claim, error: BaseException | str, *, step: str = "") -> None:
    """A dead letter: it cannot succeed, or its attempts are used up. Raises Fenced."""
    change(held, state=JobState.DEAD, lease_until=None, last_error=str(error))
    _end_attempt(held, AttemptOutcome.FAILED, error, step)


def _end(held: Claim) -> None:
    change(held, state=JobState.DONE, lease_until=None, last_error="")
    _end_attempt(held, AttemptOutcome.DONE)


def _record(held: Claim, begun: Sequence[Begun], *, is_over: bool) -> Claim:
    """Each stage's job has ended where the next one began; the last, now if ``is_over``, else it is claimed."""
    ends = [*(later.at for later in begun[1:]), now() if is_over else None]
    made = [_done_at_once(held, each, end) for each, end in zip(begun, ends, strict=True)]
    rows.insert(made)
    rows.insert([_only_attempt(job, each, end) for job, each, end in zip(made, begun, ends, strict=True)])
    return replace(held, job_id=made[-1].id, stage=begun[-1].stage, epoch=1, attempt=1)


def _done_at_once(held: Claim, begun: Begun, end: datetime | None) -> Job:
    return Job(
        file_id=held.file_id,
        run=held.run,
        stage=begun.stage,
        state=JobState.DONE if end else JobState.RUNNING,
        attempts=1,
        max_attempts=held.max_attempts,
        due_at=begun.at,
        rung_at=begun.at,
        lease_holder=held.holder,
        lease_epoch=1,
        lease_until=None if end else lease_end(now()),
        request_id=held.request_id,
    )


def _only_attempt(job: Job, begun: Begun, end: datetime | None) -> Attempt:
    return Attempt(
        job_id=job.id,
        number=1,
        epoch=1,
        worker=job.lease_holder,
        outcome=AttemptOutcome.DONE if end else AttemptOutcome.RUNNING,
        started_at=begun.at,
        ended_at=end,
    )


def _end_attempt(held: Claim, outcome: AttemptOutcome, error: BaseException | str = "", step: str = "") -> None:
    ended = {
        "outcome": outcome,
        "ended_at": now(),
        "step": step,
        "error_class": type(error).__name__ if isinstance(error, BaseException) else "",
        "message": str(error),
    }
    rows.update(Attempt, {"job_id": held.job_id, "epoch": held.epoch}, ended)
