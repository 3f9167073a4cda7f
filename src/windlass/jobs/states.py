from __future__ import annotations

from django.db import models


class Stage(models.TextChoices):
    """The three stages of processing. Each is a job, and a queue, of its own."""

    INTAKE = "intake"  # the gate: checksum, duplicate, type, rules
    DESCRIBE = "describe"  # facts by kind
    DERIVE = "derive"  # thumbnails and previews


class JobState(models.TextChoices):
    QUEUED = "queued"  # due at due_at; a bell may have rung for it
    RUNNING = "running"  # claimed under a lease
    DONE = "done"  # its effects are recorded
    CANCELLED = "cancelled"  # its file was released or deleted
    DEAD = "dead"  # a dead letter: it used up its attempts, or cannot succeed


class AttemptOutcome(models.TextChoices):
    RUNNING = "running"  # under way
    DONE = "done"  # succeeded
    FAILED = "failed"  # ended with an error
    LOST = "lost"  # its lease lapsed: the worker died or stopped
    POSTPONED = "postponed"  # a part it needs is away; not counted as an attempt
    CANCELLED = "cancelled"  # its file was withdrawn while it ran
