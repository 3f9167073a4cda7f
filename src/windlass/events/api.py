"""Public interface of the events app: record events, and read them in order without missing one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from windlass.events.circuit_breakers import read_circuit, read_circuits, reset_circuit
from windlass.events.journal import Recorder, add_listener, recording
from windlass.events.level_reader import (
    pin_service_level,
    record_evaluation,
    release_service_level,
    service_level,
)
from windlass.events.models import CircuitBreaker, Event
from windlass.events.service_level import (
    LevelStatus,
    claim_evaluation,
    read_level,
    release_evaluation,
)
from windlass.events.types import SYSTEM, EventType
from windlass.kernel.clock import now, rfc3339

__all__ = [
    "SYSTEM",
    "CircuitBreaker",
    "Event",
    "EventType",
    "LevelStatus",
    "Recorder",
    "add_listener",
    "claim_evaluation",
    "document",
    "events_after",
    "last_id",
    "pin_service_level",
    "prune",
    "read_circuit",
    "read_circuits",
    "read_level",
    "record_evaluation",
    "recording",
    "release_evaluation",
    "release_service_level",
    "reset_circuit",
    "service_level",
]


def events_after(
    since: int,
    *,
    owner: str | None = None,
    file_id: uuid.UUID | None = None,
    upload_id: uuid.UUID | None = None,
    limit: int = 500,
) -> Sequence[Event]:
    """Return events with ids above ``since``, in order. ``owner`` None: those of all owners, for staff."""
    named = {"owner": owner, "file_id": file_id, "upload_id": upload_id}
    selected = {name: value for name, value in named.items() if value is not None}
    return list(Event.objects.filter(id__gt=since, **selected).order_by("id")[:limit])


def last_id() -> int:
    return Event.objects.order_by("-id").values_list("id", flat=True).first() or 0


def document(event: Event) -> dict[str, Any]:
    """The event as SSE, WebSocket and webhooks carry it."""
    return {
        "id": event.id,
        "type": event.type,
        "file_id": str(event.file_id) if event.file_id else None,
        "upload_id": str(event.upload_id) if event.upload_id else None,
        "at": rfc3339(event.at),
        "data": event.data,
    }


def prune(days: float) -> int:
    """Delete events older than ``days``; return how many."""
    deleted, _ = Event.objects.filter(at__lt=now() - timedelta(days=days)).delete()
    return deleted
