"""The fields of a JSON body, each checked for its type: missing or ill-typed is 422 and names the field."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from windlass.kernel import json_text
from windlass.kernel.errors import BadRequest, InvalidField, NotFound
from windlass.kernel.ids import parse_id
from windlass.kernel.stored_text import is_storable
from windlass.protocols import description_fields

#: Names and types that a client states are cut for the record; longer ones than this are no honest claim.
MAX_TEXT = 4096
#: More than any size has, and little enough for every database.
LARGEST = 2**63 - 1


def read(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises BadRequest for what is no JSON or nested too deep, InvalidField for what is no object, or
    has a text that no database can hold."""
    found = json_text.parse(body)
    if not isinstance(found, dict):
        raise InvalidField(f"The body must be a JSON object, not {_KINDS.get(type(found), 'something else')}.")
    # Such a text can only be spelled with an escape: a large body without one is not walked through.
    if b"\\" in body and not json_text.is_storable(found):
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
    """None where the field is missing, null or empty."""
    found = fields.get(name)
    if found is None:
        return None
    if not isinstance(found, str):
        raise _wrong(name, "text", found)
    return _checked(name, found) or None


def number(fields: Mapping[str, Any], name: str) -> int:
    """An integer, negative ones too. ``true`` and ``1.0`` are none."""
    return _number(name, _required(fields, name))


def optional_number(fields: Mapping[str, Any], name: str) -> int | None:
    found = fields.get(name)
    return None if found is None else _number(name, found)


def size(fields: Mapping[str, Any], name: str) -> int:
    """A number of bytes. One that is larger than any limit is refused by that limit."""
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
    """The first of these fields that is there. A number is taken as its digits: post ids often are numbers."""
    for name in names:
        found = fields.get(name)
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(_number(name, found))
        try:
            told = description_fields.reference(optional_text({name: found}, name))
        except BadRequest as error:
            raise InvalidField(error.detail, field=name) from error
        if told:
            return told
    return None


def upload_id(fields: Mapping[str, Any], name: str = "upload_id") -> uuid.UUID:
    """Raises NotFound for a text that is no id of ours."""
    return parse_upload_id(text(fields, name))


def parse_upload_id(spelled: str) -> uuid.UUID:
    found = parse_id(spelled)
    if found is None:
        raise NotFound(f"There is no upload {spelled[:60]!r}.")
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
        raise InvalidField(f"{name} is larger than any number that is taken here.", field=name, limit=LARGEST)
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
