"""Read typed fields of a JSON body. A field that is missing or has the wrong type is InvalidField (422)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from windlass.kernel import json_text
from windlass.kernel.ids import parse_id
from windlass.kernel.problem_types import BadRequest, InvalidField, NotFound
from windlass.kernel.stored_text import is_storable
from windlass.protocols import description_fields

#: Characters. Longer names and types are refused; shorter ones may still be cut for the record.
MAX_TEXT = 4096
#: The largest integer that every supported database stores.
LARGEST = 2**63 - 1


def read(body: bytes) -> dict[str, Any]:
    """Parse a JSON object. Raises BadRequest for invalid or too deeply nested JSON, InvalidField for another value than
    an object or for a text that a database cannot store."""
    document = json_text.parse(body)
    if not isinstance(document, dict):
        raise InvalidField(f"The body must be a JSON object, not {_kind_of(document)}.")
    # Such a text needs an escape in JSON, so a large body without a backslash is not searched.
    if b"\\" in body and not is_storable(document):
        raise InvalidField(
            "A text in the JSON has a NUL character or half of a surrogate pair, which cannot be stored."
        )
    return document


def text(fields: Mapping[str, Any], name: str) -> str:
    return _text(name, _required(fields, name))


def optional_text(fields: Mapping[str, Any], name: str) -> str | None:
    """Return None if the field is missing, null or empty."""
    value = fields.get(name)
    return None if value is None else _text(name, value) or None


def number(fields: Mapping[str, Any], name: str) -> int:
    """Return an integer, which may be negative. ``true`` and ``1.0`` are not integers."""
    return _number(name, _required(fields, name))


def optional_number(fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    return None if value is None else _number(name, value)


def size(fields: Mapping[str, Any], name: str) -> int:
    """Return a number of bytes, of any size: the limits refuse what is too large."""
    number = _integer(name, _required(fields, name))
    if number < 0:
        raise InvalidField(f"{name} must not be negative; it is {number}.", field=name)
    return number


def sha256(fields: Mapping[str, Any], name: str) -> str | None:
    try:
        return description_fields.sha256(optional_text(fields, name))
    except BadRequest as error:
        raise InvalidField(f"{name} must be the SHA-256 as 64 hexadecimal digits.", field=name) from error


def reference(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these fields that is not empty. A number is converted to text: post ids often are numbers."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(_number(name, value))
        try:
            reference = description_fields.reference(optional_text({name: value}, name))
        except BadRequest as error:
            raise InvalidField(error.detail, field=name) from error
        if reference:
            return reference
    return None


def upload_id(fields: Mapping[str, Any]) -> uuid.UUID:
    """Raises NotFound for a text that is not an upload id."""
    return parse_upload_id(text(fields, "upload_id"))


def parse_upload_id(text: str) -> uuid.UUID:
    upload_id = parse_id(text)
    if upload_id is None:
        raise NotFound(f"There is no upload {text[:60]!r}.")
    return upload_id


def _required(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise InvalidField(f"The field {name} is missing.", field=name)
    return fields[name]


def _integer(name: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise InvalidField(f"{name} must be an integer, not {_kind_of(value)}.", field=name)


def _number(name: str, value: Any) -> int:
    number = _integer(name, value)
    if abs(number) > LARGEST:
        raise InvalidField(f"{name} must not be larger than {LARGEST}.", field=name, limit=LARGEST)
    return number


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidField(f"{name} must be text, not {_kind_of(value)}.", field=name)
    if len(value) > MAX_TEXT or not is_storable(value):
        raise InvalidField(f"{name} must be text of at most {MAX_TEXT} characters, without NUL.", field=name)
    return value


def _kind_of(value: Any) -> str:
    return _KINDS.get(type(value), "something else")


_KINDS = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number with a fraction",
    str: "text",
    list: "a list",
    dict: "an object",
}
