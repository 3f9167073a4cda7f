"""Identifiers: random, so that knowing one tells nothing of another."""

from __future__ import annotations

import re
import uuid

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def new_id() -> uuid.UUID:
    return uuid.uuid4()


def parse_id(text: str) -> uuid.UUID | None:
    """The UUID that ``text`` spells in its canonical form, else None: any other text names nothing here."""
    try:
        value = uuid.UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None


def request_id(offered: str | None) -> str:
    """The client's ``X-Request-ID`` when it is a sane token, else one of ours."""
    return offered if offered and _REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex
