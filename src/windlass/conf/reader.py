"""Read typed settings from the environment, from files that it names, or from another project's dictionary.

The only module that reads ``os.environ``.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

PREFIX = "WINDLASS_"
#: Environment variables of the client commands: not settings of the server, but not unknown names either.
CLIENT_NAMES = frozenset({"WINDLASS_SERVER", "WINDLASS_TOKEN"})
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


class BadSetting(ValueError):
    """A setting has an invalid value, or its name does not exist. The message says which and why."""


def setting(default: Any, doc: str, *, check: Callable[[Any], str | None] | None = None, secret: bool = False) -> Any:
    """A field of a settings class. ``check`` returns what is wrong with a value, or None.

    Errors do not repeat the value of a ``secret`` setting, which may contain a password.
    """
    return dataclasses.field(
        default_factory=default if callable(default) else lambda: default,
        metadata={"doc": doc, "check": check, "default": default, "secret": secret},
    )


def environment() -> Mapping[str, str]:
    return os.environ


def read(kind: type[T], given: Mapping[str, Any], text: Mapping[str, str]) -> T:
    """Build ``kind`` from ``given`` (values of another project's settings), then from ``text`` (an environment).

    Each field ``NAME`` is looked up as ``WINDLASS_NAME``, ``NAME``, and ``NAME_FILE``, a file holding the value.
    Raises BadSetting.
    """
    known = {field.name.upper(): field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    _refuse_unknown(known, given, text)
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, field in known.items():
        value = given[name] if name in given else lookup(name, text)
        if value is None and name not in given:
            continue
        value = convert(name, value, hints[field.name]) if isinstance(value, str) else value
        values[field.name] = checked(field, name, value)
    return kind(**values)


def checked(field: dataclasses.Field[Any], name: str, value: Any) -> Any:
    """The value, if it passes the field's check. Raises BadSetting, which calls the setting ``name``."""
    check = field.metadata.get("check")
    wrong = check(value) if check else None
    if wrong:
        raise BadSetting(f"{name} {wrong}" if field.metadata["secret"] else f"{name} is {value!r}: {wrong}")
    return value


def lookup(name: str, text: Mapping[str, str]) -> str | None:
    """The text of one setting, or None where it is not set. An empty value counts as not set."""
    bare = name.removeprefix(PREFIX)
    for candidate in (PREFIX + bare, bare) if bare == name else (name,):
        if text.get(candidate):
            return text[candidate]
        path = text.get(f"{candidate}_FILE")
        if path:
            return read_value(f"{candidate}_FILE", path)
    return None


def read_value(name: str, path: str | Path) -> str:
    """The value of a setting in the file that ``name`` names. Raises BadSetting."""
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise BadSetting(f"{name} names {path}, which cannot be read: {error.strerror}") from error


def convert(name: str, raw: str, kind: Any) -> Any:
    """``raw`` as a value of the annotated type. Lists are separated by commas."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return convert(name, raw, next(a for a in arguments if a is not type(None)))
    if origin is tuple:
        return tuple(convert(name, part.strip(), arguments[0]) for part in raw.split(",") if part.strip())
    if origin is typing.Literal:
        if raw.lower() not in arguments:
            raise BadSetting(f"{name} is {raw!r}: it must be one of {', '.join(arguments)}")
        return raw.lower()
    if kind is bool:
        if raw.lower() not in _TRUE | _FALSE:
            raise BadSetting(f"{name} is {raw!r}: it must be true or false")
        return raw.lower() in _TRUE
    try:
        return kind(raw)
    except ValueError as error:
        raise BadSetting(f"{name} is {raw!r}: it must be a {kind.__name__}") from error


def _refuse_unknown(known: Mapping[str, Any], given: Mapping[str, Any], text: Mapping[str, str]) -> None:
    allowed = set(known) | {PREFIX + name.removeprefix(PREFIX) for name in known} | CLIENT_NAMES
    allowed |= {f"{name}_FILE" for name in allowed}
    unknown = [name for name in given if name not in known]
    unknown += [name for name in text if name.startswith(PREFIX) and name not in allowed]
    for name in unknown:
        near = difflib.get_close_matches(name, sorted(allowed), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise BadSetting(f"{name} is not a setting of Windlass.{hint}")
