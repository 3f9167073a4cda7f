"""The mark of a restore that has not ended: until it has, nothing is served from what is half there.

It is a file in the home directory, and for PostgreSQL also a table (``database_mark``). This module does without
Django, so that ``serve`` looks for the file before anything else.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from windlass.operations.backup.errors import BackupError

_FILE = "unfinished-restore.json"


class RestoreUnfinished(BackupError):
    """The server may not run yet."""

    def __init__(self, where: str, source: str = "") -> None:
        again = f"`windlass restore {source}`" if source else "`windlass restore`"
        super().__init__(f"{where} holds a restore that has not ended: run {again} again to finish it")


@dataclass(frozen=True, slots=True)
class Mark:
    """``loaded``: the database is in place; its records may still have to be corrected."""

    source: str
    backup: str
    loaded: bool = False


def read_mark(home: Path) -> Mark | None:
    try:
        return Mark(**json.loads((home / _FILE).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):  # the machine died while the file was written: nothing had begun
        return None


def write_mark(home: Path, mark: Mark) -> None:
    """Write it durably, or replace it."""
    temporary = home / f"{_FILE}.new"
    with open(temporary, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        json.dump(asdict(mark), file)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(home / _FILE)
    sync_directory(home)


def remove_mark(home: Path) -> None:
    (home / _FILE).unlink(missing_ok=True)
    sync_directory(home)


def require_no_mark(home: Path) -> None:
    """Raises RestoreUnfinished."""
    mark = read_mark(home)
    if mark is not None:
        raise RestoreUnfinished(f"the home directory {home}", mark.source)


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
