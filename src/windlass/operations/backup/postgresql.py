"""PostgreSQL's programs pg_dump and pg_restore. A password goes to them in the environment, never as an argument."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper

from windlass.conf import reader
from windlass.operations.backup.errors import BackupError
from windlass.operations.throttle import Stopped

_POLL_SECONDS = 0.2
#: Parameters of a connection that are no parameters of libpq, which the programs use.
_NOT_LIBPQ = frozenset({"autocommit", "client_encoding", "prepare_threshold", "server_side_binding"})


class ProgramFailed(BackupError):
    """The program ended with an error, which the text quotes."""


def dump(database: BaseDatabaseWrapper, snapshot: str, path: Path, stop: threading.Event) -> None:
    """Write the database as this exported snapshot shows it. Raises BackupError, Stopped."""
    arguments = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={path}"]
    _run("pg_dump", arguments, stop, database)


def load(database: BaseDatabaseWrapper, path: Path, stop: threading.Event) -> None:
    """Load a dump into the empty database, all of it or nothing. Raises BackupError, Stopped."""
    arguments = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", str(path)]
    _run("pg_restore", arguments, stop, database)


def require_program(program: str) -> None:
    """Raises BackupError if the program is not installed."""
    if shutil.which(program) is None:
        raise BackupError(
            f"{program} is not installed: install PostgreSQL's client programs, of the server's version or newer"
        )


def check_dump(path: Path) -> None:
    """Read the whole dump. Raises BackupError if it is damaged or pg_restore is missing."""
    _run("pg_restore", ["--file=/dev/null", str(path)], threading.Event(), None)


def _run(program: str, arguments: Sequence[str], stop: threading.Event, database: BaseDatabaseWrapper | None) -> None:
    where: list[str] = []
    environment = dict(reader.environment())
    if database is not None:
        where, password = _connection_arguments(database)
        environment |= {"PGPASSWORD": password} if password else {}
    require_program(program)
    process = subprocess.Popen(
        [program, "--no-password", *where, *arguments] if database is not None else [program, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,  # Ctrl-C reaches only this process, which ends the program
    )
    errors = _wait(process, stop)
    if process.returncode:
        reason = " ".join(errors.decode(errors="replace").split())[-1000:]
        raise ProgramFailed(f"{program} failed: {reason or f'exit code {process.returncode}'}")


def _wait(process: subprocess.Popen[bytes], stop: threading.Event) -> bytes:
    """Return what the program wrote to stderr; kill it when ``stop`` is set. Raises Stopped."""
    try:
        while True:
            try:
                return process.communicate(timeout=_POLL_SECONDS)[1]
            except subprocess.TimeoutExpired:
                if stop.is_set():
                    raise Stopped from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _connection_arguments(database: BaseDatabaseWrapper) -> tuple[list[str], str]:
    """Return the argument that names the server and the database, and the password."""
    from psycopg.conninfo import make_conninfo

    parameters = dict(database.get_connection_params())
    password = parameters.pop("password", "")
    # What remains is psycopg's and Django's, such as a cursor class and the encoding, which pg_dump chooses itself.
    given = {
        name: str(value)
        for name, value in parameters.items()
        if isinstance(value, str | int) and name not in _NOT_LIBPQ
    }
    return [f"--dbname={make_conninfo(**given)}"], password


def server_version(database: BaseDatabaseWrapper) -> str:
    with database.cursor() as cursor:
        cursor.execute("SHOW server_version")
        return str(cursor.fetchone()[0])
