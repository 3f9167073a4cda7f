"""Errors of a full disk are recognized, whatever raised them and whatever wraps them."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing

from windlass.kernel.disk_full import is_disk_full


def full_database() -> sqlite3.Error:
    """The error of a real SQLite database that is limited to one page."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("PRAGMA max_page_count = 1")
        try:
            database.execute("CREATE TABLE more (than, fits)")
        except sqlite3.Error as error:
            return error
    raise AssertionError("the table was created")


def caused_by(error: BaseException) -> Exception:
    try:
        raise RuntimeError("a wrapper") from error
    except RuntimeError as wrapped:
        return wrapped


def test_a_full_disk_is_recognized_through_every_layer() -> None:
    for error in (OSError(errno.ENOSPC, ""), OSError(errno.EDQUOT, ""), full_database()):
        assert is_disk_full(error)
        assert is_disk_full(caused_by(caused_by(error)))


def test_other_errors_are_not_a_full_disk() -> None:
    assert not is_disk_full(None)
    assert not is_disk_full(OSError(errno.EIO, ""))
    assert not is_disk_full(caused_by(sqlite3.OperationalError("database is locked")))


def test_an_error_may_be_its_own_cause() -> None:
    error = RuntimeError()
    error.__cause__ = error
    assert not is_disk_full(error)
