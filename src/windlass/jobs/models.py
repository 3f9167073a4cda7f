from __future__ import annotations

from django.db import models

from windlass.jobs.states import (
    FAILED_OUTCOMES,
    OPEN_STATES,
    AttemptOutcome,
    CostClass,
    JobState,
    ProcessRole,
    Queue,
    Stage,
)
from windlass.kernel.ids import new_id


class Job(models.Model):
    """One stage of processing one file. The row is authoritative; a broker message only names it.

    ``attempts`` counts the claims that used up an attempt; ``lease_epoch`` rises with each claim and fences earlier
    ones. ``notified_at`` is when workers were last notified of it.

    ``cost`` says with ``stage`` in which queue it is.

    ``trace_context`` is the ``traceparent`` of the span that queued it, empty if none was recorded.

    ``retries`` counts how often the job was retried as a dead letter, ``retry_due_at`` is when the last retry becomes
    due. ``backfill_due_at`` is when the last backfill of the file's postponed steps becomes due. ``dead_at``,
    ``dead_step`` and ``dead_error_class`` say when and of what it last became a dead letter; a dead job without
    ``dead_at`` was written by the version before, and the sweep completes it.

    Columns with ``db_default`` are newer than the first version; the version before does not name them in an INSERT.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    stage = models.CharField(max_length=32, choices=Stage.choices)
    cost = models.CharField(
        max_length=16, choices=CostClass.choices, default=CostClass.LIGHT, db_default=CostClass.LIGHT.value
    )
    file_id = models.UUIDField()
    run = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=16, choices=JobState.choices, default=JobState.QUEUED)
    due_at = models.DateTimeField()
    notified_at = models.DateTimeField(null=True, blank=True, db_column="rung_at")
    attempts = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField()
    lease_holder = models.CharField(max_length=200, default="", blank=True)
    lease_epoch = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(default="", blank=True)
    request_id = models.CharField(max_length=128, default="", blank=True)
    trace_context = models.CharField(max_length=55, default="", db_default="", blank=True, editable=False)
    retries = models.PositiveIntegerField(default=0, db_default=0)
    retry_due_at = models.DateTimeField(null=True, blank=True)
    backfill_due_at = models.DateTimeField(null=True, blank=True)
    dead_at = models.DateTimeField(null=True, blank=True)
    dead_step = models.CharField(max_length=64, default="", db_default="", blank=True)
    dead_error_class = models.CharField(max_length=200, default="", db_default="", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["file_id", "run", "stage"], name="one_job_per_stage")]
        indexes = [
            models.Index(fields=["state", "due_at"], name="job_by_due"),
            models.Index(fields=["state", "lease_until"], name="job_by_lease"),
            models.Index(
                fields=["stage", "cost", "state", "due_at"],
                name="open_jobs_by_cost",
                condition=models.Q(state__in=[state.value for state in OPEN_STATES]),
            ),
            models.Index(fields=["dead_at", "id"], condition=models.Q(state=JobState.DEAD), name="dead_letters"),
            models.Index(fields=["retry_due_at"], condition=models.Q(retries__gt=0), name="retried_jobs"),
            models.Index(
                fields=["backfill_due_at"], condition=models.Q(backfill_due_at__isnull=False), name="backfilled_jobs"
            ),
            models.Index(
                fields=["backfill_due_at"],
                condition=models.Q(
                    backfill_due_at__isnull=False, state__in=[JobState.QUEUED.value, JobState.RUNNING.value]
                ),
                name="open_backfills",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stage} of {self.file_id} ({self.state})"

    @property
    def queue(self) -> Queue:
        return Queue(Stage(self.stage), CostClass(self.cost))


class Attempt(models.Model):
    """One claim of a job and how it ended.

    ``number`` starts again with each retry of a dead letter; ``retry`` is the job's ``retries`` at the time, and
    ``request_id`` the request that caused the attempt.
    """

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempt_log")
    number = models.PositiveIntegerField()
    retry = models.PositiveIntegerField(default=0, db_default=0)
    epoch = models.BigIntegerField()
    worker = models.CharField(max_length=200)
    outcome = models.CharField(max_length=16, choices=AttemptOutcome.choices, default=AttemptOutcome.RUNNING)
    step = models.CharField(max_length=64, default="", blank=True)
    error_class = models.CharField(max_length=200, default="", blank=True)
    message = models.TextField(default="", blank=True)
    request_id = models.CharField(max_length=128, default="", db_default="", blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["ended_at"], condition=models.Q(outcome__in=FAILED_OUTCOMES), name="failed_attempts"),
            models.Index(fields=["started_at"], condition=models.Q(retry__gt=0), name="attempts_of_retries"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id} ({self.outcome})"

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        return None if self.ended_at is None else round((self.ended_at - self.started_at).total_seconds(), 3)


class ProcessHeartbeat(models.Model):
    """A running worker or scheduler, by the name under which it claims jobs. ``seen_at`` is the database's time.

    ``stages``: the names of the queues that a worker serves, separated by commas.
    """

    name = models.CharField(primary_key=True, max_length=200)
    role = models.CharField(max_length=16, choices=ProcessRole.choices)
    stages = models.CharField(max_length=200, default="", blank=True)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.role} {self.name}"
