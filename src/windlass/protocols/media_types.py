"""Media types as a client states them: description_fields, compared in one spelling."""

from __future__ import annotations

import re

FORM = "multipart/form-data"
TUS = "application/offset+octet-stream"
IETF = "application/partial-upload"

_OF_FIELDS = frozenset({"text/plain", "application/json", "application/x-www-form-urlencoded"})
_NAME = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"  # RFC 6838, 4.2
_TYPE = re.compile(f"{_NAME}/{_NAME}")


def parse(header: str | None) -> str | None:
    """Return ``type/subtype`` in lower case, without parameters; None if it is absent, empty or malformed."""
    bare = (header or "").partition(";")[0].strip().lower()
    return bare if _TYPE.fullmatch(bare) else None


def is_field_type(header: str | None) -> bool:
    """Whether an ordinary field of a form may have this type: text, JSON, or none."""
    media_type = parse(header)
    return media_type is None or media_type in _OF_FIELDS or media_type.endswith("+json")


def claims_nothing(media_type: str | None) -> bool:
    """Whether a type says nothing about the content: clients send it when they do not know the type."""
    return media_type in {None, "", "application/octet-stream"}


def declared(header: str | None) -> str | None:
    """Return the type that a client declares for its file; None if that says nothing."""
    media_type = parse(header)
    return None if claims_nothing(media_type) else media_type
