"""From the journal to deliveries. The journal is the outbox: an event is committed with the change it reports, and ids
are in the order of commits (docs/decisions/0004), so a cursor for each endpoint misses none.

Nothing is written when an event is recorded. The rows of deliveries are made afterwards, in the transaction that moves
the cursor: each event once for each endpoint, also where several processes do this.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db.models import Min

from windlass.database.connection import atomic
from windlass.database.outage import is_outage
from windlass.events.models import Event
from windlass.events.types import SYSTEM
from windlass.events.webhooks.deliveries import reopened_values
from windlass.events.webhooks.endpoints import disable_endpoint
from windlass.events.webhooks.models import Delivery, DeliveryState, WebhookEndpoint
from windlass.events.webhooks.subscriptions import events_of, is_system_type
from windlass.kernel.clock import now
from windlass.kernel.owners import Owners

#: Events of one transaction.
BATCH = 200
#: A cursor behind which there is nothing for its endpoint is moved once it is so many events behind.
CURSOR_LAG = 1000

OWNER_GONE = "The account of its owner was deleted or deactivated."

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rights:
    """What the owner of a webhook may follow now: system events if ``is_staff``, and events of ``readable`` owners."""

    is_staff: bool
    readable: Owners


def delivery_id(endpoint_id: uuid.UUID, event_id: int) -> uuid.UUID:
    """The id of every delivery of this event to this endpoint, and the ``webhook-id`` that receivers see."""
    return uuid.uuid5(endpoint_id, str(event_id))


def fan_out(endpoint_id: uuid.UUID, up_to: int, rights: Rights) -> bool:
    """Make the deliveries of the next events of an endpoint, at most up to the event ``up_to``, and move its cursor.

    Run it in a transaction. ``rights``: those of its owner now. Returns whether the cursor was moved, here or by
    another process meanwhile; there may be more events then.
    """
    endpoint = WebhookEndpoint.objects.filter(id=endpoint_id, enabled=True).first()
    if endpoint is None or endpoint.cursor >= up_to:
        return False
    wanted = events_of(endpoint, rights.readable, is_staff=rights.is_staff)
    selected = Event.objects.filter(wanted, id__gt=endpoint.cursor, id__lte=up_to)
    events = list(selected.order_by("id").only("id", "type", "file_id", "upload_id")[:BATCH])
    if not events and up_to - endpoint.cursor < CURSOR_LAG:
        return False
    cursor = events[-1].id if len(events) == BATCH else up_to
    moved = WebhookEndpoint.objects.filter(id=endpoint_id, enabled=True, cursor=endpoint.cursor).update(cursor=cursor)
    if moved:
        _add_deliveries(endpoint, events)
    return True


def _add_deliveries(endpoint: WebhookEndpoint, events: list[Event]) -> None:
    """Add a delivery for each event; one that has ended is sent again, because a replay moved the cursor back."""
    moment = now()
    ids = [delivery_id(endpoint.id, event.id) for event in events]
    Delivery.objects.filter(id__in=ids).exclude(state=DeliveryState.PENDING).update(**reopened_values())
    rows = [
        Delivery(
            id=row_id,
            endpoint_id=endpoint.id,
            event_id=event.id,
            event_type=event.type,
            file_id=event.file_id,
            upload_id=event.upload_id,
            due_at=moment,
            created_at=moment + timedelta(microseconds=number),  # so that lists are in the order of the events
        )
        for number, (row_id, event) in enumerate(zip(ids, events, strict=True))
    ]
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)


class JournalReader:
    """Finds the endpoints that have new events, and makes their deliveries. One for each process, used by one thread
    at a time.

    ``rights_of`` returns the rights of an owner; None if the owner may receive nothing any more.
    """

    def __init__(self, rights_of: Callable[[str], Rights | None]) -> None:
        self._rights_of = rights_of
        #: Endpoints whose owner's rights could not be found out, because the rule of the project failed.
        self._unclear: set[uuid.UUID] = set()
        self._read_up_to: int | None = None
        self._cursors: dict[uuid.UUID, int] = {}

    def read(self) -> bool:
        """Make the deliveries of all events up to now. Returns whether any endpoint is enabled."""
        endpoints = list(WebhookEndpoint.objects.filter(enabled=True).only("owner", "types", "all_owners", "cursor"))
        if not endpoints:
            return False
        last = Event.objects.order_by("-id").values_list("id", flat=True).first() or 0
        owners = self._owners_with_events(last)
        concerned = [each for each in endpoints if owners is None or self._is_concerned(each, owners)]
        moved = {each.id for each in concerned if each.cursor < last and self._fan_out(each, last)}
        # A cursor that was moved here is looked at once more: a replay may have moved it back since.
        self._cursors = {each.id: each.cursor for each in endpoints if each.id not in moved}
        self._read_up_to = last
        return True

    def _owners_with_events(self, last: int) -> set[str] | None:
        """The owners of events since the last read; None: not known, on the first read."""
        if self._read_up_to is None:
            return None
        since = Event.objects.filter(id__gt=self._read_up_to, id__lte=last)
        return set(since.values_list("owner", flat=True).distinct())

    def _is_concerned(self, endpoint: WebhookEndpoint, owners: set[str]) -> bool:
        """Whether there may be events for it: new ones, or its cursor was moved by a replay or another process."""
        if self._cursors.get(endpoint.id) != endpoint.cursor:
            return True
        is_for_staff = SYSTEM in owners and any(map(is_system_type, endpoint.types))
        return endpoint.owner in owners or is_for_staff or (endpoint.all_owners and bool(owners))

    def _fan_out(self, endpoint: WebhookEndpoint, last: int) -> bool:
        """Returns whether to look at the endpoint again: its cursor was moved, or its owner's rights are unclear."""
        try:
            rights = self._rights_of(endpoint.owner)
        except Exception as error:  # whatever the project's rule raises, the other endpoints go on
            if is_outage(error):
                raise
            if endpoint.id not in self._unclear:
                log.exception("webhook.rights_unclear", webhook_id=str(endpoint.id), owner=endpoint.owner)
            self._unclear.add(endpoint.id)
            return True
        self._unclear.discard(endpoint.id)
        if rights is None:
            with atomic():
                return disable_endpoint(endpoint.id, OWNER_GONE)
        is_moved = False
        while True:
            with atomic():
                if not fan_out(endpoint.id, last, rights):
                    return is_moved
            is_moved = True


def kept_from() -> int | None:
    """The id after which events must be kept, because an enabled endpoint has not read them; None: there is none."""
    first: int | None = WebhookEndpoint.objects.filter(enabled=True).aggregate(Min("cursor"))["cursor__min"]
    return first
