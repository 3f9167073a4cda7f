"""Keeps the leases of the jobs that this process runs, and says when one is lost. One thread for all of them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from types import TracebackType

import structlog
from django.db import DatabaseError

from windlass import conf
from windlass.database.connection import connection
from windlass.jobs import api as jobs

#: Seconds between two beats at most, however long the lease: so soon is the work on a released file given up.
SLOWEST = 1.0

log = structlog.get_logger(__name__)


class Heartbeat:
    """``lost`` is set once another has the job, or its file was withdrawn: stop, and record nothing.

    ``held`` says which claim is to be kept: a worker goes on from one stage's job to the next one's of the same file.
    """

    def __init__(self, held: Callable[[], jobs.Claim]) -> None:
        self.lost = threading.Event()
        self.held = held

    def __enter__(self) -> Heartbeat:
        _heart.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _heart.remove(self)


class _Heart:
    """Beats while there is anything to keep; its thread ends after a while with nothing."""

    IDLE_SECONDS = 30.0

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._beats: set[Heartbeat] = set()
        self._thread: threading.Thread | None = None

    def add(self, beat: Heartbeat) -> None:
        with self._changed:
            self._beats.add(beat)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="windlass-heartbeat", daemon=True)
                self._thread.start()
            elif len(self._beats) == 1:
                self._changed.notify()

    def remove(self, beat: Heartbeat) -> None:
        with self._changed:
            self._beats.discard(beat)

    def _run(self) -> None:
        try:
            while self._wait():
                self._beat()
        finally:
            connection().close()  # this thread's own

    def _wait(self) -> bool:
        """Until it is time to beat. False where there was nothing to keep for long: the thread is no longer needed."""
        with self._changed:
            if not self._beats:
                connection().close()
                if not self._changed.wait_for(lambda: bool(self._beats), self.IDLE_SECONDS):
                    self._thread = None
                    return False
        time.sleep(min(conf.get().job_lease_seconds / 3, SLOWEST))
        return True

    def _beat(self) -> None:
        with self._changed:
            beats = {beat.held(): beat for beat in self._beats}
        if not beats:
            return
        try:
            lost = jobs.renew_leases(beats)
        except DatabaseError as error:
            # The next beat may get through. If none does, the leases lapse and the results are fenced.
            log.warning("job.heartbeat_failed", jobs=len(beats), error=str(error))
            connection().close()
            return
        for held in lost:
            beats[held].lost.set()


_heart = _Heart()


def _forget() -> None:
    """A forked child has no such thread."""
    global _heart
    _heart = _Heart()


os.register_at_fork(after_in_child=_forget)
