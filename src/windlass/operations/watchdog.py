"""Detect a worker that stopped consuming: it is idle, and notifications for its queues are not answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog
from django.db import DatabaseError, close_old_connections

from windlass.jobs import api as jobs
from windlass.kernel.clock import now

log = structlog.get_logger(__name__)


class WorkerActivity:
    """How many jobs this worker runs, and when it last received a notification. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots = 1
        self._running = 0
        self.last_notified_at = now()

    def start(self, *, slots: int) -> None:
        self._slots, self.last_notified_at = slots, now()

    @property
    def idle(self) -> bool:
        """Whether the worker could run another job."""
        return self._running < self._slots

    @contextmanager
    def job(self) -> Iterator[None]:
        with self._lock:
            self._running += 1
            self.last_notified_at = now()
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self.last_notified_at = now()


class Watchdog:
    """Reconnects the worker after ``MISSED`` missed notifications; gives it up if it then receives none either.

    One missed notification proves nothing, since any may be lost. The second one for a job, which the sweep sends, is
    the proof, unless the broker does not answer: then no worker can receive any, and Celery goes on reconnecting.
    ``queues`` returns those that the worker consumes at the moment.
    """

    MISSED = 2
    CHECK_SECONDS = 5.0
    #: A notification sent less than this ago may still be in transit.
    IN_TRANSIT_SECONDS = 10.0

    def __init__(
        self,
        activity: WorkerActivity,
        queues: Callable[[], Collection[jobs.Queue]],
        *,
        reconnect: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        self._activity = activity
        self._queues = queues
        self._reconnect = reconnect
        self._reconnected_at: datetime | None = None
        self._give_up = give_up
        self._missed: set[datetime] = set()

    def run(self) -> None:
        """Check for ever, in a thread of its own."""
        pause = threading.Event()
        while not pause.wait(self.CHECK_SECONDS):
            try:
                self.check()
            except DatabaseError as error:
                log.debug("watchdog.check_failed", error=str(error))
            finally:
                close_old_connections()

    def check(self) -> None:
        """Count a notification that was missed since the last check; act when ``MISSED`` are counted."""
        last_notified_at = self._activity.last_notified_at
        self._missed = {sent_at for sent_at in self._missed if sent_at > last_notified_at}
        if not self._activity.idle:
            return
        before = now() - timedelta(seconds=self.IN_TRANSIT_SECONDS)
        sent_at = jobs.last_unanswered_notification(self._queues(), after=last_notified_at, before=before)
        if sent_at is None:
            return
        self._missed.add(sent_at)
        if len(self._missed) >= self.MISSED and self._broker_answers():
            self._act(last_notified_at)

    def _act(self, last_notified_at: datetime) -> None:
        if last_notified_at == self._reconnected_at:  # nothing has arrived since
            log.error("worker.stopped_consuming")
            self._give_up()
            return
        log.warning("worker.reconnecting", last_notified_at=last_notified_at.isoformat())
        self._reconnected_at = self._activity.last_notified_at = now()
        self._reconnect()

    def _broker_answers(self) -> bool:
        self._missed.clear()
        try:
            jobs.check_broker()
        except Exception as error:  # noqa: BLE001  each broker's client has its own errors
            log.debug("watchdog.broker_away", error=str(error))
            self._activity.last_notified_at = now()
            return False
        return True
