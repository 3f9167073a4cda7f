"""A consistent copy of the database while the server runs, and the list of objects that exactly this copy names."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from windlass import APPS
from windlass.database.connection import alias, connection
from windlass.files.api import NamedObject, named_objects
from windlass.operations.backup import postgresql
from windlass.operations.backup.errors import BackupError
from windlass.operations.throttle import Stopped

#: Django alias of the connection that reads the snapshot.
_ALIAS = "windlass-backup"
#: SQLite calls the progress handler after this many instructions of its virtual machine.
_INSTRUCTIONS = 100_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the database in a file, and the list of objects that it names, one JSON line each."""

    vendor: str
    version: str
    database: Path
    objects: Path
    count: int
    bytes: int
    stores: dict[str, int]
    migrations: list[str]

    def named(self) -> Iterator[NamedObject]:
        with self.objects.open("rb") as file:
            for line in file:
                yield NamedObject(**json.loads(line))


def take_snapshot(directory: Path, stop: threading.Event) -> Snapshot:
    """Copy the database into ``directory``. Writers are not blocked. Raises BackupError, Stopped, DatabaseError."""
    return _sqlite(directory, stop) if connection().vendor == "sqlite" else _postgresql(directory, stop)


def _sqlite(directory: Path, stop: threading.Event) -> Snapshot:
    copy = directory / "database.sqlite3"
    vacuum_into(Path(connection().settings_dict["NAME"]), copy, stop)
    with _second_connection(NAME=str(copy)) as database:
        return _listed(database, sqlite3.sqlite_version, copy, directory / "named.jsonl", stop)


def _postgresql(directory: Path, stop: threading.Event) -> Snapshot:
    from psycopg import IsolationLevel

    copy = directory / "database.pgdump"
    level = connection().settings_dict["OPTIONS"] | {"isolation_level": IsolationLevel.REPEATABLE_READ}
    with _second_connection(OPTIONS=level) as database, transaction.atomic(using=_ALIAS):
        with database.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            exported = str(cursor.fetchone()[0])
        postgresql.dump(database, exported, copy, stop)
        return _listed(database, postgresql.server_version(database), copy, directory / "named.jsonl", stop)


def vacuum_into(source: Path, copy: Path, stop: threading.Event) -> None:
    """Copy a SQLite database as it is in one read transaction, which does not block writers. Raises Stopped."""
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as database:
        database.set_progress_handler(lambda: int(stop.is_set()), _INSTRUCTIONS)
        try:
            database.execute("VACUUM INTO ?", (str(copy),))
        except sqlite3.Error as error:
            if stop.is_set():
                raise Stopped from error
            raise BackupError(f"the database {source} cannot be copied: {error}") from error
    copy.chmod(0o600)


@contextmanager
def _second_connection(**settings: object) -> Iterator[BaseDatabaseWrapper]:
    """A connection under an alias of its own, with the settings of Windlass's database but for these."""
    connections.databases[_ALIAS] = {**connections.databases[alias()], **settings}
    try:
        yield connections[_ALIAS]
    finally:
        connections[_ALIAS].close()
        del connections[_ALIAS]
        del connections.databases[_ALIAS]


def _listed(database: BaseDatabaseWrapper, version: str, copy: Path, listing: Path, stop: threading.Event) -> Snapshot:
    count = size = 0
    stores: dict[str, int] = {}
    with listing.open("wb") as file:
        for named in named_objects(_ALIAS):
            if stop.is_set():
                raise Stopped
            file.write(json.dumps(asdict(named)).encode() + b"\n")
            count, size = count + 1, size + named.size
            stores[named.store] = stores.get(named.store, 0) + 1
    return Snapshot(database.vendor, version, copy, listing, count, size, stores, _applied_migrations(database))


def _applied_migrations(database: BaseDatabaseWrapper) -> list[str]:
    labels = {f"{name.replace('.', '_')}" for name in APPS}
    applied = MigrationRecorder(database).applied_migrations()
    return sorted(f"{app}.{name}" for app, name in applied if app in labels)
