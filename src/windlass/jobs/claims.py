"""Claims: a worker's lease on a job. Every change that a claim makes is fenced by its epoch."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from windlass import conf
from windlass.database import rows
from windlass.jobs.models import Attempt, Job
from windlass.jobs.states import JobState, Stage
from windlass.kernel.clock import now


class LeaseLost(Exception):
    """The claim is no longer valid: its lease expired, or its file was released or deleted. Stop; record nothing."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's exclusive right to run a job, valid while ``epoch`` is the job's."""

    job_id: uuid.UUID
    file_id: uuid.UUID
    stage: Stage
    run: int
    epoch: int
    attempt: int
    max_attempts: int
    holder: str
    request_id: str
    retries: int = 0
    trace_context: str = ""
    #: When the job was due; None for one that follows another without having waited.
    due_at: datetime | None = None

    @property
    def last_attempt(self) -> bool:
        return self.attempt >= self.max_attempts


def find_claimable(job_id: uuid.UUID, holder: str) -> Claim | None:
    """Return the claim that ``acquire`` could make on this job; None if the job is not queued or not yet due.

    This only reads, so a duplicate notification takes no write lock.
    """
    job = rows.find(Job, id=job_id, state=JobState.QUEUED)
    if job is None or job.due_at > now():
        return None
    epoch, attempt = job.lease_epoch + 1, job.attempts + 1
    return Claim(
        job.id,
        job.file_id,
        Stage(job.stage),
        job.run,
        epoch,
        attempt,
        job.max_attempts,
        holder,
        job.request_id,
        job.retries,
        job.trace_context,
        job.due_at,
    )


def acquire(claim: Claim) -> None:
    """Take the job under a lease, inside the caller's transaction. Raises LeaseLost if its state or epoch changed."""
    moment = now()
    values = {
        "state": JobState.RUNNING,
        "attempts": claim.attempt,
        "lease_holder": claim.holder,
        "lease_epoch": claim.epoch,
        "lease_until": lease_end(moment),
        "updated_at": moment,
    }
    expected = {"id": claim.job_id, "state": JobState.QUEUED, "lease_epoch": claim.epoch - 1}
    if not rows.update(Job, expected, values):
        raise LeaseLost(f"job {claim.job_id} was claimed by another worker")
    attempt = Attempt(
        job_id=claim.job_id,
        number=claim.attempt,
        retry=claim.retries,
        epoch=claim.epoch,
        worker=claim.holder,
        request_id=claim.request_id,
        started_at=moment,
    )
    rows.insert([attempt])


def renew_leases(claims: Iterable[Claim]) -> list[Claim]:
    """Renew the leases of one worker's claims; return the claims that are lost.

    Leases with more than two thirds of their time left are only read, which takes no write lock. A job that its holder
    has just ended is not lost: only a worker that takes a job from another raises its epoch.
    """
    wanted, moment = list(claims), now()
    known = Job.objects.filter(id__in=[claim.job_id for claim in wanted])
    expiry = {(job, epoch): until for job, epoch, until in known.values_list("id", "lease_epoch", "lease_until")}
    valid = [claim for claim in wanted if (claim.job_id, claim.epoch) in expiry]
    renew_before = moment + timedelta(seconds=conf.get().job_lease_seconds * 2 / 3)
    due = Q()
    for claim in valid:
        if (expiry[claim.job_id, claim.epoch] or moment) < renew_before:
            due |= Q(id=claim.job_id, lease_epoch=claim.epoch)
    if due:
        Job.objects.filter(due, state=JobState.RUNNING).update(lease_until=lease_end(moment), updated_at=moment)
    return [claim for claim in wanted if claim not in valid]


def is_held(claim: Claim) -> bool:
    """Return whether the claim is still valid. Reads only."""
    return rows.exists(Job, id=claim.job_id, state=JobState.RUNNING, lease_epoch=claim.epoch)


def renew_lease(claim: Claim) -> None:
    """Renew the lease, which also fences the transaction that records a result. Raises LeaseLost."""
    update_claimed(claim, lease_until=lease_end(now()))


def lease_end(moment: datetime) -> datetime:
    return moment + timedelta(seconds=conf.get().job_lease_seconds)


def update_claimed(claim: Claim, **values: object) -> None:
    """Change columns of the claimed job. Raises LeaseLost."""
    expected = {"id": claim.job_id, "state": JobState.RUNNING, "lease_epoch": claim.epoch}
    if not rows.update(Job, expected, {"updated_at": now(), **values}):
        raise LeaseLost(f"job {claim.job_id} is no longer held under epoch {claim.epoch}")
