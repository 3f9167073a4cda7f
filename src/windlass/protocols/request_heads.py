"""Fields of a request's head that every dialect reads."""

from __future__ import annotations

import re

from windlass.kernel.problem_types import BadRequest, UnsupportedMediaType
from windlass.protocols import media_types
from windlass.protocols.intents import Head

_DIGITS = re.compile(r"[0-9]+")
#: Longer numbers are read as this one: any limit refuses both.
_LARGEST = 10**30


def effective_method(head: Head) -> str:
    """Return the method in upper case; ``X-HTTP-Method-Override`` replaces the real one (tus 1.0.0, "Headers")."""
    return overridden_method(head.headers.get("x-http-method-override", ""), head.method)


def overridden_method(override: str, method: str) -> str:
    """``effective_method`` of a request with this ``X-HTTP-Method-Override``, which may be empty."""
    return (override.strip() or method).upper()


def media_type(head: Head) -> str | None:
    """Return the Content-Type without its parameters; None if it is absent or malformed."""
    return media_types.parse(head.headers.get("content-type"))


def number(head: Head, field: str) -> int | None:
    """Return the value of a header that counts bytes; None if it is absent. Raises BadRequest."""
    text = head.headers.get(field.lower())
    if text is None:
        return None
    if not _DIGITS.fullmatch(text.strip(" \t")):
        raise BadRequest(f"{field} must be a non-negative integer in plain digits, not {text[:40]!r}.", field=field)
    digits = text.strip(" \t").lstrip("0")
    return int(digits or "0") if len(digits) <= 30 else _LARGEST


def body_length(head: Head) -> int | None:
    """Return the Content-Length, which is not verified; None for a body whose length is not announced."""
    return number(head, "Content-Length")


def announces_body(head: Head) -> bool:
    return "transfer-encoding" in head.headers or bool(body_length(head))


def refuse_content_encoding(head: Head) -> None:
    """Raises UnsupportedMediaType for a coded body (RFC 9110, 8.4): it would be stored as it is, as another file."""
    coding = head.headers.get("content-encoding", "").strip().lower()
    if coding not in {"", "identity"}:
        raise UnsupportedMediaType(
            f"The body has Content-Encoding {coding[:40]!r}. Send the file's bytes as they are, without that field.",
            headers={"Accept-Encoding": "identity"},
        )
