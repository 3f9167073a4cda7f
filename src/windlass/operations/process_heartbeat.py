"""Tell the other processes, by a row in the database, that this worker or scheduler runs."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

import structlog
from django.db import DatabaseError, close_old_connections

from windlass.jobs import api as jobs

log = structlog.get_logger(__name__)

#: Seconds that the end waits for a beat that is being written.
STOP_SECONDS = 2.0


@contextmanager
def beating(name: str, role: jobs.ProcessRole, queues: Collection[jobs.Queue] = ()) -> Iterator[None]:
    """Renew this process's heartbeat in a thread of its own, and remove it at the end of the block."""
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(stop, name, role, queues), name="windlass-alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(STOP_SECONDS)


def _beat(stop: threading.Event, name: str, role: jobs.ProcessRole, queues: Collection[jobs.Queue]) -> None:
    while not stop.is_set():
        try:
            jobs.record_heartbeat(name, role, queues)
        except DatabaseError as error:  # the next beat may succeed
            log.debug("heartbeat.failed", error=" ".join(str(error).split()))
        finally:
            close_old_connections()
        stop.wait(jobs.BEAT_SECONDS)
    with suppress(DatabaseError):
        jobs.remove_heartbeat(name)
    with suppress(DatabaseError):
        close_old_connections()
