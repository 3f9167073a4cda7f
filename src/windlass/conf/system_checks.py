"""Django system checks of the settings. ``manage.py check`` and ``windlass check`` run them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.handlers.asgi import ASGIHandler
from django.db import router
from django.db.models import Model
from django.urls import Resolver404, resolve
from django.utils.module_loading import import_string

from windlass import APPS
from windlass.conf.loading import is_standalone, load
from windlass.conf.private_files import open_to_others
from windlass.conf.reader import BadSetting
from windlass.conf.setting_definitions import Settings
from windlass.conf.validators import ANY_ORIGIN, NULL_ORIGIN


def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001 for an invalid setting; otherwise what is unsafe or unlikely to work with the valid ones."""
    try:
        settings = load()
    except BadSetting as error:
        return [Error(str(error), id="windlass.E001")]
    return [
        *_check_modes(settings),
        *_check_home(settings),
        *_check_database(),
        *_check_several_machines(settings),
        *([] if is_standalone() else [*_check_asgi(), *_check_urls(), *_check_static_files()]),
        *_check_runserver(),
    ]


def _check_modes(settings: Settings) -> Iterator[CheckMessage]:
    if not settings.credentials_required and "*" in settings.allowed_hosts:
        yield Warning(
            "AUTH_MODE is open and ALLOWED_HOSTS allows any name: pages of other sites could reach this server.",
            hint="List the hosts, or set AUTH_MODE=required.",
            id="windlass.W001",
        )
    if not settings.credentials_required and {ANY_ORIGIN, NULL_ORIGIN} & set(settings.cors_allowed_origins):
        yield Warning(
            "AUTH_MODE is open and CORS_ALLOWED_ORIGINS allows any origin, or null, which every page can have in a "
            "sandboxed frame: every web page can use this server.",
            hint="List the origins, or set AUTH_MODE=required.",
            id="windlass.W005",
        )
    if settings.credentials_required and django_settings.DEBUG:
        yield Warning(
            "DEBUG is on although credentials are required: error pages show settings and source code.",
            hint="Set DEBUG=false.",
            id="windlass.W002",
        )
    if settings.celery_task_always_eager and not django_settings.DEBUG:
        yield Warning(
            "CELERY_TASK_ALWAYS_EAGER is on: every upload request waits until its file is processed.",
            hint="It is meant for tests.",
            id="windlass.W004",
        )
    if _is_fetched_in_clear(settings.jwt_jwks_url):
        yield Warning(
            "JWT_JWKS_URL is not https: whoever is between this server and the issuer can replace the keys, and sign "
            "in as anybody.",
            hint="Use https.",
            id="windlass.W014",
        )
    if settings.sandbox == "off":
        yield Warning(
            "SANDBOX is off: a file that exploits a parser can access everything that the worker's user can.",
            hint="Leave it at best-effort, or set SANDBOX=require.",
            id="windlass.W006",
        )


