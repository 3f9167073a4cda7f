"""Wait for what may start later than this process: the database, its tables, the broker."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress

from django.apps import apps
from django.db import DatabaseError

from windlass import conf
from windlass.cli.errors import database_errors
from windlass.database.connection import connection
from windlass.jobs import api as jobs

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0

#: Called once with the name of what is waited for, and the reason.
Report = Callable[[str, str], None]


def report_to_stderr(part: str, reason: str) -> None:
    """For commands. Processes of the server log it instead."""
    print(f"windlass: waiting for {part}: {reason}", file=sys.stderr)  # noqa: T201  this is a command line


def report_to_log(part: str, reason: str) -> None:
    import structlog

    structlog.get_logger(__name__).warning("start.waiting", part=part, reason=reason)


def wait_for_database(report: Report = report_to_stderr) -> None:
    """Return once the database accepts connections.

    Raises CommandError after START_WAIT_SECONDS, and RestoreUnfinished.
    """
    with database_errors():
        _wait("the database", _connect, DatabaseError, report)
        require_no_unfinished_restore()


def require_no_unfinished_restore() -> None:
    """Raises RestoreUnfinished if a restore into this home directory or database has not ended."""
    from windlass.operations.backup.database_mark import require_unmarked_database
    from windlass.operations.backup.unfinished_restore import require_no_mark

    require_no_mark(conf.get().windlass_home)
    require_unmarked_database()


def wait_for_tables(report: Report = report_to_log) -> None:
    """Return once Windlass's tables exist as this version knows them; another process may be migrating them.

    Raises CommandError, RestoreUnfinished.
    """
    with database_errors():
        _wait("the database", _connect, DatabaseError, report)
        require_no_unfinished_restore()
        _wait("the database's tables", _read_every_table, DatabaseError, report)


def wait_for_broker(report: Report = report_to_log) -> None:
    """Return once the broker answers, or after START_WAIT_SECONDS: a worker keeps trying by itself."""
    with suppress(Exception):  # each broker's client has errors of its own
        _wait("the broker", jobs.check_broker, Exception, report)


def _connect() -> None:
    database = connection()
    if database.vendor != "sqlite":  # a file does not start later
        database.ensure_connection()


def _read_every_table() -> None:
    """Read one row of each table with all of its columns. Raises DatabaseError."""
    for config in apps.get_app_configs():
        if config.name.startswith("windlass."):
            for model in config.get_models():
                model._default_manager.order_by().first()


def _wait(part: str, attempt: Callable[[], object], retry_on: type[Exception], report: Report) -> None:
    """Call ``attempt`` until it does not raise ``retry_on``, with growing pauses. Raises the last error."""
    deadline = time.monotonic() + conf.get().start_wait_seconds
    pause, reported = FIRST_PAUSE, False
    while True:
        try:
            attempt()
        except retry_on as error:
            connection().close()
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise
            if not reported:
                report(part, " ".join(str(error).split()) or type(error).__name__)
                reported = True
            time.sleep(min(pause, remaining))
            pause = min(pause * 2, LONGEST_PAUSE)
        else:
            return
