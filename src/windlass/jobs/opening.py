"""Jobs as rows: made, made due once more, withdrawn with their file, forgotten. The bell rings once they are there."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta
from functools import partial

from django.db.models import F

from windlass import conf
from windlass.database.connection import on_commit
from windlass.jobs import wake
from windlass.jobs.models import Attempt, Job
from windlass.jobs.states import AttemptOutcome, JobState, Stage
from windlass.kernel.clock import now


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
    on_commit(lambda: wake.ring(job.id, stage))
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
        on_commit(lambda: wake.ring(job.id, stage))
    return bool(changed)


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
        on_commit(partial(wake.ring, job.id, Stage(job.stage)))
    return len(found)


def forget_file(file_id: uuid.UUID) -> None:
    """The file's record is gone: so are its jobs."""
    Job.objects.filter(file_id=file_id).delete()


def are_open(file_ids: Iterable[uuid.UUID]) -> bool:
    """Whether a worker is at any of these files, or will be."""
    open_states = (JobState.QUEUED, JobState.RUNNING)
    return Job.objects.filter(file_id__in=list(file_ids), state__in=open_states).exists()


def prune(days: float) -> int:
    """Delete ended jobs older than ``days``; returns how many."""
    ended = [JobState.DONE, JobState.CANCELLED, JobState.DEAD]
    deleted, _ = Job.objects.filter(state__in=ended, updated_at__lt=now() - timedelta(days=days)).delete()
    return deleted