def _is_fetched_in_clear(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")


def _check_home(settings: Settings) -> Iterator[CheckMessage]:
    """The server removes others' permissions on its home when it starts, unless the home is another user's."""
    if is_standalone() and open_to_others(settings.windlass_home):
        yield Warning(
            f"Other users of this machine can read the home directory {settings.windlass_home}, or write to it.",
            hint="Make the user that runs Windlass its owner, and run chmod 700 on it.",
            id="windlass.W012",
        )


def _check_database() -> Iterator[CheckMessage]:
    """The router's databases, and the options of another project's SQLite that the standalone server sets itself."""
    written, read = _aliases(router.db_for_write), _aliases(router.db_for_read)
    if len(set(written)) != 1 or read != written:
        aliases = ", ".join(sorted(set(written) | set(read)))
        # Rows of one file are written in one transaction, and read immediately after it.
        yield Error(
            f"DATABASE_ROUTERS puts Windlass's tables, or their reads and writes, into several databases: {aliases}.",
            hint="Let the router return one alias for every model of the apps windlass_events, windlass_accounts, "
            "windlass_files and windlass_jobs, for reads and writes; or None for all of them, which means default.",
            id="windlass.E003",
        )
        return
    database = django_settings.DATABASES.get(written[0], {})
    is_sqlite = database.get("ENGINE") in ("django.db.backends.sqlite3", "windlass.database.sqlite")
    if is_sqlite and database.get("OPTIONS", {}).get("transaction_mode") != "IMMEDIATE":
        yield Warning(
            "The SQLite database does not begin transactions as IMMEDIATE: concurrent writers will get lock errors.",
            hint=f'Set OPTIONS = {{"transaction_mode": "IMMEDIATE", "timeout": 30}} in DATABASES["{written[0]}"].',
            id="windlass.W003",
        )


def _aliases(choose: Callable[[type[Model]], str]) -> list[str]:
    """The database aliases that a method of the router chooses for Windlass's models."""
    ours = [config for config in apps.get_app_configs() if config.name in APPS]
    return [choose(model) for config in ours for model in config.get_models()]


def _check_several_machines(settings: Settings) -> Iterator[CheckMessage]:
    """PostgreSQL suggests several machines, but a home directory belongs to one."""
    if not is_standalone() or not settings.database_url.startswith("postg"):
        return
    if not settings.secret_key:
        yield Warning(
            "SECRET_KEY is not set, and the database is PostgreSQL: each machine generates its own key, and signed "
            "URLs and sessions of one machine are invalid on another.",
            hint="Set the same SECRET_KEY on every machine.",
            id="windlass.W007",
        )
    home = settings.windlass_home.expanduser().absolute()
    if settings.storage_backend == "local" and settings.media_directory.is_relative_to(home):
        yield Warning(
            "MEDIA_ROOT is in the home directory, and the database is PostgreSQL: files that one machine receives are "
            "missing on another.",
            hint="Set MEDIA_ROOT to a directory that all machines share, or store files in a bucket "
            "(STORAGE_BACKEND=s3). On a single machine, set MEDIA_ROOT explicitly.",
            id="windlass.W008",
        )


def _check_asgi() -> Iterator[CheckMessage]:
    problem = _asgi_problem(getattr(django_settings, "ASGI_APPLICATION", None))
    if problem:
        hint = "application = windlass.asgi.wrap(get_asgi_application()) in asgi.py, named by ASGI_APPLICATION."
        yield Warning(problem, hint=hint, id="windlass.W009")


def _asgi_problem(name: str | None) -> str | None:
    if not name:
        return "ASGI_APPLICATION is not set: uploads, downloads and live events need the project's asgi.py."
    try:
        application = import_string(name)
    except Exception as error:  # noqa: BLE001  importing a project's module may fail in any way
        return f"ASGI_APPLICATION is {name!r}, which cannot be imported: {error}"
    if isinstance(application, ASGIHandler):
        return f"{name} is Django's own application: Windlass's uploads and downloads are not served."
    return None


def _check_urls() -> Iterator[CheckMessage]:
    try:
        module = resolve("/files").func.__module__
    except Resolver404:
        module = ""
    if not module.startswith("windlass."):
        yield Warning(
            f"/files is served by {module}, which comes before Windlass's paths."
            if module
            else "Windlass's paths are not at the root of the URLs: file records have no address.",
            hint='Put path("", include("windlass.urls")) into the URLs of the project, before patterns that match '
            "every path.",
            id="windlass.W010",
        )


def _check_static_files() -> Iterator[CheckMessage]:
    """The pages are blank without static files. A proxy may serve them, which cannot be seen from here."""
    serving = ("windlass.web.static_files.StaticFilesMiddleware", "whitenoise.middleware.WhiteNoiseMiddleware")
    collected = Path(django_settings.STATIC_ROOT).is_dir() if django_settings.STATIC_ROOT else False
    if not collected and apps.is_installed("windlass.web") and not set(serving) & set(django_settings.MIDDLEWARE):
        yield Warning(
            "Nothing serves static files under ASGI: Windlass's page, the API page and the admin stay blank.",
            hint=f"Add {serving[0]!r} to MIDDLEWARE, after SecurityMiddleware, or collect the files into STATIC_ROOT "
            "and let the reverse proxy serve them.",
            id="windlass.W011",
        )


def _check_runserver() -> Iterator[CheckMessage]:
    """``runserver`` runs the checks before it serves."""
    if sys.argv[1:2] == ["runserver"] and not any(apps.is_installed(app) for app in ("daphne", "channels")):
        yield Warning(
            "`manage.py runserver` uses WSGI: it serves records and pages, and refuses uploads and downloads.",
            hint="Run `python -m windlass web`, or `uvicorn --reload` with the project's asgi.py.",
            id="windlass.W013",
        )
