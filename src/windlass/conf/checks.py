"""Django system checks of the settings. ``manage.py check`` and ``windlass check`` run them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from windlass.conf.access import load, stands_alone
from windlass.conf.private_files import open_to_others
from windlass.conf.reader import BadSetting
from windlass.conf.settings import Settings


def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001 for a bad setting, and what the good ones imply."""
    try:
        found = load()
    except BadSetting as error:
        return [Error(str(error), id="windlass.E001")]
    return [*_doors(found), *_home(found), *_databases(), *_jobs(found), *_sandbox(found)]


def _doors(found: Settings) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    if not found.credentials_required and "*" in found.allowed_hosts:
        problems.append(
            Warning(
                "AUTH_MODE is open and ALLOWED_HOSTS admits any name: a web page elsewhere could reach this server.",
                hint="Name the hosts, or set AUTH_MODE=required.",
                id="windlass.W001",
            )
        )
    if not found.credentials_required and "*" in found.cors_allowed_origins:
        problems.append(
            Warning(
                "AUTH_MODE is open and CORS_ALLOWED_ORIGINS admits any origin: every web page may act here.",
                hint="Name the origins, or set AUTH_MODE=required.",
                id="windlass.W005",
            )
        )
    if found.credentials_required and settings.DEBUG:
        problems.append(
            Warning(
                "DEBUG is on where credentials are required: error pages show settings and source.",
                hint="Set DEBUG=false.",
                id="windlass.W002",
            )
        )
    return problems


def _home(found: Settings) -> list[CheckMessage]:
    """The server closes its home when it starts, unless it is another user's."""
    if not stands_alone() or not open_to_others(found.windlass_home):
        return []
    return [
        Warning(
            f"Other users of this machine can read the home directory {found.windlass_home}, or write to it.",
            hint="Give it to the user that runs Windlass, and run: chmod 700 on it.",
            id="windlass.W012",
        )
    ]


def _databases() -> list[CheckMessage]:
    """Another project's SQLite needs what the standalone server sets: else two writers meet as a lock error."""
    database = settings.DATABASES.get("default", {})
    if database.get("ENGINE") not in ("django.db.backends.sqlite3", "windlass.database.sqlite"):
        return []
    if database.get("OPTIONS", {}).get("transaction_mode") == "IMMEDIATE":
        return []
    return [
        Warning(
            "The SQLite database does not begin its transactions as IMMEDIATE: two writers will get lock errors.",
            hint='Set OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 30} in DATABASES["default"].',
            id="windlass.W003",
        )
    ]


def _jobs(found: Settings) -> list[CheckMessage]:
    if not found.celery_task_always_eager or settings.DEBUG:
        return []
    return [
        Warning(
            "CELERY_TASK_ALWAYS_EAGER is on: whoever uploads waits for the processing of the file.",
            hint="It is meant for tests.",
            id="windlass.W004",
        )
    ]


def _sandbox(found: Settings) -> list[CheckMessage]:
    if found.sandbox != "off":
        return []
    return [
        Warning(
            "SANDBOX is off: a file that takes a step over may open and reach whatever the worker's user can.",
            hint="Leave it at best-effort, or set SANDBOX=require.",
            id="windlass.W006",
        )
    ]


def register_checks() -> None:
    register(check_settings, Tags.compatibility)
