"""Cursors of lists: they name the last row of a page, in a form that clients do not read."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime

from windlass.kernel.ids import parse_id
from windlass.kernel.problem_types import InvalidField
from windlass.kernel.stored_text import is_storable


def encode_row(value: str, row_id: uuid.UUID) -> str:
    """The cursor of a list that is sorted by a value and an id."""
    return base64.urlsafe_b64encode(f"{value} {row_id}".encode()).decode().rstrip("=")


def decode_row(cursor: str) -> tuple[str, uuid.UUID]:
    """Raises InvalidField for what ``encode_row`` does not make."""
    try:
        value, _, id_text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().rpartition(" ")
    except ValueError:
        raise ill_formed() from None
    row_id = parse_id(id_text)
    if row_id is None or not is_storable(value):
        raise ill_formed()
    return value, row_id


def encode(moment: datetime, row_id: uuid.UUID) -> str:
    """The cursor of a list that is sorted by a time and an id, the newest first."""
    return encode_row(moment.isoformat(), row_id)


def decode(cursor: str) -> tuple[datetime, uuid.UUID]:
    """Raises InvalidField for an ill-formed cursor."""
    moment, row_id = decode_row(cursor)
    try:
        return datetime.fromisoformat(moment).astimezone(UTC), row_id
    except (ValueError, OverflowError):
        raise ill_formed() from None


def ill_formed() -> InvalidField:
    return InvalidField("The cursor is ill-formed: take it from `next` of the page before.", field="cursor")
