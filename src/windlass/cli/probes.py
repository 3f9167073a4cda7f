"""What ``windlass check`` tries: each part that the settings name."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import cast

from django.core import checks
from django.db import DatabaseError
from django.db.migrations.executor import MigrationExecutor

from windlass import conf
from windlass.database.connection import connection
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.operations.logging import without_secrets
from windlass.processing import api as processing
from windlass.processing.registry import installed, missing
from windlass.storage.contract import DirectStore, Store
from windlass.storage.registry import default_name, store


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    ok: bool
    detail: str


def probe_all() -> Iterator[Result]:
    """Try each part, whatever became of the others."""
    probes: dict[str, Callable[[], str]] = {
        "settings": _settings,
        "profiles": _profiles,
        "home": _home,
        "database": _database,
        "storage": _storage,
        "broker": _broker,
        "sandbox": _sandbox,
        "steps": _steps,
        "scanner": _scanner,
    }
    for name, probe in probes.items():
        yield _try(name, probe)
        if name == "storage":
            yield from _other_stores()


def _try(name: str, probe: Callable[[], str]) -> Result:
    try:
        return Result(name, True, probe())
    except Exception as error:  # noqa: BLE001  a probe's purpose is to show whatever goes wrong
        text = " ".join(str(error).split())
        return Result(name, False, without_secrets(text or type(error).__name__))


class _Wrong(Exception):
    """A part answers, but not as it should."""


def _settings() -> str:
    found = checks.run_checks()
    # What is wrong with profiles has a line of its own.
    errors = [message for message in found if message.level >= checks.ERROR and message.id != "windlass.E002"]
    if errors:
        raise _Wrong("; ".join(str(message) for message in errors))
    warnings = [message for message in found if message.level >= checks.WARNING]
    return "; ".join(["valid", *(" ".join(filter(None, [each.msg, each.hint])) for each in warnings)])


def _profiles() -> str:
    return ", ".join(sorted(files.profiles()))


def _home() -> str:
    home = conf.get().windlass_home
    with tempfile.TemporaryFile(dir=home) as proof:
        proof.write(b"windlass")
        proof.flush()
        os.fsync(proof.fileno())
    return f"{home}, {shutil.disk_usage(home).free // conf.MB} MB free"


def _database() -> str:
    executor = MigrationExecutor(connection())
    waiting = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if waiting:
        raise _Wrong(f"{waiting} migrations are not applied: run `windlass migrate`")
    return f"{connection().vendor}, up to date"


def _storage() -> str:
    return _check_store(default_name())


def _check_store(name: str) -> str:
    found = store(name)
    found.check(thorough=True)
    hint = _kept_out(found)
    return f"{name}; {hint}" if hint else name


def _kept_out(target: Store) -> str:
    """Which pages cannot send straight to the store. No fault: they may not mean to."""
    origins = conf.get().cors_allowed_origins
    return cast(DirectStore, target).keeps_out(origins) if target.capabilities.direct and origins else ""


def _other_stores() -> Iterator[Result]:
    """Those that are set up beside the default one, and any where files lie by their records."""
    for name in _store_names():
        if name != default_name():
            yield _try("store", partial(_check_store, name))


def _store_names() -> tuple[str, ...]:
    """As far as they can be told: settings, profiles and database that are wrong have said so in lines of their own."""
    with suppress(conf.BadSetting):
        try:
            return files.places.in_use()
        except DatabaseError:
            return files.places.in_service()
    return ()


def _broker() -> str:
    return jobs.check_broker()


def _sandbox() -> str:
    level = processing.sandbox_level()
    said = f"{level}. {level.gaps}" if level.gaps else str(level)
    if level.name == "none" or (level.gaps and conf.get().sandbox == "require"):
        raise _Wrong(said)
    return said


def _steps() -> str:
    """A step that is owed is no fault: files are processed without it, and say so."""
    abouts = [step.about for step in installed().values()]
    owed = [f"{about.name} is owed: needs windlass[{about.extra}]" for about in abouts if missing(about)]
    return "; ".join([f"{len(abouts)} installed", *owed])


def _scanner() -> str:
    version = processing.scanner_version()
    if version is None:
        return "none is set: files are not scanned for malware"
    return "; ".join(said for said in (version, processing.try_scanner_limits()) if said)
