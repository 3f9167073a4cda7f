"""Whether an error means that a disk is full, whoever noticed it."""

from __future__ import annotations

import errno
import sqlite3

_FULL = {errno.ENOSPC, errno.EDQUOT}
#: PostgreSQL's disk_full.
_DISK_FULL = "53100"


def is_out_of_room(error: BaseException | None) -> bool:
    """Of the system, SQLite or PostgreSQL, also as the cause of another error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        if getattr(error, "sqlstate", None) == _DISK_FULL:
            return True
        error = error.__cause__
    return False
