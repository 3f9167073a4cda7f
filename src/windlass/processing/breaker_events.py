"""Log each state change of a circuit breaker and record it as an event for staff."""

from __future__ import annotations

import structlog
from django.db import DatabaseError

from windlass.database.connection import connection
from windlass.events.api import SYSTEM, EventType, recording
from windlass.resilience import circuit_breaker
from windlass.resilience.circuit_breaker import Change, State

log = structlog.get_logger(__name__)

_MESSAGES = {
    State.OPEN: "The {name} is unavailable; the next attempt is in {seconds:.0f} s.",
    State.HALF_OPEN: "The {name} is being tried again.",
    State.CLOSED: "The {name} is available again.",
}


def record_breaker_changes() -> None:
    """Start recording in this process. Idempotent."""
    circuit_breaker.add_listener(record_change)


def record_change(change: Change) -> None:
    """Record one event. May be called in any thread; a database error is only logged."""
    message = _MESSAGES[change.after].format(name=change.name, seconds=change.retry_after)
    data = {"breaker": change.name, "state": change.after, "before": change.before, "failures": change.failures}
    log.warning("breaker.changed", **data)
    unused = connection().connection is None
    try:
        with recording() as recorder:
            recorder.add(EventType.SYSTEM_BREAKER, owner=SYSTEM, data=data | {"message": message})
    except DatabaseError as error:
        log.warning("breaker.event_not_recorded", breaker=change.name, error=str(error))
    finally:
        if unused:  # do not keep a connection in a thread that had none
            connection().close()
