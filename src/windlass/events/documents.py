"""Events as clients see them."""

from __future__ import annotations

from typing import Any

from windlass.events.models import Event
from windlass.kernel.clock import rfc3339


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
