"""Random identifiers, which cannot be guessed from each other."""

from __future__ import annotations

import re
import uuid

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def new_id() -> uuid.UUID:
    return uuid.uuid4()


def parse_id(text: str) -> uuid.UUID | None:
    """The UUID that ``text`` is the canonical form of, else None."""
    try:
        value = uuid.UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None


def request_id(proposed: str | None) -> str:
    """The client's ``X-Request-ID`` if it is a valid token, else a new one."""
    return proposed if proposed and _REQUEST_ID.fullmatch(proposed) else uuid.uuid4().hex
