"""Read typed fields of a JSON body. A field that is missing or has the wrong type is InvalidField (422)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from windlass.kernel import json_text
from windlass.kernel.errors import BadRequest, InvalidField, NotFound
from windlass.kernel.ids import parse_id
from windlass.kernel.stored_text import is_storable
from windlass.protocols import description_fields

#: Characters. Longer names and types are refused; shorter ones may still be cut for the record.
MAX_TEXT = 4096
#: The largest integer that every supported database stores.
LARGEST = 2**63 - 1


def read(body: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises BadRequest for invalid or too deeply nested JSON, InvalidField for another value than an object or for a
    text that a database cannot store.
    """
    found = json_text.parse(body)
    if not isinstance(found, dict):
        raise InvalidField(f"The body must be a JSON object, not {_KINDS.get(type(found), 'something else')}.")
    # Such a text needs an escape in JSON, so a large body without a backslash is not searched.
    if b"\\" in body and not is_storable(found):
        raise InvalidField(
            "A text in the JSON has a NUL character or half of a surrogate pair, which cannot be stored."
        )
    return found


def text(fields: Mapping[str, Any], name: str) -> str:
    found = _required(fields, name)
    if not isinstance(found, str):
        raise _wrong(name, "text", found)
    return _checked(name, found)


def optional_text(fields: Mapping[str, Any], name: str) -> str | None:
    """Return None if the field is missing, null or empty."""
    found = fields.get(name)
    if found is None:
        return None
    if not isinstance(found, str):
        raise _wrong(name, "text", found)
    return _checked(name, found) or None


def number(fields: Mapping[str, Any], name: str) -> int:
    """Return an integer, which may be negative. ``true`` and ``1.0`` are not integers."""
    return _number(name, _required(fields, name))


def optional_number(fields: Mapping[str, Any], name: str) -> int | None:
    found = fields.get(name)
    return None if found is None else _number(name, found)


def size(fields: Mapping[str, Any], name: str) -> int:
    """Return a number of bytes, of any size: the limits refuse what is too large."""
    found = _integer(name, _required(fields, name))
    if found < 0:
        raise InvalidField(f"{name} must not be negative; it is {found}.", field=name)
    return found


def sha256(fields: Mapping[str, Any], name: str) -> str | None:
    try:
        return description_fields.sha256(optional_text(fields, name))
    except BadRequest as error:
        raise InvalidField(f"{name} must be the SHA-256 as 64 hexadecimal digits.", field=name) from error


def reference(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these fields that is not empty. A number is converted to text: post ids often are numbers."""
    for name in names:
        found = fields.get(name)
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(_number(name, found))
        try:
            value = description_fields.reference(optional_text({name: found}, name))
        except BadRequest as error:
            raise InvalidField(error.detail, field=name) from error
        if value:
            return value
    return None


def upload_id(fields: Mapping[str, Any], name: str = "upload_id") -> uuid.UUID:
    """Raises NotFound for a text that is not an upload id."""
    return parse_upload_id(text(fields, name))


def parse_upload_id(text: str) -> uuid.UUID:
    found = parse_id(text)
    if found is None:
        raise NotFound(f"There is no upload {text[:60]!r}.")
    return found


def _required(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise InvalidField(f"The field {name} is missing.", field=name)
    return fields[name]


def _integer(name: str, found: Any) -> int:
    if isinstance(found, int) and not isinstance(found, bool):
        return found
    raise _wrong(name, "an integer", found)


def _number(name: str, found: Any) -> int:
    number = _integer(name, found)
    if abs(number) > LARGEST:
        raise InvalidField(f"{name} must not be larger than {LARGEST}.", field=name, limit=LARGEST)
    return number


def _checked(name: str, found: str) -> str:
    if len(found) > MAX_TEXT or not is_storable(found):
        raise InvalidField(f"{name} must be text of at most {MAX_TEXT} characters, without NUL.", field=name)
    return found


def _wrong(name: str, wanted: str, found: Any) -> InvalidField:
    return InvalidField(f"{name} must be {wanted}, not {_KINDS.get(type(found), 'something else')}.", field=name)


_KINDS = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number with a fraction",
    str: "text",
    list: "a list",
    dict: "an object",
}
