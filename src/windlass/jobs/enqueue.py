"""Create, reopen, cancel and delete jobs. Workers are notified once the transaction commits."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta
from functools import partial

from django.db.models import F

from windlass import conf
from windlass.database import rows
from windlass.database.batches import delete_in_batches
from windlass.database.connection import on_commit
from windlass.jobs import notify
from windlass.jobs.models import Attempt, Job
from windlass.jobs.states import AttemptOutcome, CostClass, JobState, Queue, Stage
from windlass.kernel import spans
from windlass.kernel.clock import now


def enqueue(
    stage: Stage,
    file_id: uuid.UUID,
    *,
    cost: CostClass = CostClass.LIGHT,
    run: int = 1,
    request_id: str = "",
    is_new_file: bool = False,
) -> Job:
    """Create the job of this stage inside the caller's transaction; an existing one of the same run is returned.

    ``is_new_file``: the caller's transaction creates the file, which has no job yet.
    """
    moment = now()
    job = rows.new(
        Job,
        file_id=file_id,
        run=run,
        stage=stage,
        cost=cost,
        due_at=moment,
        notified_at=moment,
        max_attempts=conf.get().job_max_attempts,
        request_id=request_id,
        trace_context=spans.traceparent(),
    )
    if is_new_file:
        rows.insert_deferred(job)
    elif not rows.insert([job], unique=("file_id", "run", "stage")):
        return Job.objects.get(file_id=file_id, run=run, stage=stage)
    on_commit(lambda: notify.notify_workers(job.id, Queue(stage, cost)))
    return job


def reopen(stage: Stage, file_id: uuid.UUID, *, cost: CostClass, run: int) -> bool:
    """Queue a finished job again, inside the caller's transaction. Return False if the job is open or dead.

    What it runs now is no longer part of the trace that queued it first, which may be days old. A pruned job is
    created anew, in the class ``cost``.
    """
    job = Job.objects.filter(file_id=file_id, run=run, stage=stage).first()
    if job is None:
        enqueue(stage, file_id, cost=cost, run=run)
        return True
    moment = now()
    changed = Job.objects.filter(id=job.id, state=JobState.DONE).update(
        state=JobState.QUEUED,
        attempts=0,
        due_at=moment,
        notified_at=moment,
        updated_at=moment,
        trace_context=spans.traceparent(),
    )
    if changed:
        on_commit(lambda: notify.notify_workers(job.id, job.queue))
    return bool(changed)


def cancel_of_file(file_id: uuid.UUID, *, dead_letters: bool = False) -> int:
    """Cancel every open job of a file; a worker that runs one loses its lease. Return how many.

    ``dead_letters``: its dead letters too, which then can no longer be retried.
    """
    states = [JobState.QUEUED, JobState.RUNNING, *([JobState.DEAD] if dead_letters else [])]
    cancelled = Job.objects.filter(file_id=file_id, state__in=states)
    Attempt.objects.filter(job__in=cancelled, outcome=AttemptOutcome.RUNNING).update(
        outcome=AttemptOutcome.CANCELLED, ended_at=now()
    )
    return cancelled.update(state=JobState.CANCELLED, lease_epoch=F("lease_epoch") + 1, lease_until=None)


def resume_of_file(file_id: uuid.UUID, run: int) -> int:
    """Queue the cancelled jobs of this run again with no attempts used, inside the caller's transaction.

    Return how many.
    """
    cancelled = Job.objects.filter(file_id=file_id, run=run, state=JobState.CANCELLED)
    jobs = list(cancelled.only("id", "stage", "cost"))
    moment = now()
    cancelled.update(state=JobState.QUEUED, attempts=0, due_at=moment, notified_at=moment, updated_at=moment)
    for job in jobs:
        on_commit(partial(notify.notify_workers, job.id, job.queue))
    return len(jobs)


def delete_of_file(file_id: uuid.UUID) -> None:
    Job.objects.filter(file_id=file_id).delete()


def any_open(file_ids: Iterable[uuid.UUID]) -> bool:
    open_states = (JobState.QUEUED, JobState.RUNNING)
    return Job.objects.filter(file_id__in=list(file_ids), state__in=open_states).exists()


def prune(days: float) -> int:
    """Delete jobs that were done or cancelled more than ``days`` ago; return how many."""
    ended = [JobState.DONE, JobState.CANCELLED]
    horizon = now() - timedelta(days=days)
    # What ended before a moment was due before it: the first condition is the one that an index follows.
    old = (Job.objects.filter(state=state, due_at__lt=horizon, updated_at__lt=horizon) for state in ended)
    return sum(delete_in_batches(jobs, "due_at") for jobs in old)
