"""The home directory, the settings and Django: what every command on the server's side sets up first."""

from __future__ import annotations

import atexit
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from windlass import conf
from windlass.cli.errors import CommandError, database_errors
from windlass.kernel.acting_caller import COMMAND, ActingCaller, set_acting_caller
from windlass.kernel.garbage_collection import loading
from windlass.kernel.optional_parts import import_without

Home = Annotated[Path | None, typer.Option(help="Home directory. Default: WINDLASS_HOME, else ./windlass-data.")]

OWN_SETTINGS = "windlass.settings"
#: The database in the home directory, if DATABASE_URL names no other.
SQLITE_NAME = "windlass.sqlite3"


def use_home(home: Path | None, *, create: bool = True) -> conf.Settings:
    """Load the settings with this home directory, also for the processes that this one starts.

    ``create`` creates the directory if it is missing. Without it, the directory must hold the SQLite database, if the
    server uses one. Raises BadSetting, CommandError.
    """
    _load_project()
    if home is not None:
        os.environ["WINDLASS_HOME"] = str(home.expanduser().absolute())
    settings = conf.reload()
    # An absolute path for child processes, which may run in another directory.
    os.environ["WINDLASS_HOME"] = str(settings.windlass_home.expanduser().absolute())
    settings = conf.reload()
    if not create and not _is_in_project() and not settings.database_url:
        if not (settings.windlass_home / SQLITE_NAME).is_file():
            _raise_missing_database(settings.windlass_home)
        return settings
    try:
        settings.windlass_home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise CommandError(
            f"the home directory {settings.windlass_home} cannot be created: {error.strerror}"
        ) from error
    return settings


@contextmanager
def existing_server(home: Path | None) -> Iterator[conf.Settings]:
    """Load the settings and Django for a command that acts on an existing server's records; wait for its database.

    Creates no home directory: no server would know a token created in an empty one. Raises BadSetting, CommandError;
    in the block, errors of the database become CommandErrors.
    """
    settings = use_home(home, create=False)
    set_up_django()
    act_as_command()
    from windlass.cli.wait_for_services import wait_for_database

    wait_for_database()
    with database_errors():
        yield settings


def act_as_command() -> None:
    """From now on this process acts for the person who runs it."""
    set_acting_caller(ActingCaller(f"os:{_user_of_this_machine()}", credential=COMMAND))


def _user_of_this_machine() -> str:
    """The name of the account that runs this process, for the audit log; its number where it has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _raise_missing_database(home: Path) -> None:
    from windlass.operations.backup.unfinished_restore import require_no_mark

    require_no_mark(home)
    hint = " In a Django project, set DJANGO_SETTINGS_MODULE to its settings." if Path("manage.py").exists() else ""
    raise CommandError(
        f"no server has run with the home directory {home}: there is no database in it. Run this command where the "
        "server was started, or name its home with --home or WINDLASS_HOME. `windlass migrate` creates a new database."
        + hint
    )


def _is_in_project() -> bool:
    return os.environ.get("DJANGO_SETTINGS_MODULE", OWN_SETTINGS) != OWN_SETTINGS


def _load_project() -> None:
    """Load another project's Django settings, if they are named, so that its ``WINDLASS`` setting counts at once."""
    if _is_in_project():
        from django.conf import settings

        getattr(settings, "WINDLASS", None)  # the first access to any setting loads them all


def set_up_django(process: str | None = None) -> None:
    """Load Django, by default with Windlass's own settings. A ``process`` name also configures the log,
    traces and error reports: such a process calls ``telemetry.stop`` at its end. Raises BadSetting, CommandError.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", OWN_SETTINGS)
    with loading():
        import_without("structlog", "rich")  # for tracebacks that are never printed: a twentieth of a start
    if process is not None:
        from windlass.operations import logging, telemetry
        from windlass.operations.shared_counters import share_counters

        logging.configure(process)
        share_counters(process)
        telemetry.start(process)
    import django
    from django.core.exceptions import ImproperlyConfigured

    try:
        with loading():
            django.setup()
    except ImproperlyConfigured as error:
        if "psycopg" not in str(error):
            raise
        raise CommandError(
            "the database is PostgreSQL, and its driver is not installed: pip install 'windlass[postgres]'"
        ) from error
    from django.db import connections

    # What is exempt from the garbage collection is not closed by the interpreter's end: the last connection to a SQLite
    # that is closed writes the log back and removes it.
    atexit.register(connections.close_all)
