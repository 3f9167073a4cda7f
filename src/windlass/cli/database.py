"""The database, as commands see it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, DatabaseError

from windlass import conf
from windlass.cli.refusal import Refusal
from windlass.database.connection import alias, connection

#: Names our PostgreSQL lock among those of other programs: "WIND" in ASCII, and one.
MIGRATION_LOCK = 0x57494E4401


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn what the database says into a line that a user can act on. Raises Refusal."""
    try:
        yield
    except DatabaseError as error:
        absent = "no such table" in str(error) or "does not exist" in str(error)
        hint = " Run `windlass migrate` first." if absent else ""
        raise Refusal(f"the database failed: {error}.{hint}") from error


def bring_up_to_date(*, verbosity: int) -> None:
    """Apply the migrations, one process at a time. Raises Refusal."""
    with database_errors(), _alone():
        for name in dict.fromkeys([DEFAULT_DB_ALIAS, alias()]):  # a project's router may have Windlass's elsewhere
            call_command("migrate", database=name, interactive=False, verbosity=verbosity, skip_checks=True)


@contextmanager
def _alone() -> Iterator[None]:
    if connection().vendor == "postgresql":
        with connection().cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])  # freed with the connection
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])
    else:
        with (conf.get().windlass_home / "migrate.lock").open("w") as lock:
            _wait_for(lock)
            yield


def _wait_for(lock: IO[str]) -> None:
    fcntl.flock(lock, fcntl.LOCK_EX)
