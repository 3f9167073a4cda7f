"""The checks of ``windlass check``: each part that the settings name."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from django.core import checks
from django.db import DatabaseError

from windlass import conf
from windlass.accounts import api as accounts
from windlass.database.connection import connection
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.operations import tracing
from windlass.operations.checks.database import count_missing_migrations
from windlass.operations.logging import without_secrets
from windlass.processing import api as processing
from windlass.processing.registry import installed, missing
from windlass.resilience.rate_limits import configured as rate_limits
from windlass.storage.contract import direct_store
from windlass.storage.registry import default_name, store


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    ok: bool
    detail: str


def run_all_checks() -> Iterator[Result]:
    """Run each check, whatever the results of the others."""
    functions: dict[str, Callable[[], str]] = {
        "settings": _settings,
        "profiles": lambda: ", ".join(sorted(files.profiles())),
        "home": _home,
        "database": _database,
        "storage": lambda: _check_store(default_name()),
        "broker": jobs.check_broker,
        "sandbox": _sandbox,
        "steps": _steps,
        "scanner": _scanner,
    }
    if conf.get().jwt_jwks_url:
        functions["jwks"] = accounts.check_jwks
    if conf.get().rate_limit_storage_url:  # a broker has a check of its own
        functions["rate-limits"] = rate_limits.check_redis
    if tracing.is_configured(conf.get()):
        functions["traces"] = tracing.check
    for name, function in functions.items():
        yield _run_check(name, function)
        if name == "storage":
            yield from _other_stores()


def _run_check(name: str, function: Callable[[], str]) -> Result:
    try:
        return Result(name, True, function())
    except Exception as error:  # noqa: BLE001  a check reports every error
        text = " ".join(str(error).split())
        return Result(name, False, without_secrets(text or type(error).__name__))


class _CheckFailed(Exception):
    """A part answers, but not as it should."""


def _settings() -> str:
    messages = checks.run_checks()
    # Errors of profiles are shown by the check "profiles".
    errors = [message for message in messages if message.level >= checks.ERROR and message.id != "windlass.E002"]
    if errors:
        raise _CheckFailed("; ".join(str(message) for message in errors))
    warnings = [message for message in messages if message.level >= checks.WARNING]
    return "; ".join(["valid", *(" ".join(filter(None, [each.msg, each.hint])) for each in warnings)])


def _home() -> str:
    home = conf.get().windlass_home
    with tempfile.TemporaryFile(dir=home) as proof:
        proof.write(b"windlass")
        proof.flush()
        os.fsync(proof.fileno())
    return f"{home}, {shutil.disk_usage(home).free // conf.MB} MB free"


def _database() -> str:
    unapplied = count_missing_migrations()
    if unapplied:
        raise _CheckFailed(f"{unapplied} migrations are not applied: run `windlass migrate`")
    return f"{connection().vendor}, up to date"


def _check_store(name: str) -> str:
    checked = store(name)
    checked.check(thorough=True)
    # Pages that cannot upload directly to the store are not an error: they may not intend to.
    origins, direct = conf.get().cors_allowed_origins, direct_store(checked)
    hint = direct.cors_problems(origins) if direct is not None and origins else ""
    return f"{name}; {hint}" if hint else name


def _other_stores() -> Iterator[Result]:
    """Check the other configured stores, and every store that holds files according to the records."""
    for name in _store_names():
        if name != default_name():
            yield _run_check("store", partial(_check_store, name))


def _store_names() -> tuple[str, ...]:
    """Return the names that can be read. Errors of settings, profiles and database are reported by their own checks."""
    with suppress(conf.BadSetting):
        try:
            return files.stores_in_use()
        except DatabaseError:
            return files.stores_in_service()
    return ()


def _sandbox() -> str:
    level = processing.sandbox_level()
    detail = f"{level}. {level.gaps}" if level.gaps else str(level)
    if level.name == "none" or (level.gaps and conf.get().sandbox == "require"):
        raise _CheckFailed(detail)
    return detail


def _steps() -> str:
    """A step whose extra is not installed is not an error: files are processed without it, and their records say so."""
    abouts = [step.about for step in installed().values()]
    owed = [f"{about.name} is owed: needs windlass[{about.extra}]" for about in abouts if missing(about)]
    return "; ".join([f"{len(abouts)} installed", *owed])


def _scanner() -> str:
    version = processing.scanner_version()
    if version is None:
        return "none is set: files are not scanned for malware"
    return "; ".join(filter(None, (version, processing.try_scanner_limits())))
