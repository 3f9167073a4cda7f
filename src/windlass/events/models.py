from __future__ import annotations

from django.db import models

from windlass.events.audit.models import AuditChain, AuditEntry, AuditIdentity, PendingAuditEntry
from windlass.events.types import EventType
from windlass.events.webhooks.models import Delivery, WebhookEndpoint
from windlass.resilience.circuits import State
from windlass.resilience.service_level import ServiceLevel

__all__ = [
    "AuditChain",
    "AuditEntry",
    "AuditIdentity",
    "CircuitBreaker",
    "Delivery",
    "Event",
    "PendingAuditEntry",
    "ThroughputMinute",
    "WebhookEndpoint",
]


class Event(models.Model):
    """One event. Ids are in the order in which events were committed. ``request_id``: of the request that caused it, or
    empty."""

    id = models.BigAutoField(primary_key=True)
    type = models.CharField(max_length=32, choices=EventType.choices)
    owner = models.CharField(max_length=200)
    file_id = models.UUIDField(null=True)
    upload_id = models.UUIDField(null=True)
    at = models.DateTimeField(auto_now_add=True)
    data = models.JSONField(default=dict)
    request_id = models.CharField(max_length=128, default="", db_default="", blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["file_id", "id"], name="event_of_file"),
            models.Index(fields=["upload_id", "id"], name="event_of_upload"),
            models.Index(fields=["owner", "id"], name="event_of_owner"),
            models.Index(fields=["at"], name="event_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.type}"


class ThroughputMinute(models.Model):
    """The figures of one minute (``events.throughput``). Minutes without any may have no row."""

    minute = models.DateTimeField(primary_key=True)
    uploads = models.BigIntegerField()
    bytes = models.BigIntegerField()
    ready = models.BigIntegerField()
    rejected = models.BigIntegerField()
    failed = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"


class CircuitBreaker(models.Model):
    """The shared circuit of one name (``resilience.circuits``). Written on changes only: a breaker that never opened
    has no row."""

    name = models.CharField(max_length=100, primary_key=True)
    state = models.CharField(max_length=16, choices=[(state.value, state.value) for state in State])
    generation = models.BigIntegerField()
    failures = models.PositiveIntegerField(default=0)
    successes = models.PositiveIntegerField(default=0)
    trial_holder = models.CharField(max_length=200, default="", blank=True)
    trial_until = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} ({self.state})"


class ServiceLevelState(models.Model):
    """The service level of the whole installation: one row, with the id ROW. Written on changes only, besides the lease
    of the process that evaluates it.

    ``level`` and ``reason`` are those in force since ``since``; ``pinned_level`` is empty unless a person has set one.
    ``health`` holds ``resilience.service_level.ComponentHealth`` by component. ``generation`` rises with each change.
    """

    ROW = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ROW)
    level = models.CharField(max_length=16, choices=[(level.value, level.value) for level in ServiceLevel])
    reason = models.TextField()
    since = models.DateTimeField()
    pinned_level = models.CharField(max_length=16, default="", blank=True)
    pinned_reason = models.TextField(default="", blank=True)
    pinned_by = models.CharField(max_length=200, default="", blank=True)
    pinned_at = models.DateTimeField(null=True, blank=True)
    health = models.JSONField(default=dict)
    generation = models.BigIntegerField(default=0)
    evaluator = models.CharField(max_length=200, default="", blank=True)
    evaluator_until = models.DateTimeField(null=True, blank=True)
    evaluated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = verbose_name_plural = "service level"

    def __str__(self) -> str:
        return self.level
