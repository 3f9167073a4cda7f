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
    """``type/subtype`` in lower case, without parameters; None for an absent, empty or ill-formed one."""
    bare = (header or "").partition(";")[0].strip().lower()
    return bare if _TYPE.fullmatch(bare) else None


def is_field_type(header: str | None) -> bool:
    """Whether a form's ordinary field may be of this type: text, JSON, or one that is not said."""
    found = parse(header)
    return found is None or found in _OF_FIELDS or found.endswith("+json")


def claims_nothing(media_type: str | None) -> bool:
    """Whether a type says nothing of the content: what clients send when they do not know."""
    return media_type in {None, "", "application/octet-stream"}


def declared(header: str | None) -> str | None:
    """The type that a client claims for its file, or None if it claims nothing."""
    found = parse(header)
    return None if claims_nothing(found) else found
