"""What a location already has, in a temporary SQLite file: a server has more objects than fit into memory."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from windlass.files.api import NamedObject
from windlass.operations.backup.manifest import Entry

_BATCH = 1000


class Index:
    """Objects that are in the location by SHA-256, and the entries of an earlier backup. For several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute("CREATE TABLE present (sha256 TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID")
        self._database.execute(
            "CREATE TABLE earlier (store TEXT, key TEXT, size INTEGER, version TEXT, sha256 TEXT, "
            "PRIMARY KEY (store, key)) WITHOUT ROWID"
        )

    def add_present(self, sha256: str, size: int) -> None:
        with self._lock:
            self._database.execute("INSERT OR REPLACE INTO present VALUES (?, ?)", (sha256, size))

    def add_earlier(self, entries: Iterable[Entry]) -> None:
        rows = ((each.store, each.key, each.size, each.version, each.sha256) for each in entries if not each.missing)
        while batch := list(islice(rows, _BATCH)):
            with self._lock:
                self._database.executemany("INSERT OR REPLACE INTO earlier VALUES (?, ?, ?, ?, ?)", batch)

    def is_present(self, sha256: str, size: int) -> bool:
        with self._lock:
            row = self._database.execute("SELECT size FROM present WHERE sha256 = ?", (sha256,)).fetchone()
        return row is not None and row[0] == size

    def earlier_sha256(self, named: NamedObject) -> str | None:
        """Return the SHA-256 that an earlier backup found for the object, if it has not been written again since."""
        with self._lock:
            row = self._database.execute(
                "SELECT sha256 FROM earlier WHERE store = ? AND key = ? AND size = ? AND version = ?",
                (named.store, named.key, named.size, named.version),
            ).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        self._database.close()
