"""The scheduler process: sweep every SWEEP_SECONDS, count the figures of whole tables, evaluate the service level, do
housekeeping every hour, verify stored files, deliver webhooks.

Several schedulers may run at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import structlog
from django.db import DatabaseError, close_old_connections

from windlass import conf
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.kernel.ids import new_id
from windlass.operations import graph_export, level_evaluator, verify
from windlass.operations.graph_export import GraphExporter
from windlass.operations.process_heartbeat import beating
from windlass.operations.record_figures import record_figures
from windlass.operations.sweep import housekeeping, sweep
from windlass.operations.wal_checkpoint import Checkpointer
from windlass.operations.webhooks import delivery

log = structlog.get_logger(__name__)

T = TypeVar("T")

HOUSEKEEPING_SECONDS = 3600.0
#: Seconds after the start at which the first housekeeping runs.
FIRST_HOUSEKEEPING_SECONDS = 60.0
#: Seconds between two checks of whether stored files are due to be verified.
VERIFY_SECONDS = 60.0
#: Seconds after which files that could not be read, such as those of an unavailable store, are tried again.
UNREAD_SECONDS = 600.0
#: Seconds that the end waits for a block that is being read, and for webhooks that are being sent.
STOP_SECONDS = 5.0


def run(stop: threading.Event, also: Sequence[Callable[[threading.Event], None]] = ()) -> None:
    """Run until ``stop`` is set. The process may be killed at any moment: every task may be interrupted.

    ``also``: tasks of layers above, each of which runs in a thread of its own until ``stop`` is set.
    """
    threading.Thread(target=_housekeep, name="windlass-housekeeping", daemon=True).start()
    threading.Thread(target=_count_figures, args=(stop,), name="windlass-figures", daemon=True).start()
    verifying = threading.Thread(target=_verify, args=(stop,), name="windlass-verify", daemon=True)
    verifying.start()
    evaluating = level_evaluator.run_in_thread(stop)
    delivering = threading.Thread(target=delivery.run, args=(stop,), name="windlass-webhooks", daemon=True)
    delivering.start()
    name = f"scheduler-{new_id().hex[:12]}"
    exporting = threading.Thread(target=_export, args=(stop, name), name="windlass-graph-export", daemon=True)
    exporting.start()
    others = [threading.Thread(target=task, args=(stop,), name=task.__module__, daemon=True) for task in also]
    for thread in others:
        thread.start()
    checkpointer = Checkpointer()
    log.info("scheduler.started", every_seconds=conf.get().sweep_seconds)
    with beating(name, jobs.ProcessRole.SCHEDULER):
        while not stop.is_set():
            _run_once(sweep)
            _run_once(checkpointer.run)
            stop.wait(conf.get().sweep_seconds)
    for thread in (verifying, evaluating, delivering, exporting, *others):
        thread.join(STOP_SECONDS)


def _housekeep() -> None:
    """Runs in its own thread: listing a large store must not delay the sweep."""
    pause = threading.Event()
    pause.wait(FIRST_HOUSEKEEPING_SECONDS)
    while True:
        _run_once(housekeeping)
        pause.wait(HOUSEKEEPING_SECONDS)


def _count_figures(stop: threading.Event) -> None:
    """Runs in its own thread: counting large tables must not delay the sweep."""
    while not stop.is_set():
        for figures in (record_figures, files.figures_of_owners):
            _run_once(figures.refresh)
        stop.wait(conf.get().sweep_seconds)


def _verify(stop: threading.Event) -> None:
    """Runs in its own thread: reading all files takes days."""
    while conf.get().verify_every_days and not stop.is_set():
        report = _run_once(partial(verify.verify_due, stop))
        stop.wait(UNREAD_SECONDS if report is not None and report.unread else VERIFY_SECONDS)


def _export(stop: threading.Event, name: str) -> None:
    """Runs in its own thread: a graph database that is away must not delay the sweep."""
    exporter = GraphExporter(name)
    while not stop.is_set():
        _run_once(partial(exporter.run_due, stop))
        stop.wait(graph_export.INTERVAL_SECONDS)


def _run_once(work: Callable[[], T]) -> T | None:
    close_old_connections()
    try:
        return work()
    except DatabaseError as error:
        log.error("scheduler.database", error=str(error))
        return None
    finally:
        with suppress(DatabaseError):
            close_old_connections()
