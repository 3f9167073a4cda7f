from __future__ import annotations

from typing import NamedTuple

from django.db import models


class Stage(models.TextChoices):
    """The three stages of processing. Each has its own job per file, and its own queues."""

    INTAKE = "intake"  # checksum, duplicate, type, type rules, malware: a file must pass it to be served
    DESCRIBE = "describe"  # facts by kind
    DERIVE = "derive"  # thumbnails and previews


class CostClass(models.TextChoices):
    """How much of a worker a job takes. Heavy jobs have queues of their own: light ones do not wait for them."""

    LIGHT = "light"
    HEAVY = "heavy"  # a large file, or a stage with a step that takes long


class Queue(NamedTuple):
    """What a worker may serve: the jobs of one stage and cost class."""

    stage: Stage
    cost: CostClass

    @property
    def name(self) -> str:
        """The name of the broker's queue. That of light jobs is the one of the version without cost classes."""
        return self.stage.value if self.cost == CostClass.LIGHT else f"{self.stage.value}-{self.cost.value}"


QUEUES = tuple(Queue(stage, cost) for stage in Stage for cost in CostClass)


def queue_of(name: str) -> Queue | None:
    """The queue of this name."""
    return next((queue for queue in QUEUES if queue.name == name), None)


class JobState(models.TextChoices):
    QUEUED = "queued"  # due at due_at; workers may have been notified
    RUNNING = "running"  # claimed under a lease
    DONE = "done"  # its results are recorded
    CANCELLED = "cancelled"  # its file was released, deleted or processed again from the start
    DEAD = "dead"  # a dead letter: its attempts are used up, or it cannot succeed


#: Of jobs that wait, run or are dead letters: few, however many are done.
OPEN_STATES = (JobState.QUEUED, JobState.RUNNING, JobState.DEAD)


class ProcessRole(models.TextChoices):
    """Processes with heartbeats: without them, nothing is processed."""

    WORKER = "worker"
    SCHEDULER = "scheduler"


class AttemptOutcome(models.TextChoices):
    RUNNING = "running"  # in progress
    DONE = "done"  # succeeded
    FAILED = "failed"  # ended with an error
    LOST = "lost"  # its lease expired: the worker died or stopped
    POSTPONED = "postponed"  # a service that it needs is unavailable; not counted as an attempt
    CANCELLED = "cancelled"  # its file was released or deleted while it ran


#: Outcomes that count as failures.
FAILED_OUTCOMES = (AttemptOutcome.FAILED, AttemptOutcome.LOST)
