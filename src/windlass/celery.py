"""Celery's side of the wiring: the worker, and its one task, whose body is a job's id.

Celery is told nothing that matters: a message is a bell, and the job's row says what is true (jobs/claims.py).
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from celery import bootsteps
from celery.apps.worker import Worker as CeleryWorker
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.signals import setup_logging
from celery.worker import state
from celery.worker.consumer import Consumer

from windlass.jobs import wake
from windlass.jobs.api import Stage
from windlass.operations.watchdog import Attendance, Watchdog
from windlass.processing import api as processing

__all__ = ["app", "stop", "work"]

log = structlog.get_logger(__name__)

#: EX_TEMPFAIL: the supervisor or service manager starts another in this one's place.
EXIT_STOPPED_CONSUMING = 75
#: How long a worker that stopped consuming may take to end by itself.
PATIENCE_SECONDS = 15.0

#: The longest pause between two looks for a broker that is away.
RETRY_SECONDS = 3.0

app = wake.application()
_reconnect = threading.Event()
attendance = Attendance()
_holder = ""
_stages: Sequence[Stage] = tuple(Stage)


@app.task(name=wake.TASK, ignore_result=True)  # type: ignore[untyped-decorator]
def run_job(job_id: str) -> None:
    with attendance.job():
        processing.run_job(UUID(job_id), holder=_holder or f"eager-{os.getpid()}", stages=_stages)


def work(instance: str, *, stages: Sequence[Stage], concurrency: int) -> int:
    """Answer the bells of these stages until told to stop; returns the exit code of the process.

    ``instance`` is the name under which jobs are claimed. Call it in the main thread.
    """
    global _holder, _stages
    _holder, _stages = instance, stages
    # It takes JSON only and runs none of it, and what is hostile runs in the sandbox: root in a container may.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)  # running jobs outlive a lost connection
    app.add_defaults(lambda: _worker_configuration(concurrency))
    setup_logging.connect(_keep_logging)  # type: ignore[no-untyped-call]
    attendance.open(slots=concurrency)
    watchdog = Watchdog(attendance, stages, reconnect=_reconnect.set, give_up=_give_up)
    worker: Any = _Worker(  # type: ignore[no-untyped-call]
        app=app,
        hostname=f"windlass@{instance}",
        pool="threads",
        concurrency=concurrency,
        consumer_cls=_Consumer,
        queues=[stage.value for stage in stages],
        quiet=True,
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,
    )
    threading.Thread(target=watchdog.run, name="windlass-watchdog", daemon=True).start()
    worker.start()
    return int(worker.exitcode or 0)


class _Worker(CeleryWorker):
    def install_platform_tweaks(self, worker: Any) -> None:
        """None of Celery's signal handlers: whoever runs this worker has its own, and calls ``stop``."""


class _Consumer(Consumer):
    """Celery's, which waits up to half a minute before it looks again for a broker that was away, and says so each
    time."""

    def ensure_connected(self, conn: Any) -> Any:
        told = False

        def tell(error: Exception, interval: float) -> None:
            nonlocal told
            if not told:
                log.warning(
                    "broker.away", error=" ".join(str(error).split()), hint="it is tried again until it answers"
                )
                told = True

        conn.ensure_connection(
            tell, None, interval_start=0, interval_step=0.5, interval_max=RETRY_SECONDS, callback=state.maybe_shutdown
        )
        self.first_connection_attempt = False
        self.broker_connection_retry_attempt = 0
        return conn


class _Tick(bootsteps.StartStopStep):
    """Wakes the event loop that Redis and AMQP brokers are read with, and makes it connect anew when asked.

    A thread that ends a job acknowledges its message through that loop, which would otherwise sleep on for up to a
    second before it lets the next message in.
    """

    requires: Any = ("celery.worker.consumer.tasks:Tasks",)
    SECONDS = 0.02

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        hub.call_repeatedly(self.SECONDS, _tick)


app.steps["consumer"].add(_Tick)


def _tick() -> None:
    """Raises what Celery takes for a lost connection: it closes the old one and consumes from a new one, and running
    jobs go on."""
    if _reconnect.is_set():
        _reconnect.clear()
        raise ConnectionResetError("this worker gets no messages; it connects again")


def stop() -> None:
    """Take no more; end when the running jobs have. The consumer looks at this flag between two messages."""
    state.should_stop = 0  # type: ignore[assignment]  # an exit code, where None means to go on


def _give_up() -> None:
    """The last resort: end this process, for whatever started it to start another."""
    state.should_stop = EXIT_STOPPED_CONSUMING  # type: ignore[assignment]
    threading.Event().wait(PATIENCE_SECONDS)
    os._exit(EXIT_STOPPED_CONSUMING)


def _keep_logging(**_: Any) -> None:
    """A receiver of this signal is all that keeps Celery from setting up logging of its own."""


def _worker_configuration(concurrency: int) -> dict[str, Any]:
    return {
        "worker_concurrency": concurrency,
        # A message is acknowledged when its job has ended and only then is another taken, so that none waits behind
        # a long job here while another worker is idle.
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
