"""Jobs as rows: made, claimed, kept, ended. Every change of a claimed job is fenced by the claim's epoch."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import F, Q

from windlass import conf
from windlass.conf import rows
from windlass.jobs import wake
from windlass.jobs.models import Attempt, Job
from windlass.jobs.states import AttemptOutcome, JobState, Stage
from windlass.kernel.clock import now


class Fenced(Exception):
    """This claim is no longer the job's: its lease lapsed, or its file was withdrawn. Stop, and record nothing."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a job, while ``epoch`` is the job's."""

    job_id: uuid.UUID
    file_id: uuid.UUID
    stage: Stage
    run: int
    epoch: int
    attempt: int
    max_attempts: int
    holder: str
    request_id: str

    @property
    def last_attempt(self) -> bool:
        return self.attempt >= self.max_attempts


@dataclass(frozen=True, slots=True)
class Begun:
    """A stage that the holder of an earlier one's job has gone on with, and since when. Its job is not recorded yet."""

    stage: Stage
    at: datetime


def enqueue(stage: Stage, file_id: uuid.UUID, *, run: int = 1, request_id: str = "") -> Job:
    """Make the job of this stage, inside the caller's transaction; the bell rings once it commits.

    Asking twice for the same stage of the same run makes one job.
    """
    known = Job.objects.filter(file_id=file_id, run=run, stage=stage).first()
    if known is not None:
        return known
    job = Job.objects.create(
        file_id=file_id,
        run=run,
        stage=stage,
        due_at=now(),
        rung_at=now(),
        max_attempts=conf.get().job_max_attempts,
        request_id=request_id,
    )
    transaction.on_commit(lambda: wake.ring(job.id, stage))
    return job


def reopen(stage: Stage, file_id: uuid.UUID, *, run: int, after: float) -> bool:
    """Make a stage's job due once more, which has ended with something left for later, inside the caller's transaction.

    False where it is open already, is dead, or ended less than ``after`` seconds ago: so often is it tried.
    """
    job = Job.objects.filter(file_id=file_id, run=run, stage=stage).first()
    if job is None:  # ended jobs are not kept for ever
        enqueue(stage, file_id, run=run)
        return True
    moment = now()
    changed = Job.objects.filter(
        id=job.id, state=JobState.DONE, updated_at__lt=moment - timedelta(seconds=after)
    ).update(state=JobState.QUEUED, attempts=0, due_at=moment, rung_at=moment, updated_at=moment)
    if changed:
        transaction.on_commit(lambda: wake.ring(job.id, stage))
    return bool(changed)


def look(job_id: uuid.UUID, holder: str) -> Claim | None:
    """The claim that could be made on a due job; None where there is nothing to take, as with a bell that rang twice.

    It holds nothing before ``take``: a look takes no write lock.
    """
    job = rows.find(Job, id=job_id, state=JobState.QUEUED)
    if job is None or job.due_at > now():
        return None
    return Claim(
        job.id,
        job.file_id,
        Stage(job.stage),
        job.run,
        job.lease_epoch + 1,
        job.attempts + 1,
        job.max_attempts,
        holder,
        job.request_id,
    )


def take(held: Claim) -> None:
    """Make the claim, under a lease, inside the caller's transaction. Raises Fenced where the job has moved on."""
    moment = now()
    taken = {
        "state": JobState.RUNNING,
        "attempts": held.attempt,
        "lease_holder": held.holder,
        "lease_epoch": held.epoch,
        "lease_until": _lease_end(moment),
        "updated_at": moment,
    }
    seen = {"id": held.job_id, "state": JobState.QUEUED, "lease_epoch": held.epoch - 1}
    if not rows.update(Job, seen, taken):
        raise Fenced(f"job {held.job_id} was taken by another")
    _begin_attempt(held, moment)


def claim(job_id: uuid.UUID, holder: str) -> Claim | None:
    """Look and take at once; None where there is nothing to take."""
    held = look(job_id, holder)
    if held is None:
        return None
    try:
        with transaction.atomic():
            take(held)
    except Fenced:
        return None
    return held


