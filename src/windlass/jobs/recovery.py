"""Find jobs that no notification announced: expired claims, lost notifications, due jobs without a worker."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import F, Max, Q

from windlass import conf
from windlass.jobs import notify
from windlass.jobs.models import Attempt, Job
from windlass.jobs.states import AttemptOutcome, JobState, Queue
from windlass.kernel.clock import CLOCK_TOLERANCE, now

#: The error class of an attempt whose worker died or stopped.
WORKER_LOST = "WorkerLost"
#: The longest time between two notifications for one job.
LONGEST_PAUSE = timedelta(minutes=2)


def expired_claims(moment: datetime | None = None) -> list[Job]:
    """Running jobs whose lease expired: their worker died or stopped."""
    return list(
        Job.objects.filter(state=JobState.RUNNING, lease_until__lt=moment or now()).order_by("lease_until")[:500]
    )


def running_jobs_of(holder: str) -> list[Job]:
    """Jobs marked as running by a worker that has just started under this name, and so cannot be running any."""
    return list(Job.objects.filter(state=JobState.RUNNING, lease_holder=holder))


def correct_times_ahead(*, at_most: int = 500) -> int:
    """Correct jobs that were written while a clock was ahead; return how many.

    After the clock is set back, such a job would wait, or its dead worker would keep it, for as long as the clock was
    ahead. A job that waits keeps its delay. A lease becomes a whole one from now, which a worker that lives renews.
    """
    moment = now()
    horizon = moment + CLOCK_TOLERANCE
    ahead = Job.objects.filter(state=JobState.QUEUED, due_at__gt=moment, updated_at__gt=horizon)
    corrected = 0
    for job in ahead.only("id", "due_at", "updated_at")[:at_most]:
        due_at = moment + max(job.due_at - job.updated_at, timedelta())
        same = Job.objects.filter(id=job.id, state=JobState.QUEUED, updated_at=job.updated_at)
        corrected += same.update(due_at=due_at, notified_at=None, updated_at=moment)
    longest = moment + timedelta(seconds=conf.get().job_lease_seconds)
    running = Job.objects.filter(state=JobState.RUNNING, lease_until__gt=longest + CLOCK_TOLERANCE)
    return corrected + running.update(lease_until=longest)


def revoke_claim(job: Job, step: str = "") -> bool | None:
    """Undo the claim of a worker that died in ``step``, inside the caller's transaction.

    Return True if the job is queued again, False if its attempts are used up and it is a dead letter, None if the job
    changed meanwhile.
    """
    moment, dead = now(), job.attempts >= job.max_attempts
    reason = {"dead_at": moment, "dead_step": step, "dead_error_class": WORKER_LOST} if dead else {}
    changed = Job.objects.filter(id=job.id, state=JobState.RUNNING, lease_epoch=job.lease_epoch).update(
        state=JobState.DEAD if dead else JobState.QUEUED,
        lease_epoch=F("lease_epoch") + 1,
        lease_until=None,
        lease_holder="",
        due_at=moment,
        notified_at=None,
        last_error="The worker that ran the job died or stopped.",
        updated_at=moment,
        **reason,
    )
    if not changed:
        return None
    Attempt.objects.filter(job=job, epoch=job.lease_epoch, outcome=AttemptOutcome.RUNNING).update(
        outcome=AttemptOutcome.LOST,
        ended_at=moment,
        step=step,
        error_class=WORKER_LOST,
        message="The lease expired.",
    )
    return not dead


def notify_due_jobs(*, again_after: float, at_most: int = 500) -> int:
    """Notify workers of due jobs whose notification was never sent, or was not answered. Return how many were sent.

    A notification may be lost or may wait in a long queue; the two cannot be told apart. The second one for a job
    follows the first after ``again_after`` seconds, and the pauses double from there: a lost notification is replaced
    soon, and a queue that is long or has no workers does not fill the broker.
    """
    moment = now()
    pause = timedelta(seconds=again_after)
    unannounced = Q(notified_at=None) | Q(notified_at__lt=moment - pause)
    due = Job.objects.filter(unannounced, state=JobState.QUEUED, due_at__lte=moment).order_by("due_at")
    candidates = due.only("id", "stage", "cost", "due_at", "notified_at")[:2000]
    jobs = [job for job in candidates if _pause_is_over(job, moment)][:at_most]
    sent = notify.send_now([(job.id, job.queue) for job in jobs])
    Job.objects.filter(id__in=[job.id for job in jobs[:sent]], state=JobState.QUEUED).update(notified_at=moment)
    return sent


def last_unanswered_notification(queues: Collection[Queue], *, after: datetime, before: datetime) -> datetime | None:
    """When workers of these queues were last notified, between these moments, of a due job that is still unclaimed."""
    of_queues = Q(*(Q(stage=queue.stage, cost=queue.cost) for queue in queues), _connector=Q.OR)
    due = Job.objects.filter(of_queues, state=JobState.QUEUED, due_at__lte=now())
    notified = due.filter(notified_at__gt=after, notified_at__lt=before)
    newest: datetime | None = notified.aggregate(newest=Max("notified_at"))["newest"]
    return newest


def _pause_is_over(job: Job, moment: datetime) -> bool:
    if job.notified_at is None:
        return True
    return moment - job.notified_at >= min(job.notified_at - job.due_at, LONGEST_PAUSE)
