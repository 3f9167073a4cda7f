"""How many deliveries wait and have failed, of all webhooks."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Min, QuerySet

from windlass.events.webhooks.models import Delivery, DeliveryState
from windlass.kernel.clock import now


@dataclass(frozen=True, slots=True)
class DeliveryQueue:
    """``oldest_age_seconds``: how long the delivery that is due for longest has waited, 0.0 if none is."""

    queued: int
    dead: int
    oldest_age_seconds: float


def delivery_queue() -> DeliveryQueue:
    pending = Delivery.objects.filter(state=DeliveryState.PENDING).aggregate(n=Count("id"), since=Min("due_at"))
    since = pending["since"]
    age = 0.0 if since is None else max(0.0, (now() - since).total_seconds())
    return DeliveryQueue(pending["n"], failed_deliveries().count(), age)


def failed_deliveries() -> QuerySet[Delivery]:
    """Those whose attempts are used up, the last first, each with its endpoint."""
    failed = Delivery.objects.filter(state=DeliveryState.DEAD).select_related("endpoint")
    return failed.order_by("-finished_at", "-id")
