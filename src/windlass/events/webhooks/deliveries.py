"""Claims, outcomes and replays of deliveries. Every function that changes something is called in a transaction.

Events of one file or upload are delivered to an endpoint in order: while one is pending, later ones are not claimed.
Those of other files are. What a process records about a delivery is fenced by the lease epoch of its claim; where a
process is killed between sending and recording, the delivery is sent again with the same id.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict

from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet

from windlass import conf
from windlass.database.batches import delete_in_batches
from windlass.events.documents import document
from windlass.events.models import Event
from windlass.events.webhooks.models import Delivery, DeliveryState, WebhookEndpoint
from windlass.kernel.clock import CLOCK_TOLERANCE, now, rfc3339
from windlass.kernel.ids import new_id

#: The type of a delivery that was asked for as a test. It is no event of the journal.
TEST_TYPE = "webhook.test"
#: Attempts that are kept of one delivery, the last ones.
KEPT_ATTEMPTS = 30
#: How much longer than the longest attempt the lease of a claim lasts (seconds).
LEASE_MARGIN = 5.0
#: A delay of the schedule is changed at random by at most this share, so that many do not come at once.
JITTER = 0.2
#: A receiver's Retry-After counts up to this (seconds).
MAX_RETRY_AFTER = 3600.0

EVENT_GONE = "The event is no longer kept (EVENT_RETENTION_DAYS)."


class AttemptRecord(TypedDict):
    """One attempt as ``Delivery.attempt_log`` keeps it. ``status``: of the reply, None where none came."""

    at: str
    seconds: float
    status: int | None
    reply_head: str
    error: str


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What came of one attempt. ``reply_head``: the header fields of the reply, at most 1 KiB. ``error`` is empty if
    the receiver accepted the event. ``retry_after``: what the receiver asked for, in seconds."""

    started_at: datetime
    seconds: float
    status: int | None = None
    reply_head: str = ""
    error: str = ""
    retry_after: float | None = None

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no more events (410)."""
        return self.status == 410


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """The right to send one delivery once, until its lease ends. ``document``: the JSON that is sent.

    ``request_id``: of the request that caused the event, or empty.
    """

    id: uuid.UUID
    endpoint: WebhookEndpoint
    event_type: str
    file_id: uuid.UUID | None
    upload_id: uuid.UUID | None
    epoch: int
    attempts: int
    document: Mapping[str, Any]
    request_id: str


class NotReplayable(Exception):
    """The delivery cannot be sent again. The message says why."""


def endpoints_with_due_deliveries() -> list[uuid.UUID]:
    return list(_due(now()).order_by().values_list("endpoint_id", flat=True).distinct())


def claim_due(endpoint_id: uuid.UUID, most: int) -> Sequence[ClaimedDelivery]:
    """Claim deliveries of an endpoint that are due, at most ``most``, in the order of their events."""
    moment = now()
    endpoint = WebhookEndpoint.objects.filter(id=endpoint_id, enabled=True).first()
    if endpoint is None:
        cancel_pending(endpoint_id)
        return []
    due = _unblocked(_due(moment).filter(endpoint_id=endpoint_id)).order_by("due_at", "event_id")
    found = list(due[:most])
    events = Event.objects.in_bulk([row.event_id for row in found if row.event_id is not None])
    claims = (_claim(row, endpoint, events, moment) for row in found)
    return [claim for claim in claims if claim is not None]


def _due(moment: datetime) -> QuerySet[Delivery]:
    is_free = Q(lease_until=None) | Q(lease_until__lt=moment)
    return Delivery.objects.filter(is_free, state=DeliveryState.PENDING, due_at__lte=moment)


def _unblocked(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """Those before which no event of the same file, upload, or system waits. Tests wait for nothing."""
    earlier = Delivery.objects.filter(
        endpoint_id=OuterRef("endpoint_id"), state=DeliveryState.PENDING, event_id__lt=OuterRef("event_id")
    )
    return deliveries.filter(
        ~Exists(earlier.filter(file_id=OuterRef("file_id"))),
        ~Exists(earlier.filter(upload_id=OuterRef("upload_id"))),
        Q(file_id__isnull=False)
        | Q(upload_id__isnull=False)
        | ~Exists(earlier.filter(file_id__isnull=True, upload_id__isnull=True)),
    )


def _claim(
    row: Delivery, endpoint: WebhookEndpoint, events: Mapping[int, Event], moment: datetime
) -> ClaimedDelivery | None:
    event = events.get(row.event_id) if row.event_id is not None else None
    if row.event_id is not None and event is None:
        _end(row.id, row.lease_epoch, DeliveryState.DEAD, [*row.attempt_log, _record(_not_sent(moment))], row.attempts)
        return None
    lease = timedelta(seconds=conf.get().webhook_timeout_seconds + LEASE_MARGIN)
    claimed = Delivery.objects.filter(
        id=row.id, state=DeliveryState.PENDING, lease_epoch=row.lease_epoch, due_at__lte=moment
    ).update(lease_epoch=row.lease_epoch + 1, lease_until=moment + lease)
    if not claimed:
        return None
    return ClaimedDelivery(
        id=row.id,
        endpoint=endpoint,
        event_type=row.event_type,
        file_id=row.file_id,
        upload_id=row.upload_id,
        epoch=row.lease_epoch + 1,
        attempts=row.attempts,
        document=_payload(event) if event else _test_payload(row),
        request_id=event.request_id if event else "",
    )


def _payload(event: Event) -> dict[str, Any]:
    return {**document(event), "timestamp": rfc3339(event.at)}


def _test_payload(row: Delivery) -> dict[str, Any]:
    at = rfc3339(row.created_at)
    told = {"id": None, "type": row.event_type, "file_id": None, "upload_id": None, "at": at}
    return told | {"data": {"message": "A test of this webhook."}, "timestamp": at}


def record_attempt(claim: ClaimedDelivery, result: AttemptResult) -> DeliveryState | None:
    """Record an attempt, and return the state of the delivery; None if the claim was lost, and nothing is recorded."""
    row = Delivery.objects.filter(id=claim.id, lease_epoch=claim.epoch, state=DeliveryState.PENDING).first()
    if row is None:
        return None
    log = [*row.attempt_log, _record(result)][-KEPT_ATTEMPTS:]
    attempts = row.attempts + 1
    delay = None if result.is_delivered else retry_delay(attempts, result.retry_after)
    if delay is not None:
        due_at = now() + timedelta(seconds=delay)
        is_changed = Delivery.objects.filter(id=claim.id, lease_epoch=claim.epoch, state=DeliveryState.PENDING).update(
            attempts=attempts, attempt_log=log, due_at=due_at, lease_until=None
        )
        _later_of_same_file(claim).filter(due_at__lt=due_at).update(due_at=due_at)
        return DeliveryState.PENDING if is_changed else None
    state = DeliveryState.DELIVERED if result.is_delivered else DeliveryState.DEAD
    is_ended = _end(claim.id, claim.epoch, state, log, attempts)
    if is_ended and attempts > 1:
        _later_of_same_file(claim).filter(due_at__gt=now(), attempts=0).update(due_at=now())
    return state if is_ended else None


def retry_delay(attempts: int, retry_after: float | None = None) -> float | None:
    """Seconds until the next attempt after so many; None if the schedule (WEBHOOK_RETRY_SECONDS) is used up."""
    schedule = conf.get().webhook_retry_schedule
    if attempts > len(schedule):
        return None
    delay = schedule[attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  no secret
    return max(delay, min(retry_after or 0.0, MAX_RETRY_AFTER))


def _end(row_id: uuid.UUID, epoch: int, state: DeliveryState, log: Sequence[AttemptRecord], attempts: int) -> bool:
    ended = Delivery.objects.filter(id=row_id, lease_epoch=epoch, state=DeliveryState.PENDING).update(
        state=state, attempt_log=list(log)[-KEPT_ATTEMPTS:], attempts=attempts, finished_at=now(), lease_until=None
    )
    return bool(ended)


def _later_of_same_file(claim: ClaimedDelivery) -> QuerySet[Delivery]:
    """The pending deliveries that wait for this one. They are due when it is: so nobody looks at them before."""
    same = Q()
    if claim.file_id is not None:
        same |= Q(file_id=claim.file_id)
    if claim.upload_id is not None:
        same |= Q(upload_id=claim.upload_id)
    waiting = Delivery.objects.filter(endpoint_id=claim.endpoint.id, state=DeliveryState.PENDING).exclude(id=claim.id)
    return waiting.filter(same) if same else waiting.none()


def postpone(claim: ClaimedDelivery, seconds: float) -> None:
    """Release the claim without using an attempt, and let everything that is due for its endpoint wait as well."""
    due_at = now() + timedelta(seconds=seconds)
    Delivery.objects.filter(id=claim.id, lease_epoch=claim.epoch).update(due_at=due_at, lease_until=None)
    _due(now()).filter(endpoint_id=claim.endpoint.id).update(due_at=due_at)


def correct_delivery_times_ahead(*, at_most: int = 200) -> int:
    """Correct pending deliveries that were written while a clock was ahead; return how many.

    One that waits keeps its delay, counted from now: when it was created, or tried last, says when it was written, and
    is now as well. A lease becomes a whole one from now.
    """
    moment = now()
    horizon = moment + CLOCK_TOLERANCE
    pending = Delivery.objects.filter(state=DeliveryState.PENDING)
    longest = moment + timedelta(seconds=conf.get().webhook_timeout_seconds + LEASE_MARGIN)
    corrected = pending.filter(lease_until__gt=longest + CLOCK_TOLERANCE).update(lease_until=longest)
    late = pending.filter(due_at__gt=horizon).only("id", "due_at", "created_at", "attempt_log").order_by("-due_at")
    for row in late[:at_most]:
        written_at = datetime.fromisoformat(row.attempt_log[-1]["at"]) if row.attempt_log else row.created_at
        if written_at > horizon:
            values: dict[str, Any] = {"due_at": moment + max(row.due_at - written_at, timedelta())}
            if row.attempt_log:
                values["attempt_log"] = [*row.attempt_log[:-1], {**row.attempt_log[-1], "at": rfc3339(moment)}]
            else:
                values["created_at"] = moment
            corrected += pending.filter(id=row.id, due_at=row.due_at).update(**values)
    return corrected


def cancel_pending(endpoint_id: uuid.UUID) -> int:
    """Cancel what was not delivered to an endpoint; return how many."""
    return Delivery.objects.filter(endpoint_id=endpoint_id, state=DeliveryState.PENDING).update(
        state=DeliveryState.CANCELLED, finished_at=now(), lease_until=None, lease_epoch=F("lease_epoch") + 1
    )


def add_test_delivery(endpoint: WebhookEndpoint) -> Delivery:
    """Send a test event to the endpoint. Raises NotReplayable if it is disabled."""
    _require_enabled(endpoint)
    moment = now()
    return Delivery.objects.create(
        id=new_id(), endpoint=endpoint, event_type=TEST_TYPE, due_at=moment, created_at=moment
    )


def replay_delivery(delivery: Delivery) -> Delivery:
    """Send one delivery again, now, with the whole schedule of retries before it. Raises NotReplayable."""
    _require_enabled(delivery.endpoint)
    if delivery.event_id is not None and not Event.objects.filter(id=delivery.event_id).exists():
        raise NotReplayable(EVENT_GONE)
    moment = now()
    Delivery.objects.filter(id=delivery.id, state=DeliveryState.PENDING).update(due_at=moment)
    Delivery.objects.filter(id=delivery.id).exclude(state=DeliveryState.PENDING).update(**reopened_values())
    delivery.refresh_from_db()
    return delivery


def replay_since(endpoint: WebhookEndpoint, since: datetime) -> int:
    """Send all events since a time again, in order, also those that were never sent. Returns the id of the first one.

    The cursor is moved back; the deliveries follow with the next reads of the journal. Raises NotReplayable.
    """
    _require_enabled(endpoint)
    first: int | None = Event.objects.filter(at__gte=since).aggregate(Min("id"))["id__min"]
    if first is None:
        raise NotReplayable("There is no event since then.")
    WebhookEndpoint.objects.filter(id=endpoint.id, cursor__gte=first).update(cursor=first - 1, updated_at=now())
    return first


def reopened_values() -> dict[str, Any]:
    """The columns of a delivery that has ended and is to be sent again."""
    return {"state": DeliveryState.PENDING, "due_at": now(), "attempts": 0, "finished_at": None, "lease_until": None}


def prune_deliveries(days: float) -> int:
    """Delete deliveries that ended more than ``days`` ago; return how many."""
    ended = Delivery.objects.filter(finished_at__lt=now() - timedelta(days=days))
    return delete_in_batches(ended.exclude(state=DeliveryState.PENDING), "finished_at")


def delivery_document(delivery: Delivery) -> dict[str, Any]:
    """The delivery as the API and the commands show it."""
    return {
        "id": str(delivery.id),
        "event_id": delivery.event_id,
        "type": delivery.event_type,
        "file_id": str(delivery.file_id) if delivery.file_id else None,
        "upload_id": str(delivery.upload_id) if delivery.upload_id else None,
        "state": delivery.state,
        "attempts": delivery.attempt_log,
        "due_at": rfc3339(delivery.due_at) if delivery.state == DeliveryState.PENDING else None,
        "created_at": rfc3339(delivery.created_at),
        "finished_at": rfc3339(delivery.finished_at),
    }


def _require_enabled(endpoint: WebhookEndpoint) -> None:
    if not endpoint.enabled:
        raise NotReplayable("The webhook is disabled. Enable it first.")


def _record(result: AttemptResult) -> AttemptRecord:
    return {
        "at": rfc3339(result.started_at) or "",
        "seconds": round(result.seconds, 3),
        "status": result.status,
        "reply_head": result.reply_head,
        "error": result.error,
    }


def _not_sent(moment: datetime) -> AttemptResult:
    return AttemptResult(moment, 0.0, error=EVENT_GONE)
