"""How many jobs wait, run and are dead, and for how long the oldest due one has waited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import BooleanField, Count, Min
from django.db.models.expressions import RawSQL

from windlass.jobs.models import Job
from windlass.jobs.states import OPEN_STATES, QUEUES, JobState, Queue, Stage
from windlass.kernel.clock import now

#: The condition of the index of open jobs, word for word: SQLite does not use it for a condition with parameters, and
#: would read the whole table.
_IS_OPEN = RawSQL("state IN ({})".format(", ".join(f"'{state}'" for state in OPEN_STATES)), (), BooleanField())  # noqa: S611


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Jobs by state; ``oldest_age_seconds``: how long the job that is due for longest has waited, 0.0 if none is."""

    queued: int
    running: int
    dead: int
    oldest_age_seconds: float


def queue_status() -> QueueStatus:
    """Queries by index: few jobs wait or run, however many are done."""
    counts = dict(Job.objects.filter(_IS_OPEN).order_by().values_list("state").annotate(n=Count("id")))
    queued, running, dead = (counts.get(state, 0) for state in OPEN_STATES)
    return QueueStatus(queued, running, dead, oldest_due_seconds())


def queue_statuses() -> dict[Queue, QueueStatus]:
    """``queue_status`` of each queue, in one query."""
    rows = Job.objects.filter(_IS_OPEN).order_by().values_list("stage", "cost", "state")
    counted = rows.annotate(n=Count("id"), since=Min("due_at"))
    found = {(stage, cost, state): (number, since) for stage, cost, state, number, since in counted}

    def status(queue: Queue) -> QueueStatus:
        queued, running, dead = (found.get((queue.stage, queue.cost, state), (0, None)) for state in OPEN_STATES)
        return QueueStatus(queued[0], running[0], dead[0], _seconds_since(queued[1]))

    return {queue: status(queue) for queue in QUEUES}


def stage_statuses(queues: Mapping[Queue, QueueStatus]) -> dict[Stage, QueueStatus]:
    """Those of the stages, of what ``queue_statuses`` has returned."""

    def status(of_stage: Sequence[QueueStatus]) -> QueueStatus:
        return QueueStatus(
            queued=sum(each.queued for each in of_stage),
            running=sum(each.running for each in of_stage),
            dead=sum(each.dead for each in of_stage),
            oldest_age_seconds=max(each.oldest_age_seconds for each in of_stage),
        )

    return {stage: status([each for queue, each in queues.items() if queue.stage is stage]) for stage in Stage}


def oldest_due_seconds() -> float:
    """How long the job that is due for longest has waited; 0.0 if no job is due."""
    return _seconds_since(Job.objects.filter(state=JobState.QUEUED).aggregate(since=Min("due_at"))["since"])


def _seconds_since(due: datetime | None) -> float:
    return 0.0 if due is None else max(0.0, (now() - due).total_seconds())
