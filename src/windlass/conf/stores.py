"""Settings of named stores: a TOML file (WINDLASS_STORES) of stores in addition to the plain store of the settings.

Each table holds storage settings of one store, by their names in lower case; the others are inherited. So a named
store has a complete ``Settings`` object like the plain one, and ``from_settings`` of a back end accepts either.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import Field, fields, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_origin, get_type_hints

from windlass.conf import reader
from windlass.conf.reader import BadSetting
from windlass.conf.setting_definitions import Settings
from windlass.kernel import object_keys

#: Prefixes of the settings that belong to a store.
_STORE_SETTINGS = (
    "storage_backend",
    "media_root",
    "aws_",
    "django_storage",
    "encryption_",
    "sendfile_root",
    "downloads",
    "breaker_storage_",
)
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
#: Names of the plain stores, one per back end: they are configured by the settings themselves.
PLAIN_STORES = get_args(get_type_hints(Settings)["storage_backend"])

_FIELDS: Mapping[str, Field[Any]] = {
    field.name: field for field in fields(Settings) if field.name.startswith(_STORE_SETTINGS)
}
_HINTS = get_type_hints(Settings)


def default_store(settings: Settings) -> str:
    """The name of the store for new files whose profile names none."""
    return settings.default_store or settings.storage_backend


def store_settings(settings: Settings, name: str) -> Settings | None:
    if name in PLAIN_STORES:
        return _plain(settings, name)
    return named_stores(settings).get(name)


def known_stores(settings: Settings) -> tuple[str, ...]:
    """The names of all stores: the default one, the other configured plain ones, and those of WINDLASS_STORES."""
    plain = [name for name in PLAIN_STORES if _plain(settings, name) is not None]
    return tuple(dict.fromkeys([default_store(settings), *plain, *named_stores(settings)]))


@lru_cache(maxsize=4)
def named_stores(settings: Settings) -> Mapping[str, Settings]:
    """The stores of WINDLASS_STORES and their complete settings. Raises BadSetting."""
    path = settings.windlass_stores
    stores = {name: _store(name, table, settings, path) for name, table in _tables(path).items()} if path else {}
    _require_separate(settings, stores)
    return MappingProxyType(stores)


def breaker_thresholds(settings: Settings, name: str) -> tuple[int, int, float]:
    """Failure threshold, success threshold and recovery seconds of a circuit breaker.

    ``storage`` is the default store's, ``storage.NAME`` that of another store, which may have thresholds of its own, as
    may ``service.NAME``, a service that steps name.
    """
    kind, _, of = name.partition(".")
    of_store = store_settings(settings, of or default_store(settings)) if kind == "storage" else None
    thresholds = (of_store or settings).breaker(kind)
    return _of_service(settings.breaker_services, of, thresholds) if kind == "service" else thresholds


@lru_cache(maxsize=64)
def _of_service(text: str, service: str, general: tuple[int, int, float]) -> tuple[int, int, float]:
    """The thresholds of one service in BREAKER_SERVICES, which was checked; else those of all."""
    own = json.loads(text or "{}").get(service, {})
    failures, successes, seconds = general
    return (
        own.get("failure_threshold", failures),
        own.get("success_threshold", successes),
        own.get("recovery_seconds", seconds),
    )


def check_stores(settings: Settings) -> None:
    """Raises BadSetting for an invalid WINDLASS_STORES file and for an unknown DEFAULT_STORE."""
    named_stores(settings)
    default = settings.default_store
    if default and store_settings(settings, default) is None:
        known = ", ".join(name for name in known_stores(settings) if name != default)
        raise BadSetting(f"DEFAULT_STORE is {default!r}, and there is no such store. Stores here: {known}")


def _plain(settings: Settings, name: str) -> Settings | None:
    """A plain store; also one that is not STORAGE_BACKEND's, if it is configured, because rows may name it."""
    if settings.storage_backend == name:
        return settings
    return _other_plain(settings, name)


@lru_cache(maxsize=8)
def _other_plain(settings: Settings, name: str) -> Settings | None:
    try:
        return replace(settings, **{"storage_backend": name})  # type: ignore[arg-type]  # one of PLAIN_STORES
    except BadSetting:
        return None


