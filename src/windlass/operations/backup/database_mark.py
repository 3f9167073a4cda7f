"""The mark of an unfinished restore in a PostgreSQL database, which processes on every machine see."""

from __future__ import annotations

from windlass.database.connection import connection
from windlass.operations.backup.unfinished_restore import RestoreUnfinished

#: A table of one row, the id of the backup.
TABLE = "windlass_unfinished_restore"


def mark_database(backup_id: str) -> None:
    """Let other machines see that this PostgreSQL database is being restored. Raises BackupError."""
    if connection().vendor == "sqlite":
        return
    with connection().cursor() as cursor:
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (backup text PRIMARY KEY)")
        cursor.execute(f"INSERT INTO {TABLE} VALUES (%s) ON CONFLICT DO NOTHING", [backup_id])  # noqa: S608  our own name


def unmark_database() -> None:
    if connection().vendor != "sqlite":
        with connection().cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")


def require_unmarked_database() -> None:
    """Raises RestoreUnfinished. Opens a connection if the database is PostgreSQL."""
    if connection().vendor == "sqlite":
        return
    with connection().cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [TABLE])
        if cursor.fetchone()[0]:
            raise RestoreUnfinished("the database")
