"""The right to work on a job: taken under a lease, kept, lost. Whatever a claim changes is fenced by its epoch."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from windlass import conf
from windlass.database import rows
from windlass.database.connection import atomic
from windlass.jobs.models import Attempt, Job
from windlass.jobs.states import JobState, Stage
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
        "lease_until": lease_end(moment),
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
        with atomic():
            take(held)
    except Fenced:
        return None
    return held


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
        Job.objects.filter(old, state=JobState.RUNNING).update(lease_until=lease_end(moment), updated_at=moment)
    return [claim for claim in claims if claim not in mine]


def holds(held: Claim) -> bool:
    """Whether the claim is still the job's; a look."""
    return rows.exists(Job, id=held.job_id, state=JobState.RUNNING, lease_epoch=held.epoch)


def keep(held: Claim) -> None:
    """Prolong the lease: the fence inside any transaction that records an effect. Raises Fenced."""
    change(held, lease_until=lease_end(now()))


def lease_end(moment: datetime) -> datetime:
    return moment + timedelta(seconds=conf.get().job_lease_seconds)


def change(held: Claim, **values: object) -> None:
    mine = {"id": held.job_id, "state": JobState.RUNNING, "lease_epoch": held.epoch}
    if not rows.update(Job, mine, {"updated_at": now(), **values}):
        raise Fenced(f"job {held.job_id} is no longer held under epoch {held.epoch}")


def _begin_attempt(held: Claim, moment: datetime) -> None:
    attempt = Attempt(job_id=held.job_id, number=held.attempt, epoch=held.epoch, worker=held.holder, started_at=moment)
    rows.insert([attempt])
