"""Whether an error means that a disk is full, whoever noticed it."""

from __future__ import annotations

import errno
import sqlite3

_FULL = {errno.ENOSPC, errno.EDQUOT}
#: PostgreSQL's disk_full.
_DISK_FULL = "53100"


def is_out_of_room(error: BaseException | None) -> bool:
    """Of the system, SQLite or PostgreSQL, also as the cause of another error."""
    seen: set[int] = set()  # an error may be its own cause
    while error is not None and id(error) not in seen:
        if _says_so(error):
            return True
        seen.add(id(error))
        error = error.__cause__
    return False


def _says_so(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    of_sqlite, of_postgres = getattr(error, "sqlite_errorcode", None), getattr(error, "sqlstate", None)
    return of_sqlite == sqlite3.SQLITE_FULL or of_postgres == _DISK_FULL
