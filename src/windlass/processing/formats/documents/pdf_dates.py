"""Dates as PDF writes them (ISO 32000-1, 7.9.4): ``D:20240506070809+02'00'``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_DATE = re.compile(
    r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:(Z)|([+-])(\d\d)'?(?:(\d\d)'?)?)?.*", re.DOTALL | re.ASCII
)


def iso(said: str) -> str | None:
    """ISO 8601, with an offset where the date has one; None for what is no date."""
    found = _DATE.fullmatch(said.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) if part else None for part in found.groups()[:6])
    try:
        when = datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0)
        if found[7]:
            when = when.replace(tzinfo=UTC)
        elif found[8]:
            offset = timedelta(hours=int(found[9]), minutes=int(found[10] or 0))
            when = when.replace(tzinfo=timezone(-offset if found[8] == "-" else offset))
    except ValueError:
        return None
    return when.isoformat()
