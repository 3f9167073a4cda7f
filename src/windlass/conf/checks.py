"""Django system checks of the settings. ``manage.py check`` and ``windlass check`` run them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.handlers.asgi import ASGIHandler
from django.db import router
from django.db.models import Model
from django.urls import Resolver404, resolve
from django.utils.module_loading import import_string

from windlass import APPS
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
    return [
        *_doors(found),
        *_home(found),
        *_databases(),
        *_several_machines(found),
        *_jobs(found),
        *_sandbox(found),
        *([] if stands_alone() else _project()),
        *_runserver(),
    ]


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
    problems = _router()
    alias = _aliases(router.db_for_write)[0]
    database = settings.DATABASES.get(alias, {})
    if problems or database.get("ENGINE") not in ("django.db.backends.sqlite3", "windlass.database.sqlite"):
        return problems
    if database.get("OPTIONS", {}).get("transaction_mode") == "IMMEDIATE":
        return []
    return [
        Warning(
            "The SQLite database does not begin its transactions as IMMEDIATE: two writers will get lock errors.",
            hint=f'Set OPTIONS = {{"transaction_mode": "IMMEDIATE", "timeout": 30}} in DATABASES["{alias}"].',
            id="windlass.W003",
        )
    ]


def _router() -> list[CheckMessage]:
    """What belongs to one file is written in one transaction, and read at once after it."""
    written, read = _aliases(router.db_for_write), _aliases(router.db_for_read)
    if len(set(written)) == 1 and read == written:
        return []
    found = ", ".join(sorted(set(written) | set(read)))
    return [
        Error(
            f"DATABASE_ROUTERS spreads Windlass's tables, or their reads and writes, over several databases: {found}.",
            hint="Let the router name one alias for every model of the apps windlass_events, windlass_accounts, "
            "windlass_files and windlass_jobs, for reads as for writes; or none of them, which is default.",
            id="windlass.E003",
        )
    ]


def _aliases(choose: Callable[[type[Model]], str]) -> list[str]:
    return [choose(model) for app in APPS if apps.is_installed(app) for model in _models(app)]


def _models(app: str) -> list[type[Model]]:
    return list(next(each for each in apps.get_app_configs() if each.name == app).get_models())


def _several_machines(found: Settings) -> list[CheckMessage]:
    """PostgreSQL is chosen for several machines, and what lies in a home directory is one machine's."""
    if not stands_alone() or not found.database_url.startswith("postg"):
        return []
    problems: list[CheckMessage] = []
    if not found.secret_key:
        problems.append(
            Warning(
                "SECRET_KEY is not set, and the database is PostgreSQL: each machine makes a key of its own, and "
                "signed URLs and sessions of one are worth nothing on another.",
                hint="Set the same SECRET_KEY on every machine.",
                id="windlass.W007",
            )
        )
    if found.storage_backend == "local" and found.media_directory.is_relative_to(_absolute(found.windlass_home)):
        problems.append(
            Warning(
                "MEDIA_ROOT is in the home directory, and the database is PostgreSQL: files that one machine takes in "
                "are not there on another.",
                hint="Set MEDIA_ROOT to a directory that all machines share, or keep files in a bucket "
                "(STORAGE_BACKEND=s3). On a single machine, name the directory too.",
                id="windlass.W008",
            )
        )
    return problems


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _project() -> list[CheckMessage]:
    """Whether the project that Windlass is an app of serves all of it."""
    return [*_asgi(), *_urls(), *_static_files()]


def _asgi() -> list[CheckMessage]:
    how = "application = windlass.asgi.wrap(get_asgi_application()) in asgi.py, named by ASGI_APPLICATION."
    name = getattr(settings, "ASGI_APPLICATION", None)
    if not name:
        wrong = "ASGI_APPLICATION is not set: uploads, downloads and live events need the project's asgi.py."
    else:
        try:
            application = import_string(name)
        except Exception as error:  # noqa: BLE001  importing a project's module may fail in any way
            wrong = f"ASGI_APPLICATION is {name!r}, which cannot be imported: {error}"
        else:
            if not isinstance(application, ASGIHandler):
                return []
            wrong = f"{name} is Django's own application: file bytes would go through Django, which does not take them."
    return [Warning(wrong, hint=how, id="windlass.W009")]


def _urls() -> list[CheckMessage]:
    try:
        module = resolve("/files").func.__module__
    except Resolver404:
        module = ""
    if module.startswith("windlass."):
        return []
    return [
        Warning(
            "Windlass's paths are not at the root of the URLs: file records have no address."
            if not module
            else f"/files is answered by {module}, before Windlass's paths.",
            hint='Put path("", include("windlass.urls")) into the URLs of the project, before what takes every path.',
            id="windlass.W010",
        )
    ]


def _static_files() -> list[CheckMessage]:
    """The page and the API's page are blank without theirs. A proxy may serve them; that cannot be seen from here."""
    serving = ("windlass.web.static_files.StaticFilesMiddleware", "whitenoise.middleware.WhiteNoiseMiddleware")
    collected = Path(settings.STATIC_ROOT).is_dir() if settings.STATIC_ROOT else False
    if collected or not apps.is_installed("windlass.web") or set(serving) & set(settings.MIDDLEWARE):
        return []
    return [
        Warning(
            "Nothing serves static files under ASGI: Windlass's page, the API's page and the admin stay blank.",
            hint=f"Put {serving[0]!r} into MIDDLEWARE, after SecurityMiddleware, or collect the files into "
            "STATIC_ROOT and let the proxy in front serve them.",
            id="windlass.W011",
        )
    ]


def _runserver() -> list[CheckMessage]:
    """``runserver`` runs the checks before it serves."""
    if sys.argv[1:2] != ["runserver"] or any(apps.is_installed(each) for each in ("daphne", "channels")):
        return []
    return [
        Warning(
            "`manage.py runserver` speaks WSGI: it answers records and pages, and refuses uploads and downloads.",
            hint="Run `python -m windlass web`, or `uvicorn --reload` on the project's asgi.py.",
            id="windlass.W013",
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
