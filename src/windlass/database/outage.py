"""Recognize errors that mean that the database does not answer, and log each outage once."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError
from django.db.backends.signals import connection_created

from windlass.kernel.clock import monotonic

log = structlog.get_logger(__name__)

#: A continuing outage is logged again after this long.
REPEAT_SECONDS = 60.0

_SQLITE_UNAVAILABLE = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL}
)


def is_outage(error: BaseException | None) -> bool:
    """Whether the database refused or closed a connection, or a lock timed out: the same request may succeed later.

    False for an error of the statement itself.
    """
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return code is None or code & 0xFF in _SQLITE_UNAVAILABLE  # the low byte is the primary code


class _OutageLog:
    """Logs when an outage begins, continues and ends in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._silent_until: float | None = None

    def record(self, error: BaseException) -> None:
        """Log the outage, unless it was logged within REPEAT_SECONDS."""
        with self._lock:
            if self._silent_until is not None and monotonic() < self._silent_until:
                return
            self._silent_until = monotonic() + REPEAT_SECONDS
        log.warning("database.unavailable", error=" ".join(str(error).split()))

    def end(self, **_: Any) -> None:
        """Signal receiver: a connection was opened."""
        with self._lock:
            was_unavailable, self._silent_until = self._silent_until is not None, None
        if was_unavailable:
            log.info("database.available")


_outage_log = _OutageLog()
log_outage = _outage_log.record
connection_created.connect(_outage_log.end, dispatch_uid="windlass.database.outage")
