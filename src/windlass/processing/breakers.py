"""Each change of a breaker's state is logged, and told to staff in the journal."""

from __future__ import annotations

import structlog
from django.db import DatabaseError

from windlass.database.connection import connection
from windlass.events.api import SYSTEM, EventType, recording
from windlass.resilience import registry
from windlass.resilience.breaker import Change
from windlass.resilience.circuit import State

log = structlog.get_logger(__name__)

_MESSAGES = {
    State.OPEN: "The {name} is away; it is left alone for {seconds:.0f} s.",
    State.HALF_OPEN: "The {name} is tried again.",
    State.CLOSED: "The {name} is back.",
}


def watch() -> None:
    """From now on. Idempotent."""
    registry.watch(tell)


def tell(change: Change) -> None:
    """One event of this process's breaker. May be called in any thread; what fails here is logged and no more."""
    message = _MESSAGES[change.after].format(name=change.name, seconds=change.retry_after)
    data = {"breaker": change.name, "state": change.after, "before": change.before, "failures": change.failures}
    log.warning("breaker.changed", **data)
    unused = connection().connection is None
    try:
        with recording() as recorder:
            recorder.add(EventType.SYSTEM_BREAKER, owner=SYSTEM, data=data | {"message": message})
    except DatabaseError as error:
        log.warning("breaker.not_told", breaker=change.name, error=str(error))
    finally:
        if unused:  # a thread that talks to no database keeps no connection to it
            connection().close()
