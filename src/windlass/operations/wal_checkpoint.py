"""Checkpoint SQLite's write-ahead log, from one connection only.

SQLite before 3.51.3 has a rare race: a checkpoint that runs while another connection commits into a log that an
earlier checkpoint has just finished may mark pages as copied that were not. So ordinary connections checkpoint only at
a size that they should never reach (``wal_autocheckpoint`` in ``windlass.settings``); the scheduler does it earlier,
once for each new part of the log. This applies to every version, because it also keeps a checkpoint's syncs out of the
commits that uploads wait for.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from windlass.database.connection import connection

log = structlog.get_logger(__name__)


class Checkpointer:
    """Call ``run`` regularly, always in the same thread."""

    def __init__(self) -> None:
        self._done_up_to: int | None = None

    def run(self) -> bool:
        """Copy new pages of the log into the database; return whether there were any. Does nothing on PostgreSQL."""
        changed = self._changed_at()
        if changed is None or changed == self._done_up_to:
            return False
        with connection().cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
            busy, in_log, copied = cursor.fetchone()
        if not busy and in_log == copied:
            # Read again: a commit since the first look waits for the next checkpoint, so that none follows a finished
            # one immediately.
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
