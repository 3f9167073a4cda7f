"""Dead letters: find, retry and delete the jobs whose attempts are used up.

A retry queues the same job again, so that its attempts stay together: ``Job.retries`` rises, the attempt numbers and
the backoff start again, and each attempt records the retry to which it belongs.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import Any

from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from windlass import conf
from windlass.database.connection import atomic, on_commit
from windlass.events.api import AuditAction, Recorder, record_action_of_person, recording
from windlass.jobs import notify
from windlass.jobs.models import Attempt, Job
from windlass.jobs.pacing import next_due_time
from windlass.jobs.states import FAILED_OUTCOMES, JobState, Stage
from windlass.kernel import spans
from windlass.kernel.clock import now, rfc3339

#: Dead letters that one transaction retries or deletes.
BATCH = 50


class RetryResult(StrEnum):
    QUEUED = "queued"
    NOT_FOUND = "not_found"
    """There is no such job, or its file is in the trash."""
    NOT_DEAD = "not_dead"
    """The job is no dead letter, or its file was processed again from the start or released since."""


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters; None: whatever the value. ``before`` and ``after`` compare when they became dead letters."""

    stage: Stage | None = None
    step: str | None = None
    error_class: str | None = None
    before: datetime | None = None
    after: datetime | None = None

    def condition(self) -> Q:
        wanted: dict[str, object] = {
            "stage": self.stage,
            "dead_step": self.step,
            "dead_error_class": self.error_class,
            "dead_at__lt": self.before,
            "dead_at__gt": self.after,
        }
        return Q(
            state=JobState.DEAD,
            dead_at__isnull=False,
            **{name: value for name, value in wanted.items() if value is not None},
        )


def dead_letters(selection: DeadLetterFilter | None = None) -> QuerySet[Job]:
    """The selected dead letters, the newest first."""
    return Job.objects.filter((selection or DeadLetterFilter()).condition()).order_by("-dead_at", "-id")


def job_state(job_id: uuid.UUID) -> JobState | None:
    """None if there is no such job."""
    state = Job.objects.filter(id=job_id).values_list("state", flat=True).first()
    return None if state is None else JobState(state)


def dead_letter_document(job: Job, longest_message: int | None = None) -> dict[str, Any]:
    """A dead letter with all its attempts, the oldest first, as the API and the export carry it.

    ``longest_message``: shorten messages to this many characters.
    """
    attempts = list(job.attempt_log.all())
    failed = [each.ended_at for each in attempts if each.outcome in FAILED_OUTCOMES and each.ended_at]
    return {
        "task_id": str(job.id),
        "file_id": str(job.file_id),
        "stage": job.stage,
        "step": job.dead_step or None,
        "error_class": job.dead_error_class or None,
        "message": job.last_error[:longest_message],
        "retries": job.retries,
        "attempts": [_attempt_document(each, longest_message) for each in attempts],
        "first_failed_at": rfc3339(min(failed, default=job.dead_at)),
        "last_failed_at": rfc3339(max(failed, default=job.dead_at)),
    }


def _attempt_document(attempt: Attempt, longest_message: int | None) -> dict[str, Any]:
    return {
        "retry": attempt.retry,
        "number": attempt.number,
        "outcome": attempt.outcome,
        "step": attempt.step or None,
        "started_at": rfc3339(attempt.started_at),
        "ended_at": rfc3339(attempt.ended_at),
        "seconds": attempt.seconds,
        "error_class": attempt.error_class or None,
        "message": attempt.message[:longest_message],
        "worker": attempt.worker,
        "request_id": attempt.request_id or None,
    }


# Retry

#: Makes a job's file ready for the retry, in the transaction that queues the job.
ResumeFile = Callable[[Recorder, Job], RetryResult]


def _resume_nothing(recorder: Recorder, job: Job) -> RetryResult:
    raise RuntimeError("dead letters can be retried only where windlass.processing is loaded")


_resume_file: ResumeFile = _resume_nothing


def resume_files_by(resume_file: ResumeFile) -> None:
    """Set what makes a file ready for a retry of its job. Processing, a layer above, sets this when it is loaded."""
    global _resume_file
    _resume_file = resume_file


