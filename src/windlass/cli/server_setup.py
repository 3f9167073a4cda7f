"""``windlass migrate``, ``check`` and ``encryption-key``: commands that set a server up."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer

from windlass import conf
from windlass.cli.environment import Home, set_up_django, use_home
from windlass.cli.errors import CommandError, database_errors
from windlass.cli.migration_record import forget_migrations, record_migrations
from windlass.cli.output import JsonOption, json_line

#: Key of the PostgreSQL advisory lock, distinct from those of other programs: "WIND" in ASCII, and one.
MIGRATION_LOCK = 0x57494E4401
#: Seconds between two tries to take it.
MIGRATION_POLL_SECONDS = 0.2


def migrate(
    home: Home = None, quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False
) -> None:
    """Migrate the database to this version. Safe to run from several places at once, and again after a crash."""
    settings = use_home(home)
    set_up_django()
    from windlass.cli.wait_for_services import wait_for_database

    wait_for_database()
    forget_migrations(settings)
    apply_migrations(verbosity=0 if quiet else 1)
    record_migrations(settings)


def apply_migrations(*, verbosity: int) -> None:
    """Apply the migrations of every app while holding the migration lock. Raises CommandError."""
    from django.core.management import call_command
    from django.db import DEFAULT_DB_ALIAS

    from windlass.database.connection import alias

    with database_errors(), _migration_lock():
        # A project's router may put Windlass's tables into another database than its own.
        for name in dict.fromkeys([DEFAULT_DB_ALIAS, alias()]):
            call_command("migrate", database=name, interactive=False, verbosity=verbosity, skip_checks=True)


@contextmanager
def _migration_lock() -> Iterator[None]:
    from windlass.database.connection import connection

    if connection().vendor == "postgresql":
        with connection().cursor() as cursor:
            # Released with the connection. A statement that waited for the lock would have a snapshot, and an index
            # that the holder creates beside running transactions waits for all older snapshots.
            while not _has_migration_lock(cursor):
                time.sleep(MIGRATION_POLL_SECONDS)
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])
    else:
        with (conf.get().windlass_home / "migrate.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _has_migration_lock(cursor: Any) -> bool:
    cursor.execute("SELECT pg_try_advisory_lock(%s)", [MIGRATION_LOCK])
    return bool(cursor.fetchone()[0])


def check(as_json: JsonOption = False, home: Home = None) -> None:
    """Validate the settings, then try everything they name. Exit code 1 if a part failed."""
    use_home(home)
    set_up_django()
    from windlass.cli.service_checks import run_all_checks
    from windlass.cli.wait_for_services import report_to_stderr, wait_for_broker, wait_for_database

    with suppress(CommandError):  # the check of the database reports it
        wait_for_database()
    wait_for_broker(report_to_stderr)
    failed = False
    for result in run_all_checks():
        failed = failed or not result.ok
        document = {"name": result.name, "ok": result.ok, "detail": result.detail}
        line = f"{'ok' if result.ok else 'failed':7} {result.name:12} {result.detail}"
        typer.echo(json_line(document) if as_json else line)
    raise typer.Exit(1 if failed else 0)


def encryption_key() -> None:
    """Create a key for ENCRYPTION_KEY and print nothing else. Without the key the files cannot be read."""
    from windlass.kernel import secret_keys

    typer.echo(secret_keys.generate())