def hand_on(held: Claim, begun: Sequence[Begun]) -> Claim:
    """End the held job, and record those of the stages begun since, in the transaction that records what they found.
    The last of them is claimed; no bell rings. Raises Fenced.

    Whoever holds a stage is alone in making the next of this run. Should the worker die, the lease brings it back.
    """
    _end(held)
    return _record(held, begun, is_over=False)


def keep_all(held: Iterable[Claim]) -> list[Claim]:
    """Prolong these leases, which belong to one worker; returns those that are lost. A lease that is young is only
    looked at, which takes no write lock. A job that its holder has just ended itself is not lost: whoever takes one
    from another raises its epoch."""
    claims, moment = list(held), now()
    known = Job.objects.filter(id__in=[claim.job_id for claim in claims])
    found = {(job, epoch): until for job, epoch, until in known.values_list("id", "lease_epoch", "lease_until")}
    mine = [claim for claim in claims if (claim.job_id, claim.epoch) in found]
    soon = moment + timedelta(seconds=conf.get().job_lease_seconds * 2 / 3)
    old = Q()
    for claim in mine:
        if (found[claim.job_id, claim.epoch] or moment) < soon:
            old |= Q(id=claim.job_id, lease_epoch=claim.epoch)
    if old:
        Job.objects.filter(old, state=JobState.RUNNING).update(lease_until=_lease_end(moment), updated_at=moment)
    return [claim for claim in claims if claim not in mine]


def holds(held: Claim) -> bool:
    """Whether the claim is still the job's; a look."""
    return rows.exists(Job, id=held.job_id, state=JobState.RUNNING, lease_epoch=held.epoch)


