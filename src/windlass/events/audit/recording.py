"""Write entries of the audit log, in the transaction of what they record.

A row is inserted and nothing is read, so that uploads do not become slower. ``chain`` puts it in order afterwards.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from structlog.contextvars import get_contextvars

from windlass import conf
from windlass.database import rows
from windlass.events.audit.actions import ACTIONS_OF_EVENTS, AuditAction
from windlass.events.audit.models import PendingAuditEntry
from windlass.events.types import EventType
from windlass.kernel.acting_caller import acting_caller
from windlass.kernel.clock import now

#: What an entry takes over of an event's data: facts, no texts of clients.
_FACTS = ("size", "level", "until")


def record_action(
    action: AuditAction,
    *,
    owner: str = "",
    file_id: uuid.UUID | None = None,
    subject: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Record what the current caller does. ``detail``: facts that name no person; no file name, URL or text."""
    if conf.get().audit_log:
        rows.insert([_entry(action, owner=owner, file_id=file_id, subject=subject, detail=dict(detail or {}))])


def record_action_of_person(action: AuditAction, **about: Any) -> None:
    """``record_action``, unless the server itself acts, such as the sweep."""
    if acting_caller().credential:
        record_action(action, **about)


def entry_of_event(
    kind: EventType, owner: str, file_id: uuid.UUID | None, upload_id: uuid.UUID | None, data: Mapping[str, Any]
) -> PendingAuditEntry | None:
    """The entry that records this event, or None if it is not recorded."""
    action = ACTIONS_OF_EVENTS.get(kind)
    if action is None or not conf.get().audit_log:
        return None
    if action is AuditAction.LEVEL_CHANGED and not acting_caller().credential:
        return None  # the server's own evaluation
    facts = {name: data[name] for name in _FACTS if data.get(name) is not None}
    return _entry(action, owner=owner, file_id=file_id, upload_id=upload_id, detail=facts)


def _entry(action: AuditAction, **values: Any) -> PendingAuditEntry:
    caller = acting_caller()
    return rows.new(
        PendingAuditEntry,
        at=now(),
        action=action.value,
        actor=caller.name,
        address=caller.address,
        credential=caller.credential,
        request_id=str(get_contextvars().get("request_id") or ""),
        **values,
    )
