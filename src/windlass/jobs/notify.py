"""Notify workers of due jobs by Celery messages that carry a job's id. A lost message costs time, never work.

Celery is imported by the thread that first sends, so that the web process starts without it; where the broker is the
embedded one, not at all.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import structlog

from windlass import conf
from windlass.jobs.embedded_messages import NO_CALLBACKS, EmbeddedSender
from windlass.jobs.queue_directory import prove_writable
from windlass.jobs.states import QUEUES, Queue, Stage
from windlass.kernel.ids import new_id
from windlass.resilience.circuit_breaker import BreakerOpen, breaker

TASK = "windlass.run_job"
Notification = tuple[uuid.UUID, Queue]

#: Notifications that may wait for a slow broker. More are dropped; the sweep sends them again.
MAX_WAITING = 10_000
#: The circuit breaker of the broker. While it is open, notifications are dropped.
BREAKER = "broker"
#: Seconds for a connection to the broker, and for an answer or a write on one.
CONNECT_SECONDS = 2.0
SOCKET_SECONDS = 5.0
#: Seconds for which an exiting process goes on sending notifications of what it has just committed.
FLUSH_SECONDS = 2.0

log = structlog.get_logger(__name__)


_app_lock = threading.Lock()


def celery_app() -> Any:
    """Windlass's own Celery application, apart from another project's. ``windlass.celery`` defines its task.

    Threads that need it at the same time wait for one import: Celery replaces its modules while it is imported.
    """
    with _app_lock:
        return _make_app()


@lru_cache(maxsize=1)
def _make_app() -> Any:
    from celery import Celery
    from kombu.transport import TRANSPORT_ALIASES

    TRANSPORT_ALIASES["windlass"] = "windlass.jobs.filesystem_transport:Transport"
    # No fixups: Celery's Django fixup would run every system check at a worker's start.
    app: Any = Celery("windlass", set_as_current=False, fixups=[], include=["windlass.celery"])  # type: ignore[no-untyped-call]
    app.add_defaults(_configuration)
    return app


def notify_workers(job_id: uuid.UUID, job_queue: Queue) -> None:
    """Send a notification from a background thread. Never blocks, and never raises for an unavailable or slow broker.

    With CELERY_TASK_ALWAYS_EAGER the job runs in this call instead, and its exceptions are raised.
    """
    if conf.get().celery_task_always_eager:
        _run_eagerly(job_id)
    else:
        _notifier().put((job_id, job_queue))


def send_now(notifications: Iterable[Notification]) -> int:
    """Send in this thread. Return how many were sent before the broker failed; never raises for that."""
    if conf.get().celery_task_always_eager:
        return sum(1 for job_id, _ in notifications if _run_eagerly(job_id))
    sent = 0
    for notification in notifications:
        if not _connection().publish(notification):
            break
        sent += 1
    _connection().wake()
    return sent


def connect_broker() -> None:
    """Connect ahead of the first notification, for which Celery may have to be imported. Blocks."""
    if not conf.get().celery_task_always_eager:
        _connection().connect()


def check_broker(seconds: float = 5.0) -> str:
    """Connect to the broker within about so many seconds, or write to the embedded one's directory.

    Return its address without its password. Raises the exceptions of its client library, OSError.
    """
    url = conf.get().celery_broker_url
    if not url:
        prove_writable(_folder())
        return "embedded"
    options = _timeouts(url, seconds)
    with celery_app().connection_for_write(connect_timeout=seconds, transport_options=options) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=seconds)
        return str(connection.as_uri())


def broker_breaker_names() -> list[str]:
    """Return the name of the broker's circuit breaker. The embedded broker is a directory, and has none."""
    settings = conf.get()
    return [BREAKER] if settings.celery_broker_url and not settings.celery_task_always_eager else []


def _guarded() -> AbstractContextManager[None]:
    return breaker(BREAKER).call(Exception) if broker_breaker_names() else nullcontext()


class _Sender(Protocol):
    """A connection to a broker. Use it in one thread at a time; each method raises the errors of its library."""

    def publish(self, job_id: uuid.UUID, queue: Queue) -> None: ...

    def wake(self) -> None:
        """Have workers look for what was published. Call it once after several messages."""

    def close(self) -> None: ...


class _CelerySender:
    def __init__(self) -> None:
        app = celery_app()
        connection = app.connection_for_write()
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        self._producer = app.amqp.Producer(connection)
        #: Bound to the producer's channel: kombu would copy them for each message.
        self._queues = {each: app.amqp.queues[each.name](self._producer.channel) for each in QUEUES}

    def publish(self, job_id: uuid.UUID, queue: Queue) -> None:
        """What ``send_task`` does without its options, signals and representation of the arguments, which cost several
        times as much as the message."""
        task_id = str(new_id())
        self._producer.publish(
            [[str(job_id)], {}, NO_CALLBACKS],
            exchange="",  # a queue's own name is its key there
            routing_key=queue.name,
            declare=[self._queues[queue]],
            headers=_task_headers() | {"id": task_id, "root_id": task_id, "argsrepr": f"['{job_id}']"},
            correlation_id=task_id,
            serializer="json",
            delivery_mode="transient",
            retry=False,
        )

    def wake(self) -> None:
        """Does nothing: the broker does it."""

    def close(self) -> None:
        self._producer.__connection__.close()


