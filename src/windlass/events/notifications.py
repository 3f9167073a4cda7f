"""Notifications of the journal's readers: "look now" after a commit, to this process and to others.

They may be lost, so a reader also looks from time to time. Between processes they go through the database where that
can send them (PostgreSQL's LISTEN and NOTIFY), else through named pipes: SQLite's processes share a machine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from time import sleep
from typing import Any

import structlog
from django.db import DatabaseError

from windlass import conf
from windlass.database.connection import connection
from windlass.database.outage import is_outage, log_outage
from windlass.kernel import named_pipes
from windlass.kernel.listeners import Listeners

#: The channel of PostgreSQL's NOTIFY.
CHANNEL = "windlass_journal"
#: Seconds after which a silent connection to PostgreSQL is tried, and before a lost one is opened again.
TRY_SECONDS, RETRY_SECONDS = 30.0, 1.0

log = structlog.get_logger(__name__)

_readers = Listeners()


def add_listener(listener: Callable[[], None]) -> Callable[[], None]:
    """Call ``listener``, from any thread, whenever events have been committed. Returns a function that stops that."""
    if not conf.get().celery_task_always_eager:  # then one process does everything
        _listen_to_others()
    return _readers.add(listener)


def notify_readers() -> None:
    """Notify the readers of every process of events that this one has committed."""
    _readers.notify()
    if connection().vendor == "sqlite" and not conf.get().celery_task_always_eager:
        named_pipes.notify(_pipes())


def notify_at_commit(cursor: Any) -> None:
    """Let PostgreSQL notify the readers when the transaction of this cursor commits."""
    cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])


@lru_cache(maxsize=1)
def _listen_to_others() -> None:
    """Pass the notifications of other processes on to the readers, as long as this process lives."""
    if connection().vendor == "postgresql":
        threading.Thread(target=_listen_to_postgresql, name="windlass-listen", daemon=True).start()
        return
    try:
        named_pipes.listen(_pipes(), _readers.notify)
    except OSError as error:  # a file system without pipes
        log.warning("journal.no_pipe", error=str(error), hint="events of other processes arrive a little later")


def _pipes() -> Path:
    return conf.get().windlass_home / "notifications"


def _listen_to_postgresql() -> None:
    """On a connection of its own. Behind a pooler that shares connections nothing arrives, and readers look by
    themselves."""
    while True:
        try:
            own = connection().copy()
            with closing(own):
                own.ensure_connection()
                own.connection.execute(f"LISTEN {CHANNEL}")
                _readers.notify()  # of what was committed meanwhile
                while True:
                    for _ in own.connection.notifies(timeout=TRY_SECONDS):
                        _readers.notify()
                    own.connection.execute("SELECT 1")
        except DatabaseError as error:
            _log(error)
        except Exception as error:  # noqa: BLE001  the driver's own errors: Django wraps those of its cursors only
            log.warning("journal.listener_failed", error=f"{type(error).__name__}: {error}")
        sleep(RETRY_SECONDS)


def _log(error: DatabaseError) -> None:
    if is_outage(error):
        log_outage(error)
    else:
        log.warning("journal.listener_failed", error=f"{type(error).__name__}: {error}")
