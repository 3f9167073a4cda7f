"""Cursors of lists: they name the last row of a page, in a form that clients do not read."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime

from windlass.kernel.ids import parse_id
from windlass.kernel.problem_types import InvalidField


def encode_text(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_text(cursor: str) -> str:
    """Raises ValueError for what ``encode_text`` does not make."""
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()


def ill_formed() -> InvalidField:
    return InvalidField("The cursor is ill-formed: take it from `next` of the page before.", field="cursor")


def encode(moment: datetime, row_id: uuid.UUID) -> str:
    """The cursor of a list that is sorted by a time and an id, the newest first."""
    return encode_text(f"{moment.isoformat()} {row_id}")


def decode(cursor: str) -> tuple[datetime, uuid.UUID]:
    """Raises InvalidField for an ill-formed cursor."""
    try:
        moment, _, id_text = decode_text(cursor).partition(" ")
        when, row_id = datetime.fromisoformat(moment).astimezone(UTC), parse_id(id_text)
    except (ValueError, OverflowError):
        when, row_id = None, None
    if when is None or row_id is None:
        raise ill_formed()
    return when, row_id
