"""The Celery worker and its one task, whose argument is a job's id.

A message is only a notification; the job's row is authoritative (jobs/claims.py).
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Collection
from typing import Any
from uuid import UUID

import structlog
from celery import bootsteps
from celery.apps.worker import Worker as CeleryWorker
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.signals import setup_logging
from celery.worker import state
from celery.worker.consumer import Consumer

from windlass.jobs import notify
from windlass.jobs.api import QUEUES, ProcessRole, Queue, queue_of
from windlass.operations.heavy_slots import HeavySlots
from windlass.operations.process_heartbeat import beating
from windlass.operations.watchdog import Watchdog, WorkerActivity
from windlass.processing import api as processing

__all__ = ["app", "stop", "work"]

log = structlog.get_logger(__name__)

#: EX_TEMPFAIL: the supervisor or service manager starts another in this one's place.
EXIT_STOPPED_CONSUMING = 75
#: Seconds that a worker that stopped consuming may take to end its running jobs.
STOP_SECONDS = 15.0

#: The longest pause between two attempts to reach an unavailable broker.
RETRY_SECONDS = 3.0

app = notify.celery_app()
_reconnect = threading.Event()
activity = WorkerActivity()
_holder = ""
_queues: Collection[Queue] = QUEUES
_slots = HeavySlots(QUEUES, 1, lambda: None)
_consumer: Any = None


@app.task(name=notify.TASK, ignore_result=True, bind=True)  # type: ignore[untyped-decorator]
def run_job(self: Any, job_id: str) -> None:
    queue = queue_of((self.request.delivery_info or {}).get("routing_key") or "")
    with activity.job(), _slots.job(queue) as may_run:
        if queue is None or (may_run and not processing.is_ending()):
            processing.run_job(UUID(job_id), holder=_holder or f"eager-{os.getpid()}", queues=_queues)
        else:
            notify.notify_workers(UUID(job_id), queue)  # back to the broker, for another worker or for later


def work(instance: str, *, queues: Collection[Queue], concurrency: int) -> int:
    """Run jobs of these queues until ``stop`` is called; return the exit code of the process.

    ``instance`` is the name under which jobs are claimed. Call it in the main thread.
    """
    global _holder, _queues, _slots
    _holder, _queues = instance, queues
    _slots = HeavySlots(queues, concurrency, _consume_as_allowed)
    # Celery warns of running as root. Messages are JSON only, and hostile files are parsed in the sandbox.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)  # running jobs outlive a lost connection
    app.add_defaults(lambda: _worker_configuration(concurrency))
    setup_logging.connect(_keep_logging)  # type: ignore[no-untyped-call]
    activity.start(slots=concurrency)
    watchdog = Watchdog(activity, lambda: _slots.consumed, reconnect=_reconnect.set, give_up=_give_up)
    worker: Any = _Worker(  # type: ignore[no-untyped-call]
        app=app,
        hostname=f"windlass@{instance}",
        pool="threads",
        concurrency=concurrency,
        consumer_cls=_Consumer,
        queues=[queue.name for queue in queues],
        quiet=True,
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,
    )
    threading.Thread(target=watchdog.run, name="windlass-watchdog", daemon=True).start()
    with beating(instance, ProcessRole.WORKER, queues):
        worker.start()
    return int(worker.exitcode or 0)


class _Worker(CeleryWorker):
    def install_platform_tweaks(self, worker: Any) -> None:
        """Install no signal handlers: the process that runs this worker has its own, which call ``stop``."""


class _Consumer(Consumer):
    """Reconnects every few seconds and logs that once; Celery's consumer waits up to 30 s and logs every attempt."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        global _consumer
        _consumer = self

    def consume_as_allowed(self) -> None:
        """Consume the queues that ``_slots`` allows, and no others. Runs in the thread of the consumer."""
        celery_consumer: Any = self
        for queue in _queues:
            is_consumed = bool(celery_consumer.task_consumer.consuming_from(queue.name))
            if is_consumed and queue not in _slots.consumed:
                celery_consumer.cancel_task_queue(queue.name)
            elif not is_consumed and queue in _slots.consumed:
                celery_consumer.add_task_queue(queue.name)

    def ensure_connected(self, conn: Any) -> Any:
        logged = False

        def log_once(error: Exception, interval: float) -> None:
            nonlocal logged
            if not logged:
                log.warning("broker.away", error=" ".join(str(error).split()), hint="retried until it answers")
                logged = True

        conn.ensure_connection(
            log_once,
            None,
            interval_start=0,
            interval_step=0.5,
            interval_max=RETRY_SECONDS,
            callback=state.maybe_shutdown,
        )
        self.first_connection_attempt = False
        self.broker_connection_retry_attempt = 0
        return conn


class _Tick(bootsteps.StartStopStep):
    """Wakes Celery's event loop for Redis and AMQP brokers, and makes it reconnect on request.

    A thread that ends a job acknowledges its message through that loop, which would otherwise sleep for up to a second
    before it receives the next message.
    """

    requires: Any = ("celery.worker.consumer.tasks:Tasks",)
    SECONDS = 0.02

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        hub.call_repeatedly(self.SECONDS, _tick)


app.steps["consumer"].add(_Tick)


def _tick() -> None:
    """Raises ConnectionResetError on a requested reconnect: Celery then opens a new connection; running jobs go on."""
    if _reconnect.is_set():
        _reconnect.clear()
        raise ConnectionResetError("this worker receives no messages; it reconnects")


def _consume_as_allowed() -> None:
    """Called by the thread of a job that begins or ends."""
    if _consumer is not None:
        _consumer.call_soon(_consumer.consume_as_allowed)


def stop() -> None:
    """Stop consuming and end after the running steps; jobs with further ones are queued again. The consumer checks its
    flag between two messages."""
    processing.end_after_step()
    log.info("worker.ending")
    state.should_stop = 0  # type: ignore[assignment]  # an exit code, where None means to go on


def _give_up() -> None:
    """End this process, so that its supervisor or service manager starts another."""
    state.should_stop = EXIT_STOPPED_CONSUMING  # type: ignore[assignment]
    threading.Event().wait(STOP_SECONDS)
    os._exit(EXIT_STOPPED_CONSUMING)


def _keep_logging(**_: Any) -> None:
    """Connecting any receiver to this signal keeps Celery from configuring logging."""


def _worker_configuration(concurrency: int) -> dict[str, Any]:
    return {
        "worker_concurrency": concurrency,
        # A message is acknowledged when its job has ended, and only then is the next one received: none waits behind a
        # long job here while another worker is idle.
        "worker_prefetch_multiplier": 1,
        "task_acks_late": True,
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_prefetch_count_reduction": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_heartbeat": 20,
    }
