"""Check the fields that describe a file, in the same way for every dialect.

An empty value counts as an absent one: a browser sends every field of its form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from windlass.kernel import json_text
from windlass.kernel.problem_types import BadRequest, MetadataTooLarge
from windlass.kernel.stored_text import is_storable

MAX_REFERENCE = 255
#: The largest metadata of one file as it is sent (bytes): a JSON object, or a tus header.
MAX_METADATA = 64 * 1024
MAX_DEPTH = 32

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def profile(value: str | None) -> str | None:
    """Return the name of the profile. Whether the profile exists is checked on admission."""
    return (value or "").strip() or None


def reference(value: str | None) -> str | None:
    text = (value or "").strip()
    if len(text) > MAX_REFERENCE or not text.isprintable():
        raise BadRequest(f"reference must be printable text of at most {MAX_REFERENCE} characters.", field="reference")
    return text or None


def sha256(value: str | None) -> str | None:
    text = (value or "").strip()
    if text and not _SHA256.fullmatch(text):
        raise BadRequest("sha256 must be 64 hexadecimal digits.", field="sha256")
    return text.lower() or None


def metadata(value: str | None) -> dict[str, Any]:
    """Parse a JSON object that can be stored and returned unchanged. Raises BadRequest, MetadataTooLarge."""
    if not (value or "").strip():
        return {}
    require_small_metadata(value or "")
    try:
        document = json_text.parse(value or "")
    except BadRequest as error:
        raise _bad_metadata("it is not valid JSON, or nested too deep") from error
    if not isinstance(document, dict):
        raise _bad_metadata("it is JSON, but not an object")
    require_storable(document)
    return document


def require_small_metadata(text: str) -> None:
    """Raises MetadataTooLarge for metadata that is larger than MAX_METADATA as it was sent."""
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_METADATA:
        raise MetadataTooLarge(
            f"The metadata of an upload may have {MAX_METADATA // 1024} KiB; this has {size} bytes. Send less, or "
            "send it as a file of its own.",
            field="metadata",
            limit=MAX_METADATA,
            received=size,
        )


def from_query(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a request's query that describe the file, as arguments of Description."""
    return {
        "profile": profile(query.get("profile")) or "default",
        "reference": reference(query.get("reference") or query.get("post_id")),
        "sha256": sha256(query.get("sha256")),
        "metadata": metadata(query.get("metadata")),
    }


def require_storable(document: dict[str, Any]) -> None:
    pending: list[tuple[Any, int]] = [(document, 1)]
    while pending:
        value, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise _bad_metadata(f"it is nested more than {MAX_DEPTH} deep")
        match value:
            case dict():
                pending += [(part, depth + 1) for pair in value.items() for part in pair]
            case list():
                pending += [(part, depth + 1) for part in value]
            case str() if not is_storable(value):
                raise _bad_metadata("a text in it has a NUL or half a surrogate pair")
            case float() if not math.isfinite(value):
                raise _bad_metadata("a number in it is too large")


def _bad_metadata(why: str) -> BadRequest:
    return BadRequest(f"metadata must be a JSON object: {why}.", field="metadata")
