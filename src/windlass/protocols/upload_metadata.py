"""The header ``Upload-Metadata`` of tus and the IETF's protocol: ``key base64,key base64``, a value may be absent."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from windlass.kernel import filenames
from windlass.kernel.problem_types import BadRequest
from windlass.kernel.stored_text import is_storable
from windlass.protocols import description_fields, media_types
from windlass.protocols.intents import Description

_FIELD = "Upload-Metadata"
_KEY = re.compile(r"[^\s,\x00-\x1f\x7f]+")
#: Keys that have fields of their own in the record, so they are not shown again as metadata.
_DESCRIPTION_KEYS = frozenset({"filename", "name", "filetype", "type", "profile", "reference", "sha256"})


def decode(header: str) -> dict[str, bytes]:
    """Return the values by key, in the order sent. Raises BadRequest. tuspy sends an empty header for no metadata."""
    values: dict[str, bytes] = {}
    for pair in header.split(",") if header.strip() else []:
        key, _, value = pair.strip().partition(" ")
        if not _KEY.fullmatch(key):
            raise BadRequest(f"{_FIELD} has a pair without a valid key: {pair[:40]!r}.", field=_FIELD)
        if key in values:
            raise BadRequest(f"{_FIELD} has the key {key[:40]!r} more than once.", field=_FIELD)
        values[key] = _value(key, value)
    return values


def describe(header: str | None, default_profile: str | None) -> Description:
    """Describe the file by the header; ``default_profile`` is used if it names no profile. Raises BadRequest,
    MetadataTooLarge."""
    description_fields.require_small_metadata(header or "")
    values = decode(header or "")
    return Description(
        filename=filenames.clean(_either(values, "filename", "name")),
        declared_type=media_types.declared(_either(values, "filetype", "type")),
        profile=description_fields.profile(_text(values, "profile")) or default_profile or "default",
        reference=description_fields.reference(_text(values, "reference")),
        sha256=description_fields.sha256(_text(values, "sha256")),
        metadata={key: _shown(value) for key, value in values.items() if key not in _DESCRIPTION_KEYS},
        client_metadata=header,
    )


def _value(key: str, value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise BadRequest(f"{_FIELD} has a value that is not base64 at the key {key[:40]!r}.", field=_FIELD) from error


def _either(values: Mapping[str, bytes], name: str, alias: str) -> str:
    """Return a name or type. These are only displayed, so bytes that are not UTF-8 are replaced, not refused."""
    return (values.get(name) or values.get(alias, b"")).decode(errors="replace")


def _text(values: Mapping[str, bytes], key: str) -> str:
    try:
        return values.get(key, b"").decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"{_FIELD} has a {key} that is not UTF-8.", field=key) from error


def _shown(value: bytes) -> str:
    """Return the value as text if it is text, else as the base64 that was sent."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    return text if is_storable(text) else base64.b64encode(value).decode("ascii")
