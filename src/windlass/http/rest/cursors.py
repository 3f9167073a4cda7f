"""Cursors of lists that are sorted by a time and an id, the newest first: they name the last row of a page."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime

from windlass.kernel.ids import parse_id
from windlass.kernel.problem_types import InvalidField


def encode(moment: datetime, row_id: uuid.UUID) -> str:
    return base64.urlsafe_b64encode(f"{moment.isoformat()} {row_id}".encode()).decode().rstrip("=")


def decode(cursor: str) -> tuple[datetime, uuid.UUID]:
    """Raises InvalidField for an ill-formed cursor."""
    try:
        moment, _, id_text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(" ")
        when, row_id = datetime.fromisoformat(moment).astimezone(UTC), parse_id(id_text)
    except (ValueError, OverflowError):
        when, row_id = None, None
    if when is None or row_id is None:
        raise InvalidField("The cursor is ill-formed: take it from `next` of the page before.", field="cursor")
    return when, row_id
