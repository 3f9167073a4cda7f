"""Renew the leases of the jobs that this process runs, and report those that are lost. One thread serves them all."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from django.db import DatabaseError

from windlass import conf
from windlass.database.connection import connection
from windlass.jobs import api as jobs

#: The longest pause between two renewals (seconds), however long the lease: so soon does a job run of a released file
#: end.
LONGEST_PAUSE = 1.0

log = structlog.get_logger(__name__)


@contextmanager
def heartbeat(claim: Callable[[], jobs.Claim]) -> Iterator[threading.Event]:
    """Renew a job's lease inside the block. The event is set once the lease is lost: stop, and record nothing.

    ``claim`` returns the present claim, since a job run moves on from one stage's job to the next one's.
    """
    lost = threading.Event()
    _renewer.add(lost, claim)
    try:
        yield lost
    finally:
        _renewer.remove(lost)


class _Renewer:
    """Renews leases while there are any; its thread ends after IDLE_SECONDS without one."""

    IDLE_SECONDS = 30.0

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._claims: dict[threading.Event, Callable[[], jobs.Claim]] = {}
        self._thread: threading.Thread | None = None

    def add(self, lost: threading.Event, claim: Callable[[], jobs.Claim]) -> None:
        with self._changed:
            self._claims[lost] = claim
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="windlass-heartbeat", daemon=True)
                self._thread.start()
            elif len(self._claims) == 1:
                self._changed.notify()

    def remove(self, lost: threading.Event) -> None:
        with self._changed:
            self._claims.pop(lost, None)

    def _run(self) -> None:
        try:
            while self._wait():
                self._renew()
        finally:
            connection().close()  # this thread's own

    def _wait(self) -> bool:
        """Wait until the next renewal. Return False after IDLE_SECONDS without a claim: the thread then ends."""
        with self._changed:
            if not self._claims:
                connection().close()
                if not self._changed.wait_for(lambda: bool(self._claims), self.IDLE_SECONDS):
                    self._thread = None
                    return False
        time.sleep(min(conf.get().job_lease_seconds / 3, LONGEST_PAUSE))
        return True

    def _renew(self) -> None:
        with self._changed:
            events = {claim(): lost for lost, claim in self._claims.items()}
        if not events:
            return
        try:
            lost_claims = jobs.renew_leases(events)
        except DatabaseError as error:
            # The next renewal may succeed. If none does, the leases expire and the results are fenced.
            log.warning("job.heartbeat_failed", jobs=len(events), error=str(error))
            connection().close()
            return
        for claim in lost_claims:
            events[claim].set()


_renewer = _Renewer()


def _reset_after_fork() -> None:
    """A forked child has no such thread."""
    global _renewer
    _renewer = _Renewer()


os.register_at_fork(after_in_child=_reset_after_fork)
