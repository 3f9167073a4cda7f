"""The scheduler process: sweeps at an interval, keeps house once an hour, and reads what is stored to verify it.

Several may run at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import structlog
from django.db import DatabaseError, close_old_connections

from windlass import conf
from windlass.operations import verify
from windlass.operations.sweep import housekeeping, sweep
from windlass.operations.wal_checkpoint import Checkpointer

log = structlog.get_logger(__name__)

T = TypeVar("T")

HOUSEKEEPING_SECONDS = 3600.0
#: The first housekeeping waits until a start's rush is over.
SETTLE_SECONDS = 60.0
#: How often it is looked whether stored files are due to be read.
VERIFY_SECONDS = 60.0
#: How long what could not be read, of a store that is away for instance, is left alone.
UNREAD_SECONDS = 600.0
#: How long the end waits for a block that is being read.
STOP_SECONDS = 5.0


def run(stop: threading.Event) -> None:
    """Returns when ``stop`` is set. The process may end at any moment: every part of a sweep may be cut off."""
    threading.Thread(target=_keep_house, name="windlass-housekeeping", daemon=True).start()
    verifying = threading.Thread(target=_verify, args=(stop,), name="windlass-verify", daemon=True)
    verifying.start()
    checkpointer = Checkpointer()
    log.info("scheduler.started", every_seconds=conf.get().sweep_seconds)
    while not stop.is_set():
        _one(sweep)
        _one(checkpointer.run)
        stop.wait(conf.get().sweep_seconds)
    verifying.join(STOP_SECONDS)


def _keep_house() -> None:
    """In a thread of its own: listing a large store must not hold up a lost bell."""
    pause = threading.Event()
    pause.wait(SETTLE_SECONDS)
    while True:
        _one(housekeeping)
        pause.wait(HOUSEKEEPING_SECONDS)


def _verify(stop: threading.Event) -> None:
    """In a thread of its own: reading everything takes days."""
    while conf.get().verify_every_days and not stop.is_set():
        report = _one(partial(verify.verify_due, stop))
        stop.wait(UNREAD_SECONDS if report is not None and report.unread else VERIFY_SECONDS)


def _one(work: Callable[[], T]) -> T | None:
    close_old_connections()
    try:
        return work()
    except DatabaseError as error:
        log.error("scheduler.database", error=str(error))
        return None
    finally:
        with suppress(DatabaseError):
            close_old_connections()
