"""The one connection that checkpoints SQLite's write-ahead log.

SQLite before 3.51.3 has a rare race: a checkpoint that runs while another connection commits into a log that an
earlier checkpoint has just finished may mark pages as copied that were not. So ordinary connections checkpoint only at
a size they should never see (``wal_autocheckpoint`` in ``windlass.settings``), and the scheduler does it before, once
for each stretch of new log. That holds with every version, because it also keeps a checkpoint's syncs out of the
commit that an upload waits for.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from windlass.database.connection import connection

log = structlog.get_logger(__name__)


class Checkpointer:
    """Call ``run`` now and then, always in the same thread."""

    def __init__(self) -> None:
        self._done_up_to: int | None = None

    def run(self) -> bool:
        """Copy what is new in the log into the database; whether there was any. Nothing to do elsewhere than SQLite."""
        changed = self._changed_at()
        if changed is None or changed == self._done_up_to:
            return False
        with connection().cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
            busy, in_log, copied = cursor.fetchone()
        if not busy and in_log == copied:
            # Looked at again after: a commit that slipped in between waits for the next, and no second checkpoint
            # follows on the heels of a finished one.
            self._done_up_to = self._changed_at()
        log.debug("checkpoint.done", pages=in_log, copied=copied)
        return True

    @staticmethod
    def _changed_at() -> int | None:
        if connection().vendor != "sqlite":
            return None
        try:
            log_file = Path(f"{connection().settings_dict['NAME']}-wal").stat()
        except FileNotFoundError:
            return None
        return log_file.st_mtime_ns if log_file.st_size else None
