"""What no bell announced: jobs whose worker died, bells that were lost, due jobs that nobody takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import F, Q

from windlass.jobs import wake
from windlass.jobs.models import Attempt, Job
from windlass.jobs.states import AttemptOutcome, JobState, Stage
from windlass.kernel.clock import now


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


def _unheard(job: Job, moment: datetime) -> bool:
    if job.rung_at is None:
        return True
    return moment - job.rung_at >= min(job.rung_at - job.due_at, LONGEST_SILENCE)
