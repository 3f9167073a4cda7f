"""Keeps a job's lease while its steps run, and says when it is lost."""

from __future__ import annotations

import threading
from types import TracebackType

import structlog
from django.db import DatabaseError, connection

from windlass import conf
from windlass.jobs import api as jobs

#: Seconds between two beats at most, however long the lease: so soon is the work on a released file given up.
SLOWEST = 2.0

log = structlog.get_logger(__name__)


class Heartbeat:
    """``lost`` is set once another has the job, or its file was withdrawn: stop, and record nothing."""

    def __init__(self, held: jobs.Claim) -> None:
        self.lost = threading.Event()
        self._held = held
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"windlass-heartbeat-{held.job_id}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._over.wait(min(conf.get().job_lease_seconds / 3, SLOWEST)):
                self._beat()
                if self.lost.is_set():
                    return
        finally:
            connection.close()  # this thread's own

    def _beat(self) -> None:
        try:
            jobs.keep(self._held)
        except jobs.Fenced:
            self.lost.set()
        except DatabaseError as error:
            # The next beat may get through. If none does, the lease lapses and the results are fenced.
            log.warning("job.heartbeat_failed", job_id=str(self._held.job_id), error=str(error))
            connection.close()