def _tables(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadSetting(f"WINDLASS_STORES {path}: {error}") from error


def _store(name: str, table: Any, settings: Settings, path: Path) -> Settings:
    if not isinstance(table, dict):
        raise BadSetting(f"WINDLASS_STORES {path}: {name} is not a table such as [{name}]")
    if name in PLAIN_STORES:
        raise BadSetting(
            f"Store {name!r}: this name is reserved for the store that the settings configure; use another name"
        )
    if not _NAME.fullmatch(name):
        raise BadSetting(f"Store {name!r}: a name is a lower-case letter, then at most 31 of a-z, 0-9, _ and -")
    try:
        given = {key.removesuffix("_file"): _value(key, value, path.parent) for key, value in table.items()}
        # The proxy's location (SENDFILE_ROOT) belongs to the plain store's directory, so it is not inherited.
        return replace(settings, **{"sendfile_root": "", **given})
    except BadSetting as error:
        raise BadSetting(f"Store {name!r}: {error}") from error


def _value(key: str, given: Any, base: Path) -> Any:
    """The value of a table's key; a relative path is relative to ``base``, the directory of the file."""
    name = key if key in _FIELDS else key.removesuffix("_file")
    if name not in _FIELDS:
        near = difflib.get_close_matches(key, _FIELDS, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(_FIELDS)}."
        raise BadSetting(f"{key} is not a setting of a store. {hint}")
    if isinstance(given, list) and get_origin(_HINTS[name]) is tuple:
        given = ",".join(map(str, given))
    if not isinstance(given, str | bool | int | float):
        raise BadSetting(f"{key} is {given!r}: it must be a text, a number, true or false")
    if name != key:
        text = reader.read_value(key, base / str(given))
    else:
        text = str(given).lower() if isinstance(given, bool) else str(given)
    value = reader.checked(_FIELDS[name], key, reader.convert(key, text, _HINTS[name]))
    return base.absolute() / value.expanduser() if isinstance(value, Path) else value


def _require_separate(settings: Settings, named: Mapping[str, Settings]) -> None:
    """Two stores in one location would delete each other's objects in the sweep. Raises BadSetting."""
    plain = {name: store for name in PLAIN_STORES if (store := _plain(settings, name)) is not None}
    for (first_name, first), (second_name, second) in combinations({**plain, **named}.items(), 2):
        problem = _shared_location(first, second)
        if problem:
            raise BadSetting(f"The stores {first_name!r} and {second_name!r} {problem}")


def _shared_location(first: Settings, second: Settings) -> str:
    """What two stores share although they must not; empty where they are separate."""
    if first.storage_backend != second.storage_backend:
        return ""
    if first.storage_backend == "local":
        one, other = first.media_directory.resolve(), second.media_directory.resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            return f"both keep files in {other}: give each its own media_root, neither inside the other"
    if first.storage_backend == "django":
        return _shared_django_storage(first, second)
    if first.storage_backend == "s3" and _bucket(first) == _bucket(second) and _keys_overlap(first, second):
        return "both keep files under one prefix of one bucket: give each its own bucket or aws_location"
    return ""


def _shared_django_storage(first: Settings, second: Settings) -> str:
    if (first.django_storage, first.django_storage_options) == (second.django_storage, second.django_storage_options):
        return "both keep files in one storage: give each its own django_storage or django_storage_options"
    if first.staging_directory.resolve() == second.staging_directory.resolve():
        return "both stage uploads in one directory: give each its own django_storage_staging"
    return ""


def _bucket(settings: Settings) -> tuple[str, str]:
    return settings.aws_s3_endpoint_url.rstrip("/"), settings.aws_storage_bucket_name


def _keys_overlap(first: Settings, second: Settings) -> bool:
    return any(a.startswith(b) or b.startswith(a) for a in _key_prefixes(first) for b in _key_prefixes(second))


def _key_prefixes(settings: Settings) -> list[str]:
    location = settings.aws_location.strip("/")
    return [f"{location}/{prefix}" if location else prefix for prefix in object_keys.PREFIXES]
