"""How many jobs wait, run and are dead, and for how long the oldest due one has waited."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Min

from windlass.jobs.models import Job
from windlass.jobs.states import QUEUES, CostClass, JobState, Queue, Stage
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


def queue_statuses() -> dict[Stage, QueueStatus]:
    """``queue_status`` of each stage."""
    states = (JobState.QUEUED, JobState.RUNNING, JobState.DEAD)
    by_state = Job.objects.filter(state__in=states).order_by().values_list("stage", "state").annotate(n=Count("id"))
    counts = {(stage, state): number for stage, state, number in by_state}
    ages = queue_ages()

    def status(stage: Stage) -> QueueStatus:
        queued, running, dead = (counts.get((stage, state), 0) for state in states)
        return QueueStatus(queued, running, dead, max(ages[Queue(stage, cost)] for cost in CostClass))

    return {stage: status(stage) for stage in Stage}


def queue_ages() -> dict[Queue, float]:
    """``oldest_due_seconds`` of each queue."""
    return {queue: oldest_due_seconds(queue) for queue in QUEUES}


def oldest_due_seconds(queue: Queue | None = None) -> float:
    """How long the job that is due for longest has waited, of one queue or of all; 0.0 if no job is due."""
    jobs = Job.objects.filter(state=JobState.QUEUED, due_at__lte=now())
    if queue is not None:
        jobs = jobs.filter(stage=queue.stage, cost=queue.cost)
    due = jobs.aggregate(since=Min("due_at"))["since"]
    return 0.0 if due is None else max(0.0, (now() - due).total_seconds())
