"""Django's SQLite, with a fairer wait for the one writer's place.

SQLite's own wait sleeps longer each time, up to a tenth of a second, while a process that commits often takes the lock
again within microseconds: under a busy worker an upload waited a hundred times longer than the lock was held. Here a
transaction asks again every millisecond.
"""

from __future__ import annotations

import time

from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError

ASK_AGAIN_SECONDS = 0.001


class DatabaseWrapper(base.DatabaseWrapper):
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
