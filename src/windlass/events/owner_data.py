"""Everything that the events app stores of one owner, for export and erasure. The audit log: ``audit.chain``."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import Q, QuerySet

from windlass.events.models import Delivery, Event, ServiceLevelState, WebhookEndpoint
from windlass.events.types import EventType


def owner_rows(owner: str) -> dict[str, QuerySet[Any]]:
    """Rows by a name for the export, in an order in which they can be deleted."""
    events = Event.objects.filter(owner=owner)
    theirs = Q(endpoint__owner=owner)
    about_them = Q(event_id__in=events.values("id"))
    return {
        "deliveries": Delivery.objects.filter(theirs | about_them),
        "webhooks": WebhookEndpoint.objects.filter(owner=owner),
        "events": events,
    }


def erase_events(owner: str) -> None:
    """Delete the owner's events and deliveries, and the owner's name from the service level. Call it in a transaction.

    ``file.deleted`` keeps its place in the journal under a pseudonym: it tells listeners of staff to delete their data
    of a file, and has no text.
    """
    rows = owner_rows(owner)
    deletions = Q(type=EventType.FILE_DELETED)
    rows["deliveries"].filter(Q(endpoint__owner=owner) | ~Q(event_type=EventType.FILE_DELETED)).delete()
    rows["webhooks"].delete()
    rows["events"].exclude(deletions).delete()
    rows["events"].filter(deletions).update(owner=f"erased:{uuid.uuid4().hex}", request_id="", data={})
    ServiceLevelState.objects.filter(pinned_by=owner).update(pinned_by="", pinned_reason="")
