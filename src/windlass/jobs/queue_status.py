"""How many jobs wait, run and are dead, and for how long the oldest due one has waited."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Min

from windlass.jobs.models import Job
from windlass.jobs.states import JobState
from windlass.kernel.clock import now


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Jobs by state; ``oldest_age_seconds``: how long the job that is due for longest has waited, 0.0 if none is."""

    queued: int
    running: int
    dead: int
    oldest_age_seconds: float


def queue_status() -> QueueStatus:
    """Queries by index: few jobs wait or run, however many are done."""
    states = (JobState.QUEUED, JobState.RUNNING, JobState.DEAD)
    counts = dict(Job.objects.filter(state__in=states).order_by().values_list("state").annotate(n=Count("id")))
    queued, running, dead = (counts.get(state, 0) for state in states)
    return QueueStatus(queued, running, dead, oldest_due_seconds())


def oldest_due_seconds() -> float:
    """How long the job that is due for longest has waited; 0.0 if no job is due."""
    due = Job.objects.filter(state=JobState.QUEUED, due_at__lte=now()).aggregate(since=Min("due_at"))["since"]
    return 0.0 if due is None else max(0.0, (now() - due).total_seconds())
