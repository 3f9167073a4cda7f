"""Django's SQLite, in files that only their owner may read, and with a fairer wait for the one writer's place.

SQLite's own wait sleeps longer each time, up to a tenth of a second, while a process that commits often takes the lock
again within microseconds: under a busy worker an upload waited a hundred times longer than the lock was held. Here a
transaction asks again every millisecond.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError

from windlass.conf.private_files import close_to_others

ASK_AGAIN_SECONDS = 0.001


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: Any) -> Any:
        _make_private(str(conn_params["database"]))
        return super().get_new_connection(conn_params)

    def _start_transaction_under_autocommit(self) -> None:
        patience = float(self.settings_dict["OPTIONS"].get("timeout", 5.0))
        deadline = time.monotonic() + patience
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
                    time.sleep(ASK_AGAIN_SECONDS)
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {round(patience * 1000)}")


def _make_private(database: str) -> None:
    """SQLite would make the file readable for everybody, as far as the umask lets it; the files beside it get the mode
    of this one. Those of an earlier version are closed too.

    A file that is there is never opened here: POSIX takes a process's locks on a file away when the process closes any
    descriptor of it, and SQLite's other connections in this process would go on without theirs.
    """
    if database.startswith(("file:", ":memory:")):
        return
    if not os.path.exists(database):
        with suppress(OSError):  # SQLite says what is wrong; or another process was first
            handle, empty = tempfile.mkstemp(dir=os.path.dirname(database) or ".")  # with mode 0600
            os.close(handle)
            try:
                os.link(empty, database)
            finally:
                os.unlink(empty)
    for suffix in ("", "-wal", "-shm", "-journal"):
        close_to_others(Path(database + suffix))
