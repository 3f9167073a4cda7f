"""The scheduler process: sweeps at an interval, keeps house once an hour. Several may run at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import structlog
from django.db import DatabaseError, close_old_connections

from windlass import conf
from windlass.operations.checkpoint import Checkpointer
from windlass.operations.sweep import housekeeping, sweep

log = structlog.get_logger(__name__)

HOUSEKEEPING_SECONDS = 3600.0
#: The first housekeeping waits until a start's rush is over.
SETTLE_SECONDS = 60.0


def run() -> None:
    """Never returns; ends with the process, at any moment: every part of a sweep may be cut off."""
    threading.Thread(target=_keep_house, name="windlass-housekeeping", daemon=True).start()
    checkpointer = Checkpointer()
    pause = threading.Event()
    log.info("scheduler.started", every_seconds=conf.get().sweep_seconds)
    while True:
        _one(sweep)
        _one(checkpointer.run)
        pause.wait(conf.get().sweep_seconds)


def _keep_house() -> None:
    """In a thread of its own: listing a large store must not hold up a lost bell."""
    pause = threading.Event()
    pause.wait(SETTLE_SECONDS)
    while True:
        _one(housekeeping)
        pause.wait(HOUSEKEEPING_SECONDS)


def _one(work: Callable[[], object]) -> None:
    close_old_connections()
    try:
        work()
    except DatabaseError as error:
        log.error("scheduler.database", error=str(error))
    finally:
        with suppress(DatabaseError):
            close_old_connections()
