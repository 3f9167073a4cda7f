"""Queue finished jobs again for the postponed steps of ready files, at a bounded rate for the whole installation."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db.models import Q

from windlass import conf
from windlass.database.connection import atomic, on_commit
from windlass.jobs import notify
from windlass.jobs.models import Job
from windlass.jobs.pacing import next_due_time
from windlass.jobs.states import CostClass, JobState, Queue, Stage
from windlass.kernel import spans
from windlass.kernel.clock import CLOCK_TOLERANCE, now

#: Seconds between two backfills of the same stage of a file.
RETRY_SECONDS = 30.0

_OPEN = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Backfill:
    """A stage of a file that has postponed steps, with the cost class of these."""

    stage: Stage
    file_id: uuid.UUID
    run: int
    cost: CostClass


def queue_backfills(wanted: Iterable[Backfill]) -> int:
    """Queue the jobs of ``wanted``, in this order, as many as the rate allows now; return how many.

    BACKFILL_PER_MINUTE of them become due in a minute, one after the other, after those of before. While as many are
    unfinished as the rate allows until the next sweep, no further ones are queued: new files do not wait behind more
    than these. Jobs that are open, dead, or were backfilled within RETRY_SECONDS are passed over. ``wanted`` is
    consumed only as far as needed.
    """
    with atomic():
        free = _free_places()
        pause = timedelta(seconds=60 / conf.get().backfill_per_minute)
        due_at = next_due_time(Job.objects.filter(backfill_due_at__isnull=False), "backfill_due_at", pause)
        queued = 0
        for backfill in _while_free(wanted, free):
            if _queue(backfill, due_at):
                queued, due_at = queued + 1, due_at + pause
                if queued >= free:
                    break
    return queued


def _while_free(wanted: Iterable[Backfill], free: int) -> Iterator[Backfill]:
    return iter(wanted) if free > 0 else iter(())


def _free_places() -> int:
    allowed = math.ceil(conf.get().backfill_per_minute * conf.get().sweep_seconds / 60)
    return max(1, allowed) - Job.objects.filter(backfill_due_at__isnull=False, state__in=_OPEN).count()


def _queue(backfill: Backfill, due_at: datetime) -> bool:
    """Return False if the job is open or dead, or was just backfilled. A job that was pruned is created anew."""
    moment = now()
    is_due = due_at <= moment
    values = {
        "state": JobState.QUEUED,
        "cost": backfill.cost,
        "attempts": 0,
        "due_at": due_at,
        "backfill_due_at": due_at,
        "notified_at": moment if is_due else None,
        "updated_at": moment,
        "trace_context": spans.traceparent(),
    }
    of_stage = {"file_id": backfill.file_id, "run": backfill.run, "stage": backfill.stage}
    job = Job.objects.filter(**of_stage).first()
    if job is None:
        job = Job.objects.create(**of_stage, **values, max_attempts=conf.get().job_max_attempts)
    else:
        rested = Q(backfill_due_at=None) | Q(updated_at__lt=moment - timedelta(seconds=RETRY_SECONDS))
        rested |= Q(updated_at__gt=moment + CLOCK_TOLERANCE)  # written while a clock was ahead
        if not Job.objects.filter(rested, id=job.id, state=JobState.DONE).update(**values):
            return False
    if is_due:
        on_commit(partial(notify.notify_workers, job.id, Queue(backfill.stage, backfill.cost)))
    return True
