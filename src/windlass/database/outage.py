"""Whether an error means that the database does not answer, and one line in the log for each time it is away."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError
from django.db.backends.signals import connection_created

from windlass.kernel.clock import monotonic

log = structlog.get_logger(__name__)

#: An outage that lasts is logged again after this long.
REPEAT_SECONDS = 60.0

_SQLITE_AWAY = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)


def is_away(error: BaseException | None) -> bool:
    """A connection that is refused, cut off or shut down; a lock that nobody gives up. The same request may succeed
    later. A statement that is wrong is none of these."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return code is None or code & 0xFF in _SQLITE_AWAY  # the low byte is the primary code


class _Outage:
    """What this process knows of the present outage."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._silent_until: float | None = None

    def note(self, error: BaseException) -> None:
        """Log it, unless this outage has been logged within the last minute."""
        with self._lock:
            if self._silent_until is not None and monotonic() < self._silent_until:
                return
            self._silent_until = monotonic() + REPEAT_SECONDS
        log.warning("database.away", error=" ".join(str(error).split()))

    def over(self, **_: Any) -> None:
        """A connection was made."""
        with self._lock:
            was_away, self._silent_until = self._silent_until is not None, None
        if was_away:
            log.info("database.back")


_outage = _Outage()
note = _outage.note
connection_created.connect(_outage.over, dispatch_uid="windlass.database.outage")