def keep(held: Claim) -> None:
    """Prolong the lease: the fence inside any transaction that records an effect. Raises Fenced."""
    _change(held, lease_until=_lease_end(now()))


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
    _change(
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
    _change(
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
    _change(held, state=JobState.DEAD, lease_until=None, last_error=str(error))
    _end_attempt(held, AttemptOutcome.FAILED, error, step)


def cancel_of_file(file_id: uuid.UUID) -> int:
    """End every job of a file that is withdrawn; whoever runs one is fenced. Returns how many."""
    open_jobs = Job.objects.filter(file_id=file_id, state__in=[JobState.QUEUED, JobState.RUNNING])
    Attempt.objects.filter(job__in=open_jobs, outcome=AttemptOutcome.RUNNING).update(
        outcome=AttemptOutcome.CANCELLED, ended_at=now()
    )
    return open_jobs.update(state=JobState.CANCELLED, lease_epoch=F("lease_epoch") + 1, lease_until=None)


def resume_of_file(file_id: uuid.UUID, run: int) -> int:
    """Open the jobs of this run that were cancelled with ``cancel_of_file``, inside the caller's transaction; their
    attempts begin anew. Returns how many."""
    cancelled = Job.objects.filter(file_id=file_id, run=run, state=JobState.CANCELLED)
    found = list(cancelled.only("id", "stage"))
    moment = now()
    cancelled.update(state=JobState.QUEUED, attempts=0, due_at=moment, rung_at=moment, updated_at=moment)
    for job in found:
        transaction.on_commit(partial(wake.ring, job.id, Stage(job.stage)))
    return len(found)


def forget_file(file_id: uuid.UUID) -> None:
    """The file's record is gone: so are its jobs."""
    Job.objects.filter(file_id=file_id).delete()


def are_open(file_ids: Iterable[uuid.UUID]) -> bool:
    """Whether a worker is at any of these files, or will be."""
    open_states = (JobState.QUEUED, JobState.RUNNING)
    return Job.objects.filter(file_id__in=list(file_ids), state__in=open_states).exists()


def lapsed(moment: datetime | None = None) -> list[Job]:
    """Running jobs whose lease ran out: their worker died or stopped."""
    return list(
        Job.objects.filter(state=JobState.RUNNING, lease_until__lt=moment or now()).order_by("lease_until")[:500]
    )


def held_by(holder: str) -> list[Job]:
    """Running jobs of a worker that has just started under this name, and so cannot be running any."""
    return list(Job.objects.filter(state=JobState.RUNNING, lease_holder=holder))


def take_back(job: Job) -> bool | None:
    """Undo the claim of a lapsed job, inside the caller's transaction.

    True: it is due again. False: its attempts are used up and it is dead now. None: it moved on meanwhile.
    """
    dead = job.attempts >= job.max_attempts
    changed = Job.objects.filter(id=job.id, state=JobState.RUNNING, lease_epoch=job.lease_epoch).update(
        state=JobState.DEAD if dead else JobState.QUEUED,
        lease_epoch=F("lease_epoch") + 1,
        lease_until=None,
        lease_holder="",
        due_at=now(),
        rung_at=None,
        last_error="The worker that ran it died or stopped.",
        updated_at=now(),
    )
    if not changed:
        return None
    Attempt.objects.filter(job=job, epoch=job.lease_epoch, outcome=AttemptOutcome.RUNNING).update(
        outcome=AttemptOutcome.LOST, ended_at=now(), message="The lease lapsed."
    )
    return not dead


#: The longest wait between two bells for one job.
LONGEST_SILENCE = timedelta(minutes=2)


def ring_due(*, again_after: float, at_most: int = 500) -> int:
    """Ring for due jobs whose bell never rang, or rang and was not heard. Returns how many.

    A bell may be lost, or wait in a long queue; nobody can tell. So a job's second bell comes ``again_after`` seconds
    after its first, and the pauses double from there: a lost bell is made good soon, and a long queue, or one without
    workers, does not fill the broker.
    """
    moment = now()
    pause = timedelta(seconds=again_after)
    quiet = Q(rung_at=None) | Q(rung_at__lt=moment - pause)
    due = Job.objects.filter(quiet, state=JobState.QUEUED, due_at__lte=moment).order_by("due_at")
    jobs = [job for job in due.only("id", "stage", "due_at", "rung_at")[:2000] if _unheard(job, moment)][:at_most]
    rung = wake.ring_now([(job.id, Stage(job.stage)) for job in jobs])
    Job.objects.filter(id__in=[job.id for job in jobs[:rung]], state=JobState.QUEUED).update(rung_at=moment)
    return rung


def unanswered(stages: Sequence[Stage], *, after: datetime, before: datetime) -> datetime | None:
    """When the last bell rang, between these moments, for a job of these stages that is due and still unclaimed."""
    newest: datetime | None = (
        Job.objects.filter(
            stage__in=stages, state=JobState.QUEUED, due_at__lte=now(), rung_at__gt=after, rung_at__lt=before
        )
        .order_by("-rung_at")
        .values_list("rung_at", flat=True)
        .first()
    )
    return newest


def prune(days: float) -> int:
    """Delete ended jobs older than ``days``; returns how many."""
    ended = [JobState.DONE, JobState.CANCELLED, JobState.DEAD]
    deleted, _ = Job.objects.filter(state__in=ended, updated_at__lt=now() - timedelta(days=days)).delete()
    return deleted


def _unheard(job: Job, moment: datetime) -> bool:
    if job.rung_at is None:
        return True
    return moment - job.rung_at >= min(job.rung_at - job.due_at, LONGEST_SILENCE)


def _lease_end(moment: datetime) -> datetime:
    return moment + timedelta(seconds=conf.get().job_lease_seconds)


def _change(held: Claim, **values: object) -> None:
    mine = {"id": held.job_id, "state": JobState.RUNNING, "lease_epoch": held.epoch}
    if not rows.update(Job, mine, {"updated_at": now(), **values}):
        raise Fenced(f"job {held.job_id} is no longer held under epoch {held.epoch}")


def _end(held: Claim) -> None:
    _change(held, state=JobState.DONE, lease_until=None, last_error="")
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
        lease_until=None if end else _lease_end(now()),
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


def _begin_attempt(held: Claim, moment: datetime) -> None:
    attempt = Attempt(job_id=held.job_id, number=held.attempt, epoch=held.epoch, worker=held.holder, started_at=moment)
    rows.insert([attempt])


def _end_attempt(held: Claim, outcome: AttemptOutcome, error: BaseException | str = "", step: str = "") -> None:
    ended = {
        "outcome": outcome,
        "ended_at": now(),
        "step": step,
        "error_class": type(error).__name__ if isinstance(error, BaseException) else "",
        "message": str(error),
    }
    rows.update(Attempt, {"job_id": held.job_id, "epoch": held.epoch}, ended)
