"""Recognize errors that mean that a disk is full."""

from __future__ import annotations

import errno
import sqlite3

_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT}
_POSTGRESQL_DISK_FULL = "53100"


def is_disk_full(error: BaseException | None) -> bool:
    """Whether the operating system, SQLite or PostgreSQL reported a full disk, also as the cause of another error."""
    seen: set[int] = set()  # an error may be its own cause
    while error is not None and id(error) not in seen:
        if _reports_full_disk(error):
            return True
        seen.add(id(error))
        error = error.__cause__
    return False


def _reports_full_disk(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL_ERRNOS
    sqlite_code, sqlstate = getattr(error, "sqlite_errorcode", None), getattr(error, "sqlstate", None)
    return sqlite_code == sqlite3.SQLITE_FULL or sqlstate == _POSTGRESQL_DISK_FULL
