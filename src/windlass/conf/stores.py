"""Several stores of file bytes: a TOML file of named ones (WINDLASS_STORES) beside the one that the settings describe.

Each table is a store's own storage settings, by their names in lower case; what it leaves out is as the settings say.
``from_settings`` of a back end thus takes the settings of a named store as it takes those of the plain one.
"""

from __future__ import annotations

import difflib
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
from windlass.conf.settings import Settings

#: What the names of the settings begin with that belong to a store, and not to the whole server.
_BEGINNINGS = ("storage_backend", "media_root", "aws_", "django_storage", "encryption_", "sendfile_root", "downloads")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
#: The names of the plain back ends' stores, which the settings describe and rows have always kept.
PLAIN = get_args(get_type_hints(Settings)["storage_backend"])
#: Where an S3 store keeps its objects below its prefix.
_IN_BUCKET = ("objects/", "renditions/", ".check-")

_FIELDS: Mapping[str, Field[Any]] = {
    field.name: field for field in fields(Settings) if field.name.startswith(_BEGINNINGS)
}
_HINTS = get_type_hints(Settings)


def default_store(settings: Settings) -> str:
    """The name of the store that new files go to, unless their profile names another."""
    return settings.default_store or settings.storage_backend


def store_settings(settings: Settings, name: str) -> Settings | None:
    """What the back end of this store is made with; None where no store has this name."""
    if name in PLAIN:
        return _plain(settings, name)
    return named_stores(settings).get(name)


def known_stores(settings: Settings) -> tuple[str, ...]:
    """The names of all stores that a profile may name: the default one, the other plain ones that the settings
    describe, those of WINDLASS_STORES."""
    plain = [name for name in PLAIN if _plain(settings, name) is not None]
    return tuple(dict.fromkeys([default_store(settings), *plain, *named_stores(settings)]))


@lru_cache(maxsize=4)
def named_stores(settings: Settings) -> Mapping[str, Settings]:
    """The stores of WINDLASS_STORES, each with its settings, complete. Raises BadSetting."""
    path = settings.windlass_stores
    found = {name: _store(name, table, settings, path) for name, table in _tables(path).items()} if path else {}
    _check_places(settings, found)
    return MappingProxyType(found)


def check_stores(settings: Settings) -> None:
    """Raises BadSetting for a file of stores that cannot be, and for a default store that is none."""
    named_stores(settings)
    default = settings.default_store
    if default and store_settings(settings, default) is None:
        known = ", ".join(name for name in known_stores(settings) if name != default)
        raise BadSetting(f"DEFAULT_STORE is {default!r}, and there is no such store. Stores here: {known}")


def _plain(settings: Settings, name: str) -> Settings | None:
    """A plain back end's store, also another one than STORAGE_BACKEND's where it is described: rows may name it."""
    if settings.storage_backend == name:
        return settings
    return _other_plain(settings, name)


@lru_cache(maxsize=8)
def _other_plain(settings: Settings, name: str) -> Settings | None:
    try:
        return replace(settings, **{"storage_backend": name})  # type: ignore[arg-type]  # one of PLAIN
    except BadSetting:
        return None


def _tables(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadSetting(f"WINDLASS_STORES {path}: {error}") from error


def _store(name: str, table: Any, settings: Settings, path: Path) -> Settings:
    if not isinstance(table, dict):
        raise BadSetting(f"WINDLASS_STORES {path}: {name} is no table such as [{name}]")
    if name in PLAIN:
        raise BadSetting(
            f"Store {name!r}: this name is that of the store which the settings themselves describe; take another"
        )
    if not _NAME.fullmatch(name):
        raise BadSetting(f"Store {name!r}: a name is a small letter, then at most 31 of a-z, 0-9, _ and -")
    try:
        given = {key.removesuffix("_file"): _value(key, value, path.parent) for key, value in table.items()}
        # The proxy's location stands for one directory, which is not this store's unless it says so.
        return replace(settings, **{"sendfile_root": "", **given})
    except BadSetting as error:
        raise BadSetting(f"Store {name!r}: {error}") from error


def _value(key: str, given: Any, base: Path) -> Any:
    """The value of a table's key; a relative path begins at ``base``, the directory of the file of stores."""
    name = key if key in _FIELDS else key.removesuffix("_file")
    if name not in _FIELDS:
        near = difflib.get_close_matches(key, _FIELDS, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(_FIELDS)}."
        raise BadSetting(f"{key} is no setting of a store. {hint}")
    if isinstance(given, list) and get_origin(_HINTS[name]) is tuple:
        given = ",".join(map(str, given))
    if not isinstance(given, str | bool | int | float):
        raise BadSetting(f"{key} is {given!r}: it must be a text, a number, true or false")
    text = (
        _content(key, base / str(given))
        if name != key
        else str(given).lower()
        if isinstance(given, bool)
        else str(given)
    )
    value = reader.checked(_FIELDS[name], key, reader.convert(key, text, _HINTS[name]))
    return base.absolute() / value.expanduser() if isinstance(value, Path) else value


def _content(key: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise BadSetting(f"{key} names {path}, which cannot be read: {error.strerror}") from error


def _check_places(settings: Settings, named: Mapping[str, Settings]) -> None:
    """Two stores in one place would sweep away each other's objects. Raises BadSetting."""
    plain = {name: found for name in PLAIN if (found := _plain(settings, name)) is not None}
    for (name, one), (other, its) in combinations({**plain, **named}.items(), 2):
        shared = _shared(one, its)
        if shared:
            raise BadSetting(f"The stores {name!r} and {other!r} {shared}")


def _shared(one: Settings, other: Settings) -> str:
    """What the two have in common and may not; empty where they stay apart."""
    if one.storage_backend != other.storage_backend:
        return ""
    if one.storage_backend == "local":
        first, second = one.media_directory.resolve(), other.media_directory.resolve()
        if first.is_relative_to(second) or second.is_relative_to(first):
            return f"both keep files in {second}: give each a media_root of its own, neither inside the other"
    if one.storage_backend == "django":
        return _shared_by_django(one, other)
    if one.storage_backend == "s3" and _bucket(one) == _bucket(other) and _meet(_keys(one), _keys(other)):
        return "both keep files under one prefix of one bucket: give each a bucket or an aws_location of its own"
    return ""


def _shared_by_django(one: Settings, other: Settings) -> str:
    if (one.django_storage, one.django_storage_options) == (other.django_storage, other.django_storage_options):
        return "both keep files in one storage: give each a django_storage or django_storage_options of its own"
    if one.staging_directory.resolve() == other.staging_directory.resolve():
        return "both stage uploads in one directory: give each a django_storage_staging of its own"
    return ""


def _meet(some: list[str], others: list[str]) -> bool:
    return any(a.startswith(b) or b.startswith(a) for a in some for b in others)


def _bucket(settings: Settings) -> tuple[str, str]:
    return settings.aws_s3_endpoint_url.rstrip("/"), settings.aws_storage_bucket_name


def _keys(settings: Settings) -> list[str]:
    """What the keys of all of its objects begin with."""
    prefix = settings.aws_location.strip("/")
    return [f"{prefix}/{each}" if prefix else each for each in _IN_BUCKET]
