"""The service level as this process last read it: once a second while it is asked for, by a thread of its own.

Callers never fail because of the database, and wait for it 2 s at most; in an event loop not at all. While it does not
answer, the process reports maintenance by itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta

import structlog
from django.db import DatabaseError, InterfaceError

from windlass import conf
from windlass.database.connection import close_stale_connections
from windlass.database.outage import is_outage
from windlass.events.service_level import LevelStatus, pin_level, read_level, record_observations, release_level
from windlass.kernel.clock import monotonic, now
from windlass.kernel.event_loops import runs_event_loop
from windlass.resilience.service_level import FAILED, Observation, ServiceLevel

log = structlog.get_logger(__name__)

#: How long a status is used without reading the row again.
KEEP_SECONDS = 1.0
#: How long after the last call the row is still read every second, so that an event loop has the present level.
ACTIVE_SECONDS = 30.0
#: How long a caller waits for the database.
WAIT_SECONDS = 2.0
#: After how long without an answer of the database the level is maintenance.
OUTAGE_SECONDS = 3.0

_NEVER = float("-inf")


class LevelReader:
    """The last status that was read. Thread-safe; a forked child reads for itself."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._thread_pid: int | None = None
        self._status = LevelStatus()
        self._read_at = self._called_at = _NEVER
        self._asked_at: float | None = None  # the first read that has had no answer
        self._is_asked = False

    def status(self) -> LevelStatus:
        """Never raises."""
        if conf.get().celery_task_always_eager:  # in tests: another thread would not see the test's transaction
            return self._status if runs_event_loop() else self._read_inline()
        with self._changed:
            self._called_at = monotonic()
            if monotonic() - self._read_at >= KEEP_SECONDS:
                is_asked_now = self._ask()
                if not runs_event_loop() and (is_asked_now or not self._is_away()):
                    self._changed.wait_for(lambda: not self._is_asked, WAIT_SECONDS)
            return self._of_outage() if self._is_away() else self._status

    def use(self, status: LevelStatus) -> LevelStatus:
        """Take a status that this process has just read or written; return it."""
        with self._changed:
            self._status, self._read_at, self._asked_at = status, monotonic(), None
        return status

    def forget(self) -> None:
        """Read the row at the next call."""
        with self._changed:
            self._read_at, self._asked_at = _NEVER, None

    def _is_away(self) -> bool:
        return self._asked_at is not None and monotonic() - self._asked_at >= OUTAGE_SECONDS

    def _of_outage(self) -> LevelStatus:
        last, waited = self._status, monotonic() - (self._asked_at or monotonic())
        return replace(
            last,
            level=ServiceLevel.MAINTENANCE,
            reason=f"The database has not answered this process for {waited:.0f} s.",
            automatic=True,
            since=now() - timedelta(seconds=waited),
            components={**last.components, "database": FAILED},
        )

    def _ask(self) -> bool:
        """Let the thread read the row; call it with the lock. Return False if it still waits for the last answer."""
        if self._thread_pid != os.getpid():
            self._thread_pid, self._is_asked, self._asked_at = os.getpid(), False, None
            threading.Thread(target=self._read_when_asked, name="windlass-service-level", daemon=True).start()
        if self._is_asked:
            return False
        self._is_asked = True
        self._asked_at = self._asked_at or monotonic()
        self._changed.notify_all()
        return True

    def _read_when_asked(self) -> None:
        while True:
            with self._changed:
                is_active = monotonic() - self._called_at < ACTIVE_SECONDS
                self._changed.wait_for(lambda: self._is_asked, KEEP_SECONDS if is_active else None)
                self._is_asked = True
                self._asked_at = self._asked_at or monotonic()
            status = self._read()
            with self._changed:
                if status is not None:
                    self.use(status)
                self._is_asked = False
                self._changed.notify_all()

    def _read(self) -> LevelStatus | None:
        """None if the database does not answer."""
        try:
            close_stale_connections()
            return read_level()
        except (DatabaseError, InterfaceError) as error:
            log.debug("level.not_read", error=" ".join(str(error).split()))
            return None if is_outage(error) else LevelStatus()  # the tables are not there yet
        finally:
            close_stale_connections()

    def _read_inline(self) -> LevelStatus:
        return self.use(self._read() or self._status)


reader = LevelReader()


def service_level() -> LevelStatus:
    """Return the service level, at most a second or two old. Never raises."""
    return reader.status()


def current_service_level() -> LevelStatus:
    """Read the row now. While the database does not answer, return what ``service_level`` does."""
    try:
        return reader.use(read_level())
    except (DatabaseError, InterfaceError):
        return service_level()


def pin_service_level(level: ServiceLevel, reason: str, by: str) -> LevelStatus:
    """``pin_level``, seen by this process at once."""
    return reader.use(pin_level(level, reason, by))


def release_service_level() -> LevelStatus:
    """``release_level``, seen by this process at once."""
    return reader.use(release_level())


def record_evaluation(seen: Mapping[str, Observation], unknown: Collection[str] = ()) -> LevelStatus:
    """``record_observations``, seen by this process at once."""
    return reader.use(record_observations(seen, unknown))
