"""The door of the events app: record what happened, and follow it without missing any."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from windlass.events.bell import listen
from windlass.events.journal import Recorder, recording
from windlass.events.models import Event
from windlass.events.types import SYSTEM, EventType
from windlass.kernel.clock import now, rfc3339

__all__ = ["SYSTEM", "Event", "EventType", "Recorder", "document", "follow", "last_id", "listen", "prune", "recording"]


def follow(
    since: int,
    *,
    owner: str | None = None,
    file_id: uuid.UUID | None = None,
    upload_id: uuid.UUID | None = None,
    limit: int = 500,
) -> Sequence[Event]:
    """Events after ``since`` in order. ``owner`` None: everyone's (for staff). A blocking database call."""
    found = Event.objects.filter(id__gt=since)
    if owner is not None:
        found = found.filter(owner=owner)
    if file_id is not None:
        found = found.filter(file_id=file_id)
    if upload_id is not None:
        found = found.filter(upload_id=upload_id)
    return list(found.order_by("id")[:limit])


def last_id() -> int:
    newest = Event.objects.order_by("-id").values_list("id", flat=True).first()
    return newest or 0


def document(event: Event) -> dict[str, Any]:
    """The event as SSE, WebSocket and webhooks carry it (http-api section 6)."""
    return {
        "id": event.id,
        "type": event.type,
        "file_id": str(event.file_id) if event.file_id else None,
        "upload_id": str(event.upload_id) if event.upload_id else None,
        "at": rfc3339(event.at),
        "data": event.data,
    }


def prune(days: float) -> int:
    """Delete events older than ``days``; returns how many."""
    deleted, _ = Event.objects.filter(at__lt=now() - timedelta(days=days)).delete()
    return deleted
