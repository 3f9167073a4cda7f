from __future__ import annotations

from django.db import models

from windlass.jobs.states import AttemptOutcome, JobState, Stage
from windlass.kernel.ids import new_id


class Job(models.Model):
    """One stage of processing one file. The row is authoritative; a broker message only names it.

    ``attempts`` counts the claims that used up an attempt; ``lease_epoch`` rises with each claim and fences earlier
    ones. ``notified_at`` is when workers were last notified of it.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    stage = models.CharField(max_length=32, choices=Stage.choices)
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
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["file_id", "run", "stage"], name="one_job_per_stage")]
        indexes = [
            models.Index(fields=["state", "due_at"], name="job_by_due"),
            models.Index(fields=["state", "lease_until"], name="job_by_lease"),
        ]

    def __str__(self) -> str:
        return f"{self.stage} of {self.file_id} ({self.state})"


class Attempt(models.Model):
    """One claim of a job and how it ended."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempt_log")
    number = models.PositiveIntegerField()
    epoch = models.BigIntegerField()
    worker = models.CharField(max_length=200)
    outcome = models.CharField(max_length=16, choices=AttemptOutcome.choices, default=AttemptOutcome.RUNNING)
    step = models.CharField(max_length=64, default="", blank=True)
    error_class = models.CharField(max_length=200, default="", blank=True)
    message = models.TextField(default="", blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id} ({self.outcome})"
