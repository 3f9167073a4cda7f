"""What every command that runs on the server's side does first."""

from __future__ import annotations

import os
from pathlib import Path

from windlass import conf
from windlass.cli.refusal import Refusal

OWN_SETTINGS = "windlass.settings"
#: The database in the home directory, where DATABASE_URL names no other.
SQLITE_NAME = "windlass.sqlite3"


def use_home(home: Path | None, *, make: bool = True) -> conf.Settings:
    """Settings with this home directory; also for the processes started from here. It is made if need be, or, without
    ``make``, must hold the database where that is SQLite's.

    Raises BadSetting, Refusal.
    """
    _load_project()
    if home is not None:
        os.environ["WINDLASS_HOME"] = str(home.expanduser().absolute())
    settings = conf.reload()
    # Named in full for child processes, which may run in another directory.
    os.environ["WINDLASS_HOME"] = str(settings.windlass_home.expanduser().absolute())
    settings = conf.reload()
    if not make and not _is_in_project() and not settings.database_url:
        if not (settings.windlass_home / SQLITE_NAME).is_file():
            _refuse_absent(settings.windlass_home)
        return settings
    try:
        settings.windlass_home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Refusal(f"the home directory {settings.windlass_home} cannot be made: {error.strerror}") from error
    return settings


def open_home(home: Path | None) -> conf.Settings:
    """For commands that act on the records of a server that has run: load Django once its database answers.

    Makes no home: a token made in an empty one would be known to no server. Raises BadSetting, Refusal.
    """
    settings = use_home(home, make=False)
    set_up_django()
    from windlass.cli.waiting import wait_for_database

    wait_for_database()
    return settings


def _refuse_absent(home: Path) -> None:
    hint = " In a Django project, set DJANGO_SETTINGS_MODULE to its settings." if Path("manage.py").exists() else ""
    raise Refusal(
        f"no server has run with the home directory {home}: there is no database in it. Run this command where the "
        "server was started, or name its home with --home or WINDLASS_HOME. `windlass migrate` makes a new database."
        + hint
    )


def _is_in_project() -> bool:
    return os.environ.get("DJANGO_SETTINGS_MODULE", OWN_SETTINGS) != OWN_SETTINGS


def _load_project() -> None:
    """Another project's Django settings, where they are named, so that its ``WINDLASS`` counts from the start."""
    if _is_in_project():
        from django.conf import settings

        getattr(settings, "WINDLASS", None)  # the first look at any setting loads them all


def set_up_django(process: str | None = None) -> None:
    """Load Django on Windlass's own settings; with a process name, log as that process."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", OWN_SETTINGS)
    if process is not None:
        from windlass.operations import logging

        logging.configure(process)
    import django
    from django.core.exceptions import ImproperlyConfigured

    try:
        django.setup()
    except ImproperlyConfigured as error:
        if "psycopg" not in str(error):
            raise
        raise Refusal(
            "the database is PostgreSQL, and its driver is not installed: pip install 'windlass[postgres]'"
        ) from error
