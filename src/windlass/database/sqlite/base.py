"""Django's SQLite back end, with files that only their owner may read and a fairer wait for the write lock.

SQLite's own busy handler sleeps longer each time, up to a tenth of a second, while a process that commits often takes
the lock again within microseconds: with a busy worker an upload waited a hundred times longer than the lock was held.
Here a transaction retries every millisecond.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError

from windlass.conf.private_files import close_to_others
from windlass.database import savepoints

RETRY_SECONDS = 0.001


class CursorWrapper(base.SQLiteCursorWrapper):
    """Django's cursor, which translates the placeholders of the same text once."""

    def convert_query(self, query: str, *, param_names: Any = None) -> str:
        return _translated(query) if param_names is None else super().convert_query(query, param_names=param_names)


@lru_cache(maxsize=512)
def _translated(query: str) -> str:
    return base.FORMAT_QMARK_REGEX.sub("?", query).replace("%%", "%")


class DatabaseWrapper(base.DatabaseWrapper):
    #: Whether ``rows.insert_deferred`` may defer: a new cursor comes after what was deferred.
    writes_deferred_rows = True

    def get_new_connection(self, conn_params: Any) -> Any:
        _make_private(str(conn_params["database"]))
        return super().get_new_connection(conn_params)

    def create_cursor(self, name: str | None = None) -> Any:
        watching = savepoints.watch()
        if watching is not None:
            watching.write_rows()
        return self.connection.cursor(factory=CursorWrapper)

    def _start_transaction_under_autocommit(self) -> None:
        timeout = float(self.settings_dict["OPTIONS"].get("timeout", 5.0))
        deadline = time.monotonic() + timeout
        with self.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 0")
            try:
                while True:
                    try:
                        cursor.execute("BEGIN IMMEDIATE")
                        return
                    except OperationalError as error:
                        if "locked" not in str(error) or time.monotonic() > deadline:
                            raise
                    time.sleep(RETRY_SECONDS)
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {round(timeout * 1000)}")


def _make_private(database: str) -> None:
    """Create the database file with mode 0600, and remove others' permissions on existing files.

    SQLite would create it with the umask's mode; its -wal, -shm and -journal files get the mode of the database file.
    An existing file is never opened here: when a process closes any descriptor of a file, POSIX releases all of the
    process's locks on it, including those of SQLite's other connections.
    """
    if database.startswith(("file:", ":memory:")):
        return
    if not os.path.exists(database):
        with suppress(OSError):  # SQLite reports the reason; or another process created it
            handle, empty = tempfile.mkstemp(dir=os.path.dirname(database) or ".")  # with mode 0600
            os.close(handle)
            try:
                os.link(empty, database)
            finally:
                os.unlink(empty)
    for suffix in ("", "-wal", "-shm", "-journal"):
        close_to_others(Path(database + suffix))
