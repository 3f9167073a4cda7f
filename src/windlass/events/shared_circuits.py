"""Circuits shared by the database, reached through one thread of each process.

Callers wait for that thread for a bounded time, whatever the database does: a connection that hangs, or SQLite's one
writer that is busy, must not hold up a call that the breaker is there to speed up. After a failure the thread is left
alone for a while. It has a connection of its own, so the caller's transaction is neither seen nor prolonged.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import structlog
from django.db import Error

from windlass import conf
from windlass.database.connection import atomic, close_stale_connections
from windlass.events.circuit_breakers import change_circuit, is_event, read_circuit, renew_trial
from windlass.kernel.clock import monotonic
from windlass.kernel.event_loops import runs_event_loop
from windlass.resilience import circuit_breaker
from windlass.resilience.circuit_breaker import Change
from windlass.resilience.circuits import TRIAL_LEASE_SECONDS, Circuit, CircuitsUnavailable

T = TypeVar("T")

log = structlog.get_logger(__name__)

#: How long a caller waits for the database.
WAIT_SECONDS = 2.0
#: How long the database is not asked after it failed.
PAUSE_SECONDS = 5.0
#: How often the lease of a trial that is under way is renewed.
RENEW_SECONDS = TRIAL_LEASE_SECONDS / 3


class TableCircuits:
    """``resilience.circuits.SharedCircuits`` in the database of Windlass's tables. A forked child has its own thread.

    Where jobs run eagerly (in tests) the caller's thread is used: another thread would not see the test's transaction.
    """

    def __init__(self, wait_seconds: float = WAIT_SECONDS, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._wait_seconds, self._pause_seconds = wait_seconds, pause_seconds
        self._lock = threading.Lock()
        self._thread: _DatabaseThread | None = None
        self._paused_until = 0.0
        self._has_failed = False

    def read(self, name: str) -> Circuit:
        return self._run(partial(read_circuit, name))

    def change(self, name: str, before: Circuit, after: Circuit) -> bool:
        thread = self._current_thread()
        thread.trials.pop(name, None)
        is_changed = self._run(partial(change_circuit, name, before, after))
        if is_changed and after.trial_until is not None:
            thread.submit(partial(thread.trials.__setitem__, name, after.generation))
        return is_changed

    def _run(self, work: Callable[[], T]) -> T:
        """Run a query in the thread. Raises CircuitsUnavailable."""
        if runs_event_loop() or monotonic() < self._paused_until:
            raise CircuitsUnavailable
        if conf.get().celery_task_always_eager:
            return _run_inline(work)
        future = self._current_thread().submit(work)
        try:
            result = future.result(self._wait_seconds)
        except (TimeoutError, Error) as error:
            future.cancel()
            self._pause(error)
            raise CircuitsUnavailable from error
        self._has_failed = False
        return result

    def _pause(self, error: Exception) -> None:
        """Leave the database alone for a while. The first failure in a row is logged."""
        self._paused_until = monotonic() + self._pause_seconds
        if not self._has_failed:
            reason = " ".join(str(error).split()) or "the database does not answer"
            log.warning("breaker.state_not_shared", error=reason)
        self._has_failed = True

    def _current_thread(self) -> _DatabaseThread:
        with self._lock:
            if self._thread is None or self._thread.pid != os.getpid():
                self._thread = _DatabaseThread()
            return self._thread


class _DatabaseThread:
    """Runs queries one after another, and renews the leases of this process's ``trials`` (name -> generation)."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.trials: dict[str, int] = {}
        self._waiting: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        threading.Thread(target=self._work, name="windlass-breakers", daemon=True).start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._waiting.put((work, future))
        return future

    def _work(self) -> None:
        renew_at = monotonic() + RENEW_SECONDS
        while True:
            try:
                work, future = self._waiting.get(timeout=max(0.0, renew_at - monotonic()) if self.trials else None)
            except Empty:
                pass
            else:
                if future.set_running_or_notify_cancel():
                    _resolve(work, future)
                del work, future
            if monotonic() >= renew_at or not self.trials:
                self._renew()
                renew_at = monotonic() + RENEW_SECONDS

    def _renew(self) -> None:
        for name, generation in list(self.trials.items()):
            renewal: Future[bool] = Future()
            _resolve(partial(renew_trial, name, generation), renewal)
            # While the database is unavailable, no other process can admit a trial.
            if renewal.exception() is None and not renewal.result() and self.trials.get(name) == generation:
                self.trials.pop(name, None)


def _resolve(work: Callable[[], T], future: Future[T]) -> None:
    close_stale_connections()
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001  it is raised where the result is awaited
        future.set_exception(error)
    finally:
        close_stale_connections()


def _run_inline(work: Callable[[], T]) -> T:
    try:
        with atomic():
            return work()
    except Error as error:
        raise CircuitsUnavailable from error


_circuits = TableCircuits()


def share_circuits() -> None:
    """Share the circuits of this process's breakers, and log their changes. Idempotent."""
    circuit_breaker.share(_circuits)
    circuit_breaker.add_listener(_log_change)


def _log_change(change: Change) -> None:
    log_it = log.warning if is_event(change.before, change.after) else log.debug
    log_it(
        "breaker.changed",
        breaker=change.name,
        state=change.after,
        before=change.before,
        failures=change.failures,
    )
