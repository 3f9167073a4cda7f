"""Notices a worker that stopped consuming: bells ring for it, it has nothing to do, and it hears none of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog
from django.db import DatabaseError, close_old_connections

from windlass.jobs import api as jobs
from windlass.kernel.clock import now

log = structlog.get_logger(__name__)


class Attendance:
    """How many jobs this worker has in hand, and when it last heard a bell. Safe for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots = 1
        self._busy = 0
        self.heard_at = now()

    def open(self, *, slots: int) -> None:
        self._slots, self.heard_at = slots, now()

    @property
    def idle(self) -> bool:
        """Whether it could take another."""
        return self._busy < self._slots

    @contextmanager
    def job(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
            self.heard_at = now()
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1
                self.heard_at = now()


class Watchdog:
    """Makes the worker connect anew after ``BELLS`` notifications in a row that it ought to have got and did not; gives
    it up where it gets none after that either.

    One lost notification proves nothing: they may be lost. The job's second, which the sweep sends, is the proof,
    unless the broker does not answer: then no worker can get one, and Celery goes on trying by itself.
    """

    BELLS = 2
    LOOK_SECONDS = 5.0
    #: A bell rung less than this ago may still be on its way.
    ON_ITS_WAY_SECONDS = 10.0

    def __init__(
        self,
        attendance: Attendance,
        stages: Sequence[jobs.Stage],
        *,
        reconnect: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        self._attendance = attendance
        self._stages = stages
        self._reconnect = reconnect
        self._reconnected_at: datetime | None = None
        self._give_up = give_up
        self._missed: set[datetime] = set()

    def run(self) -> None:
        """Look for ever, in a thread of its own."""
        pause = threading.Event()
        while not pause.wait(self.LOOK_SECONDS):
            try:
                self.look()
            except DatabaseError as error:
                log.debug("watchdog.blind", error=str(error))
            finally:
                close_old_connections()

    def look(self) -> None:
        """Count a notification that was not got since the last look; act at the last of them."""
        heard_at = self._attendance.heard_at
        self._missed = {rung_at for rung_at in self._missed if rung_at > heard_at}
        if not self._attendance.idle:
            return
        before = now() - timedelta(seconds=self.ON_ITS_WAY_SECONDS)
        rung_at = jobs.unanswered(self._stages, after=heard_at, before=before)
        if rung_at is None:
            return
        self._missed.add(rung_at)
        if len(self._missed) >= self.BELLS and self._broker_answers():
            self._act(heard_at)

    def _act(self, heard_at: datetime) -> None:
        if heard_at == self._reconnected_at:  # and nothing has been heard since
            log.error("worker.stopped_consuming")
            self._give_up()
            return
        log.warning("worker.reconnecting", heard_at=heard_at.isoformat())
        self._reconnected_at = self._attendance.heard_at = now()
        self._reconnect()

    def _broker_answers(self) -> bool:
        self._missed.clear()
        try:
            jobs.check_broker()
        except Exception as error:  # noqa: BLE001  each broker's client has errors of its own
            log.debug("watchdog.broker_away", error=str(error))
            self._attendance.heard_at = now()
            return False
        return True