def retry_dead_letters(job_ids: Iterable[uuid.UUID], request_id: str = "") -> Mapping[uuid.UUID, RetryResult]:
    """Queue these dead letters again, with no attempts used; return what became of each.

    They become due one after the other, DEAD_RETRY_PER_MINUTE of them in a minute, after those that were retried
    before, so that the jobs of new uploads do not wait behind them.
    """
    results: dict[uuid.UUID, RetryResult] = {}
    remaining = iter(dict.fromkeys(job_ids))
    pause = timedelta(seconds=60 / conf.get().dead_retry_per_minute)
    while batch := list(islice(remaining, BATCH)):
        with recording():
            due_at = next_due_time(Job.objects.filter(retries__gt=0), "retry_due_at", pause)
            for job_id in batch:
                results[job_id] = _retry(job_id, due_at, request_id)
                if results[job_id] == RetryResult.QUEUED:
                    due_at += pause
    return results


class _NotResumed(Exception):
    """Rolls a retry back: its file cannot be processed."""

    def __init__(self, result: RetryResult) -> None:
        self.result = result


def _retry(job_id: uuid.UUID, due_at: datetime, request_id: str) -> RetryResult:
    """The job changes before its file, as everywhere: transactions that wait for each other would be a deadlock."""
    try:
        with recording() as recorder:
            if not _queue_again(job_id, due_at, request_id):
                return RetryResult.NOT_FOUND if job_state(job_id) is None else RetryResult.NOT_DEAD
            job = Job.objects.get(id=job_id)
            result = _resume_file(recorder, job)
            if result != RetryResult.QUEUED:
                raise _NotResumed(result)
            record_action_of_person(AuditAction.DEAD_LETTER_RETRIED, file_id=job.file_id, subject=str(job_id))
            if job.notified_at is not None:
                on_commit(partial(notify.notify_workers, job_id, job.queue))
    except _NotResumed as refused:
        if refused.result == RetryResult.NOT_DEAD:
            Job.objects.filter(id=job_id, state=JobState.DEAD).update(state=JobState.CANCELLED, updated_at=now())
        return refused.result
    return RetryResult.QUEUED


def _queue_again(job_id: uuid.UUID, due_at: datetime, request_id: str) -> bool:
    """Return False if the job is no dead letter."""
    moment = now()
    values: dict[str, Any] = {
        "state": JobState.QUEUED,
        "retries": F("retries") + 1,
        "retry_due_at": due_at,
        "attempts": 0,
        "max_attempts": conf.get().job_max_attempts,
        "due_at": due_at,
        "notified_at": moment if due_at <= moment else None,
        "lease_holder": "",
        "updated_at": moment,
    }
    if request_id:
        values["request_id"] = request_id
    if trace_context := spans.traceparent():
        values["trace_context"] = trace_context
    return bool(Job.objects.filter(id=job_id, state=JobState.DEAD).update(**values))


# Complete


def complete_dead_letters() -> int:
    """Date the dead letters that a process of the version before has written, as its schema did not have the columns.

    Return how many. Until then they are not listed.
    """
    last_attempt = Attempt.objects.filter(job=OuterRef("pk")).order_by("-id")
    return Job.objects.filter(state=JobState.DEAD, dead_at=None).update(
        dead_at=F("updated_at"),
        dead_step=Coalesce(Subquery(last_attempt.values("step")[:1]), Value("")),
        dead_error_class=Coalesce(Subquery(last_attempt.values("error_class")[:1]), Value("")),
    )


# Delete


def delete_dead_letters(selected: QuerySet[Job]) -> int:
    """Delete the selected jobs that still are dead letters, with their attempts; return how many.

    Their files stay as they are.
    """
    total = 0
    while deleted := _delete_batch(selected):
        total += deleted
    return total


def delete_old_dead_letters(days: float, *, dry_run: bool = False) -> int:
    """Delete dead letters of more than ``days`` ago; return how many. ``dry_run``: only count them."""
    expired = dead_letters(DeadLetterFilter(before=now() - timedelta(days=days)))
    return expired.count() if dry_run else delete_dead_letters(expired)


def _delete_batch(selected: QuerySet[Job]) -> int:
    with atomic():
        # Locked, so that none of them is retried meanwhile. SQLite has one writer, and ignores the lock.
        locked: dict[uuid.UUID, uuid.UUID] = dict(
            selected.filter(state=JobState.DEAD).select_for_update(of=("self",)).values_list("id", "file_id")[:BATCH]
        )
        Job.objects.filter(id__in=list(locked), state=JobState.DEAD).delete()
        for job_id, file_id in locked.items():
            record_action_of_person(AuditAction.DEAD_LETTER_DELETED, file_id=file_id, subject=str(job_id))
    return len(locked)
