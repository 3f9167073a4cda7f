"""Put a database from a backup in place of an empty one: as a whole, or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

from django.core.management import call_command
from django.db import connections

from windlass.database.connection import alias, connection
from windlass.kernel.clock import now
from windlass.operations.backup import postgresql
from windlass.operations.backup.database_mark import TABLE
from windlass.operations.backup.errors import BackupError
from windlass.operations.backup.manifest import Backup
from windlass.operations.backup.transfer import fetch_file
from windlass.operations.backup.unfinished_restore import sync_directory
from windlass.operations.backup.verification import check_sqlite
from windlass.storage.contract import Store

_SQLITE_FILES = ("", "-wal", "-shm", "-journal")


def require_loadable(backup: Backup) -> None:
    """Require the same kind of database, and the program that loads it. Raises BackupError."""
    vendor = connection().vendor
    if vendor != backup.database_vendor:
        raise BackupError(
            f"the backup is of a {backup.database_vendor} database, and DATABASE_URL names {vendor}: a backup is "
            "restored into the same kind of database"
        )
    if vendor == "postgresql":
        postgresql.require_program("pg_restore")


def require_empty(*, force: bool) -> None:
    """Refuse a database that has content. ``force`` allows one of SQLite, which is kept under another name.

    Raises BackupError.
    """
    if connection().vendor == "sqlite":
        path = _sqlite_path()
        if path.exists() and not force:
            raise BackupError(
                f"{path} exists: restore into a home directory without a database, or give --force, which keeps the "
                "present database under another name beside it"
            )
        return
    if _tables() - {TABLE}:
        raise BackupError(
            "the database is not empty: create an empty one (createdb) and let DATABASE_URL name it"
            + (". --force applies to SQLite only" if force else "")
        )


def load_database(location: Store, backup: Backup, scratch: Path, stop: threading.Event) -> None:
    """Load the backup's database. Raises BackupError, SourceDamaged, Stopped."""
    if connection().vendor == "sqlite":
        _place_sqlite(location, backup)
        return
    if "django_migrations" in _tables():
        return  # loaded by an earlier run, in one transaction
    dump = scratch / backup.database.name
    fetch_file(location, backup.key(backup.database.name), dump, backup.database.size, backup.database.sha256)
    postgresql.load(connection(), dump, stop)


def migrate_database() -> None:
    """Bring the loaded database to this version's schema."""
    for name in dict.fromkeys(["default", alias()]):
        call_command("migrate", database=name, interactive=False, verbosity=0, skip_checks=True)


def _place_sqlite(location: Store, backup: Backup) -> None:
    path = _sqlite_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    copy = path.with_name(f"{path.name}.restoring")
    fetch_file(location, backup.key(backup.database.name), copy, backup.database.size, backup.database.sha256)
    check_sqlite(copy)
    connections.close_all()
    kept = f"{path.name}.replaced-{now():%Y%m%dT%H%M%S}"
    for suffix in _SQLITE_FILES:
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(path.with_name(kept + suffix))
    copy.rename(path)
    sync_directory(path.parent)


def _sqlite_path() -> Path:
    return Path(connection().settings_dict["NAME"])


def _tables() -> set[str]:
    return set(connection().introspection.table_names())