class _Connection:
    """One connection to the broker, opened at first use and dropped on an error."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sender: _Sender | None = None
        self._away = False

    def connect(self) -> bool:
        with self._lock:
            return self._attempt(self._open)

    def publish(self, notification: Notification) -> bool:
        with self._lock:
            return self._attempt(lambda: self._open().publish(*notification))

    def wake(self) -> None:
        with self._lock:
            if self._sender is not None:
                self._sender.wake()

    def _open(self) -> _Sender:
        if self._sender is None:
            is_embedded = not conf.get().celery_broker_url
            self._sender = EmbeddedSender(_folder(), TASK) if is_embedded else _CelerySender()
        return self._sender

    def _attempt(self, work: Any) -> bool:
        try:
            with _guarded():
                work()
        except BreakerOpen:
            return False
        except Exception as error:  # noqa: BLE001  each broker's client has its own errors; none may reach an upload
            self._drop(error)
            return False
        if self._away:
            self._away = False
            log.info("broker.back")
        return True

    def _drop(self, error: Exception) -> None:
        sender, self._sender = self._sender, None
        if not self._away:
            self._away = True
            log.warning("broker.away", error=f"{type(error).__name__}: {error}", hint="jobs wait for the sweep")
        if sender is not None:
            try:
                sender.close()
            except Exception as closing:  # noqa: BLE001  the connection is broken already
                log.debug("broker.close_failed", error=str(closing))


class _Notifier:
    """Sends notifications in order from a background thread."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Notification] = queue.Queue(MAX_WAITING)
        threading.Thread(target=self._run, name="windlass-notify", daemon=True).start()
        atexit.register(self.flush)

    def put(self, notification: Notification) -> None:
        try:
            self._waiting.put_nowait(notification)
        except queue.Full:
            log.debug("notification.dropped", job_id=str(notification[0]))

    def flush(self) -> None:
        """Wait up to FLUSH_SECONDS until everything is sent."""
        deadline = time.monotonic() + FLUSH_SECONDS
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.005)

    def _run(self) -> None:
        while True:
            _connection().publish(self._waiting.get())
            if self._waiting.empty():
                _connection().wake()
            self._waiting.task_done()


@lru_cache(maxsize=1)
def _task_headers() -> dict[str, Any]:
    """The headers of a task message (Celery's protocol 2), without the ids of the task and of the job."""
    headers: dict[str, Any] = celery_app().amqp.as_task_v2("", TASK, ignore_result=True).headers
    return headers


@lru_cache(maxsize=1)
def _connection() -> _Connection:
    return _Connection()


_start = threading.Lock()


def _notifier() -> _Notifier:
    with _start:  # lru_cache alone could start two threads
        return _only_notifier()


@lru_cache(maxsize=1)
def _only_notifier() -> _Notifier:
    return _Notifier()


def _reset_after_fork() -> None:
    """A forked child has no such thread, and must not use the parent's connection."""
    global _start
    _start = threading.Lock()
    _only_notifier.cache_clear()
    _connection.cache_clear()


os.register_at_fork(after_in_child=_reset_after_fork)


def _run_eagerly(job_id: uuid.UUID) -> bool:
    app = celery_app()
    app.loader.import_default_modules()
    app.tasks[TASK].apply(args=[str(job_id)], throw=True)
    return True


def _configuration() -> dict[str, Any]:
    from kombu import entity

    url = conf.get().celery_broker_url or "windlass://localhost"
    make_queue: Any = entity.Queue
    exchange = entity.Exchange("windlass", type="direct")  # type: ignore[no-untyped-call]
    return {
        # CELERY_BROKER_URL in the environment overrides broker_url, but not these two.
        "broker_read_url": url,
        "broker_write_url": url,
        "broker_transport_options": _transport_options(url),
        "broker_connection_timeout": CONNECT_SECONDS,
        "task_queues": [make_queue(each.name, exchange, routing_key=each.name) for each in QUEUES],
        "task_default_queue": Stage.INTAKE.value,
        "task_default_exchange": "windlass",
        "task_default_delivery_mode": "transient",  # the sweep replaces what a broker loses
        "task_ignore_result": True,
        "accept_content": ["json"],
    }


def _transport_options(url: str) -> dict[str, Any]:
    if url.startswith("windlass:"):
        return {"folder": str(_folder())}
    keepalive = {"socket_keepalive": True} if url.startswith(_REDIS) else {}
    return {**_timeouts(url, SOCKET_SECONDS), **keepalive}


def _folder() -> Path:
    """The directory of the embedded broker."""
    return conf.get().windlass_home / "broker"


_REDIS = ("redis", "valkey")


def _timeouts(url: str, seconds: float) -> dict[str, Any]:
    """The transport options of this URL that bound the wait for an answer."""
    if url.startswith(_REDIS):
        return {"socket_connect_timeout": min(seconds, CONNECT_SECONDS), "socket_timeout": seconds}
    if url.startswith(("amqp", "pyamqp")):
        return {"write_timeout": seconds}
    return {}
