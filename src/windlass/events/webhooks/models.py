"""The webhook endpoints of owners, and one row for each event that an endpoint is sent."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from windlass.kernel.ids import new_id


class DeliveryState(models.TextChoices):
    PENDING = "pending"  # waits for its next attempt, or is being sent
    DELIVERED = "delivered"  # the receiver answered with a 2xx status
    DEAD = "dead"  # its attempts are used up, or the event is no longer kept
    CANCELLED = "cancelled"  # the endpoint was disabled before it was delivered


class WebhookEndpoint(models.Model):
    """A URL that an owner's events of some types are sent to.

    ``cursor``: the last event of the journal for which deliveries were made. ``all_owners``: the events of every
    owner whose files its owner may read. Secrets sign, so they are stored as they are; both are used until
    ``old_secret_until``.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.CharField(max_length=200)
    url = models.CharField(max_length=2048)
    types = models.JSONField(default=list)
    all_owners = models.BooleanField(default=False)
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=200, default="", blank=True)
    cursor = models.BigIntegerField(default=0)
    secret = models.CharField(max_length=100, editable=False)
    old_secret = models.CharField(max_length=100, default="", blank=True, editable=False)
    old_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["owner", "created_at", "id"], name="webhook_of_owner")]

    def __str__(self) -> str:
        return f"webhook {self.id}"


class Delivery(models.Model):
    """One event for one endpoint. Its id is made of both, and is the ``webhook-id`` of every attempt.

    ``event_id`` is null for a test. The event's data, which may hold a client's file name, is in the journal only.
    ``attempts`` counts since the last replay; ``attempt_log`` has the last ones of all (``AttemptRecord``).
    A process that sends it holds the lease; ``lease_epoch`` fences what it records afterwards.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    event_id = models.BigIntegerField(null=True)
    event_type = models.CharField(max_length=32)
    file_id = models.UUIDField(null=True)
    upload_id = models.UUIDField(null=True)
    state = models.CharField(max_length=16, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    due_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    attempt_log = models.JSONField(default=list)
    lease_epoch = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(fields=["endpoint", "created_at", "id"], name="delivery_of_endpoint"),
            models.Index(fields=["due_at"], name="delivery_due", condition=Q(state="pending")),
            models.Index(fields=["endpoint", "due_at"], name="delivery_due_of_endpoint", condition=Q(state="pending")),
            models.Index(fields=["endpoint", "file_id"], name="delivery_of_file", condition=Q(state="pending")),
            models.Index(fields=["endpoint", "upload_id"], name="delivery_of_upload", condition=Q(state="pending")),
            models.Index(fields=["finished_at"], name="delivery_by_end", condition=~Q(state="pending")),
            models.Index(fields=["finished_at", "id"], name="delivery_failed", condition=Q(state="dead")),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} to {self.endpoint_id} ({self.state})"
