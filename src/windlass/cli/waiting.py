"""Waiting for the parts that may start later than this process: the database, its tables, the broker."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress

from django.db import DatabaseError

from windlass import conf
from windlass.cli.database import database_errors
from windlass.database.connection import connection
from windlass.jobs import api as jobs

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0

Tell = Callable[[str, str], None]


def to_stderr(part: str, reason: str) -> None:
    """The notice of a command; a process of the server logs it instead."""
    print(f"windlass: waiting for {part}: {reason}", file=sys.stderr)  # noqa: T201  this is a command line


def to_log(part: str, reason: str) -> None:
    import structlog

    structlog.get_logger(__name__).warning("start.waiting", part=part, reason=reason)


def wait_for_database(tell: Tell = to_stderr) -> None:
    """Return once the database takes connections. Raises Refusal after START_WAIT_SECONDS."""
    with database_errors():
        _wait("the database", _connect, DatabaseError, tell)


def wait_for_tables(tell: Tell = to_log) -> None:
    """Return once the database has Windlass's tables, which another process may be making. Raises Refusal."""
    with database_errors():
        _wait("the database's tables", jobs.Job.objects.exists, DatabaseError, tell)


def wait_for_broker(tell: Tell = to_log) -> None:
    """Return once the broker answers, or after START_WAIT_SECONDS: a worker goes on trying by itself."""
    with suppress(Exception):  # each broker's client has errors of its own
        _wait("the broker", jobs.check_broker, Exception, tell)


def _connect() -> None:
    database = connection()
    if database.vendor != "sqlite":  # a file does not start later
        database.ensure_connection()


def _wait(part: str, ask: Callable[[], object], not_yet: type[Exception], tell: Tell) -> None:
    """Ask until nothing is raised, with growing pauses; ``tell`` is called once. Raises the last error."""
    deadline = time.monotonic() + conf.get().start_wait_seconds
    pause, told = FIRST_PAUSE, False
    while True:
        try:
            ask()
        except not_yet as error:
            connection().close()
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            if not told:
                tell(part, _line(error))
                told = True
            time.sleep(min(pause, left))
            pause = min(pause * 2, LONGEST_PAUSE)
        else:
            return


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
