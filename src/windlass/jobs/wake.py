"""Ring the bell: a Celery message that names a job. Losing one costs time, never work.

Celery is imported by the thread that first rings, so that the web process starts without it.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
import uuid
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import structlog

from windlass import conf
from windlass.jobs.states import Stage

TASK = "windlass.run_job"
Bell = tuple[uuid.UUID, Stage]

#: Bells that wait for a slow broker. Beyond it they are dropped: the sweep rings again.
MAX_WAITING = 10_000
#: A broker that failed is left alone for this long; bells are dropped meanwhile.
AWAY_SECONDS = 1.0
#: How long an ending process goes on ringing for what it has just committed.
FLUSH_SECONDS = 2.0

log = structlog.get_logger(__name__)


@lru_cache(maxsize=1)
def application() -> Any:
    """Windlass's own Celery application; ``windlass.celery`` holds its task. Another project's is left alone."""
    from celery import Celery
    from kombu.transport import TRANSPORT_ALIASES

    TRANSPORT_ALIASES["windlass"] = "windlass.jobs.transport:Transport"
    # No fixups: Celery's Django fixup would run every system check at a worker's start.
    app: Any = Celery("windlass", set_as_current=False, fixups=[], include=["windlass.celery"])  # type: ignore[no-untyped-call]
    app.add_defaults(_configuration)
    return app


def ring(job_id: uuid.UUID, stage: Stage) -> None:
    """Ring soon, from a thread of its own. Never blocks and never raises for a broker that is away or slow.

    With CELERY_TASK_ALWAYS_EAGER the job runs here and now instead, and what it raises is raised.
    """
    if conf.get().celery_task_always_eager:
        _run_here(job_id)
    else:
        _ringer().hand_over((job_id, stage))


def ring_now(bells: Iterable[Bell]) -> int:
    """Ring in this thread. Returns how many rang before the broker failed; never raises for that."""
    if conf.get().celery_task_always_eager:
        return sum(1 for job_id, _ in bells if _run_here(job_id))
    rung = 0
    for bell in bells:
        if not _line().send(bell):
            break
        rung += 1
    return rung


def warm_up() -> None:
    """Import Celery and connect ahead of the first bell. Blocks; call it from a thread that may."""
    if not conf.get().celery_task_always_eager:
        _line().connect()


def check() -> str:
    """Prove that the broker answers; returns its address without its password. Raises what the broker raises."""
    with application().connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=5)
        return str(connection.as_uri()) if conf.get().celery_broker_url else "embedded"


class _Line:
    """One connection to the broker, opened when first needed and given up on an error."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._producer: Any = None
        self._away_until = 0.0
        self._away = False

    def connect(self) -> bool:
        with self._lock:
            return self._try(self._open)

    def send(self, bell: Bell) -> bool:
        with self._lock:
            return time.monotonic() >= self._away_until and self._try(lambda: self._publish(bell))

    def _publish(self, bell: Bell) -> None:
        job_id, stage = bell
        application().send_task(
            TASK, args=[str(job_id)], queue=stage.value, producer=self._open(), retry=False, ignore_result=True
        )

    def _open(self) -> Any:
        if self._producer is None:
            app = application()
            connection = app.connection_for_write()
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            self._producer = app.amqp.Producer(connection)
        return self._producer

    def _try(self, work: Any) -> bool:
        try:
            work()
        except Exception as error:  # noqa: BLE001  each broker's client has errors of its own; none may reach an upload
            self._give_up(error)
            return False
        if self._away:
            self._away = False
            log.info("broker.back")
        return True

    def _give_up(self, error: Exception) -> None:
        producer, self._producer = self._producer, None
        self._away_until = time.monotonic() + AWAY_SECONDS
        if not self._away:
            self._away = True
            log.warning("broker.away", error=f"{type(error).__name__}: {error}", hint="jobs wait for the sweep")
        if producer is not None:
            try:
                producer.__connection__.close()
            except Exception as closing:  # noqa: BLE001  it is broken already; closing is only courtesy
                log.debug("broker.close_failed", error=str(closing))


class _Ringer:
    """Hands bells to the broker from a thread of its own, in order."""

    def __init__(self) -> None:
        self._bells: queue.Queue[Bell] = queue.Queue(MAX_WAITING)
        threading.Thread(target=self._run, name="windlass-bell", daemon=True).start()
        atexit.register(self.flush)

    def hand_over(self, bell: Bell) -> None:
        try:
            self._bells.put_nowait(bell)
        except queue.Full:
            log.debug("bell.dropped", job_id=str(bell[0]))

    def flush(self) -> None:
        """Wait a little for what is in hand."""
        deadline = time.monotonic() + FLUSH_SECONDS
        while self._bells.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.005)

    def _run(self) -> None:
        while True:
            bell = self._bells.get()
            _line().send(bell)
            self._bells.task_done()


@lru_cache(maxsize=1)
def _line() -> _Line:
    return _Line()


_start = threading.Lock()


def _ringer() -> _Ringer:
    with _start:  # lru_cache alone could start two threads
        return _only_ringer()


@lru_cache(maxsize=1)
def _only_ringer() -> _Ringer:
    return _Ringer()


def _forget() -> None:
    """A forked child has neither the thread nor a right to the connection."""
    global _start
    _start = threading.Lock()
    _only_ringer.cache_clear()
    _line.cache_clear()


os.register_at_fork(after_in_child=_forget)


def _run_here(job_id: uuid.UUID) -> bool:
    app = application()
    app.loader.import_default_modules()
    app.tasks[TASK].apply(args=[str(job_id)], throw=True)
    return True


def _configuration() -> dict[str, Any]:
    from kombu.entity import Exchange, Queue

    url = conf.get().celery_broker_url or "windlass://localhost"
    make_queue: Any = Queue
    exchange = Exchange("windlass", type="direct")  # type: ignore[no-untyped-call]
    return {
        # Celery itself lets CELERY_BROKER_URL of the environment win over broker_url, but not over these two.
        "broker_read_url": url,
        "broker_write_url": url,
        "broker_transport_options": _transport_options(url),
        "broker_connection_timeout": 2,
        "task_queues": [make_queue(stage.value, exchange, routing_key=stage.value) for stage in Stage],
        "task_default_queue": Stage.INTAKE.value,
        "task_default_exchange": "windlass",
        "task_default_delivery_mode": "transient",  # a bell need not survive the broker
        "task_ignore_result": True,
        "accept_content": ["json"],
    }


def _transport_options(url: str) -> dict[str, Any]:
    scheme = url.partition(":")[0]
    if scheme == "windlass":
        return {"folder": str(conf.get().windlass_home / "broker")}
    if scheme.startswith(("redis", "rediss", "valkey")):
        return {"socket_connect_timeout": 2, "socket_timeout": 5, "socket_keepalive": True}
    if scheme.startswith(("amqp", "pyamqp")):
        return {"write_timeout": 5}
    return {}
