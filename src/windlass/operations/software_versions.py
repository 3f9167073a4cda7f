"""The versions of the programs and libraries that this installation runs on."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Callable, Mapping
from importlib import import_module

import django

from windlass import __version__
from windlass.database.connection import connection
from windlass.jobs import api as jobs

#: The first version of SQLite without the race of a checkpoint that restarts the write-ahead log (decision 0006).
SQLITE_WITHOUT_WAL_RACE = (3, 51, 3)


def software_versions() -> Mapping[str, str]:
    """Return the version by name. Of what cannot be loaded or asked, the reason."""
    found: dict[str, Callable[[], str]] = {
        "windlass": lambda: __version__,
        "python": platform.python_version,
        "django": django.get_version,
        "sqlite": lambda: sqlite3.sqlite_version,
        "libmagic": lambda: str(import_module("magic").version()),
        "libvips": _libvips,
        "ffmpeg": lambda: str(import_module("av").ffmpeg_version_info),
        connection().vendor: _database,
        "broker": jobs.broker_version,
    }
    return {name: _ask(function) for name, function in found.items()}


def _ask(function: Callable[[], str]) -> str:
    try:
        return function()
    except Exception as error:  # noqa: BLE001  each library and service has errors of its own; the version is unknown
        return f"unknown: {' '.join(str(error).split()) or type(error).__name__}"


def _libvips() -> str:
    version = import_module("pyvips").version
    return ".".join(str(version(part)) for part in range(3))


def _database() -> str:
    if connection().vendor == "sqlite":
        return sqlite3.sqlite_version
    with connection().cursor() as cursor:
        cursor.execute("SHOW server_version")
        return str(cursor.fetchone()[0])
