"""Public interface of the events app: record events, and read them in order without missing one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta

from windlass.database.batches import delete_in_batches
from windlass.database.ownership import owned_by
from windlass.events.audit.actions import AuditAction
from windlass.events.audit.chain import chain_pending, prune_audit_log, pseudonymize
from windlass.events.audit.models import AuditEntry
from windlass.events.audit.reading import audit_document, audit_entries
from windlass.events.audit.recording import record_action, record_action_of_person
from windlass.events.audit.verification import AuditHead, AuditReport, verify_audit_log
from windlass.events.circuit_breakers import read_circuit, read_circuits, reset_circuit
from windlass.events.documents import document
from windlass.events.journal import Recorder, recording
from windlass.events.level_reader import (
    current_service_level,
    pin_service_level,
    record_evaluation,
    release_service_level,
    service_level,
)
from windlass.events.models import CircuitBreaker, Event
from windlass.events.notifications import add_listener
from windlass.events.owner_data import erase_events, owner_rows
from windlass.events.service_level import (
    LevelStatus,
    claim_evaluation,
    read_level,
    release_evaluation,
)
from windlass.events.throughput import Figures, Throughput, ThroughputWindow, count_ended_minutes, throughput
from windlass.events.types import SYSTEM, EventType
from windlass.events.webhooks.deliveries import (
    AttemptResult,
    ClaimedDelivery,
    NotReplayable,
    add_test_delivery,
    claim_due,
    correct_delivery_times_ahead,
    delivery_document,
    endpoints_with_due_deliveries,
    postpone,
    prune_deliveries,
    record_attempt,
    replay_delivery,
    replay_since,
)
from windlass.events.webhooks.delivery_status import DeliveryQueue, delivery_queue, failed_deliveries
from windlass.events.webhooks.endpoints import (
    TooManyEndpoints,
    active_secrets,
    change_endpoint,
    create_endpoint,
    delete_endpoint,
    delete_unused_breakers,
    disable_endpoint,
    rotate_secret,
    visible_endpoints,
    webhook_breaker_names,
)
from windlass.events.webhooks.fan_out import JournalReader, Rights, kept_from
from windlass.events.webhooks.models import Delivery, DeliveryState, WebhookEndpoint
from windlass.events.webhooks.signatures import signed_headers
from windlass.events.webhooks.subscriptions import TypesRefused, checked_types, is_system_type
from windlass.events.webhooks.targets import (
    Target,
    TargetRefused,
    check_target,
    parse_target,
    require_permitted,
    resolve,
)
from windlass.kernel.clock import now
from windlass.kernel.owners import EVERY_OWNER, Owners

__all__ = [
    "SYSTEM",
    "AttemptResult",
    "AuditAction",
    "AuditEntry",
    "AuditHead",
    "AuditReport",
    "CircuitBreaker",
    "ClaimedDelivery",
    "Delivery",
    "DeliveryQueue",
    "DeliveryState",
    "Event",
    "EventType",
    "Figures",
    "JournalReader",
    "LevelStatus",
    "NotReplayable",
    "Recorder",
    "Rights",
    "Target",
    "TargetRefused",
    "Throughput",
    "ThroughputWindow",
    "TooManyEndpoints",
    "TypesRefused",
    "WebhookEndpoint",
    "active_secrets",
    "add_listener",
    "add_test_delivery",
    "audit_document",
    "audit_entries",
    "chain_pending",
    "change_endpoint",
    "check_target",
    "checked_types",
    "claim_due",
    "claim_evaluation",
    "correct_delivery_times_ahead",
    "count_ended_minutes",
    "create_endpoint",
    "current_service_level",
    "delete_endpoint",
    "delete_unused_breakers",
    "delivery_document",
    "delivery_queue",
    "disable_endpoint",
    "document",
    "endpoints_with_due_deliveries",
    "erase_events",
    "events_after",
    "failed_deliveries",
    "is_system_type",
    "kept_from",
    "last_id",
    "owner_rows",
    "parse_target",
    "pin_service_level",
    "postpone",
    "prune",
    "prune_audit_log",
    "prune_deliveries",
    "pseudonymize",
    "read_circuit",
    "read_circuits",
    "read_level",
    "record_action",
    "record_action_of_person",
    "record_attempt",
    "record_evaluation",
    "recording",
    "release_evaluation",
    "release_service_level",
    "replay_delivery",
    "replay_since",
    "require_permitted",
    "reset_circuit",
    "resolve",
    "rotate_secret",
    "service_level",
    "signed_headers",
    "throughput",
    "verify_audit_log",
    "visible_endpoints",
    "webhook_breaker_names",
]


def events_after(
    since: int,
    *,
    owners: Owners = EVERY_OWNER,
    file_id: uuid.UUID | None = None,
    upload_id: uuid.UUID | None = None,
    limit: int = 500,
) -> Sequence[Event]:
    """Return events with ids above ``since``, in order; those of ``owners``, of this file, of this upload."""
    named = {"file_id": file_id, "upload_id": upload_id}
    selected = {name: value for name, value in named.items() if value is not None}
    return list(Event.objects.filter(owned_by(owners), id__gt=since, **selected).order_by("id")[:limit])


def last_id() -> int:
    return Event.objects.order_by("-id").values_list("id", flat=True).first() or 0


def prune(days: float) -> int:
    """Delete events older than ``days`` that every enabled webhook has read; return how many."""
    old = Event.objects.filter(at__lt=now() - timedelta(days=days))
    unread_after = kept_from()
    return delete_in_batches(old if unread_after is None else old.filter(id__lte=unread_after), "at")
