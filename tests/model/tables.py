"""The rows that a model begins with, and what they hold now; past Django, so that no step of the explorer begins."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import Model

from windlass.events.models import Event
from windlass.files.models import Blob, FileAsset, OwnerAccount, UploadChunk, UploadSession
from windlass.jobs.models import Attempt, Job


def rows(*models: type[Model]) -> list[tuple[object, ...]]:
    """Every row of these tables."""
    return [row for model in models for row in values(f"SELECT * FROM {model._meta.db_table} ORDER BY 1")]


def values(sql: str) -> list[tuple[Any, ...]]:
    return list(_database().execute(sql))


#: The tables that models write to, each before those that it refers to.
TABLES = (Attempt, Job, UploadChunk, FileAsset, Blob, UploadSession, OwnerAccount, Event)


@dataclass
class FirstRows:
    """Makes the same first rows again and again: by ``create`` once, and copied from then on. Other rows go."""

    create: Callable[[], None]
    _copied: dict[str, list[tuple[object, ...]]] = field(default_factory=dict)

    def restore(self) -> None:
        database = _database()
        database.execute("BEGIN")
        for model in TABLES:
            database.execute(f"DELETE FROM {model._meta.db_table}")
        for table, copied in self._copied.items():
            places = ", ".join("?" * len(copied[0])) if copied else ""
            database.executemany(f"INSERT INTO {table} VALUES ({places})", copied)
        database.execute("COMMIT")
        if not self._copied:
            self.create()
            self._copied = {model._meta.db_table: rows(model) for model in reversed(TABLES) if rows(model)}


def _database() -> sqlite3.Connection:
    database = connection.connection
    assert isinstance(database, sqlite3.Connection)
    return database
