"""Dates and times in cells of a workbook: numbers with a number format that shows them so (ECMA-376, 18.8.30)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

#: Parts of a format's code that are no part of a date: quoted texts, escapes, fillers, colours, conditions.
_LITERAL = re.compile(r"\"[^\"]*+\"?|\\.|[_*].|\[(?!(?:h+|m+|s+)\])[^\]]*+\]?", re.IGNORECASE)
_HALVES = re.compile(r"am/pm|a/p|上午/下午", re.IGNORECASE)
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
#: Days since the epoch up to the end of the year 9999.
_LAST = 2_958_466


@dataclass(frozen=True, slots=True)
class DateFormat:
    """What a cell's format shows of its number. ``is_elapsed``: a duration, whose hours may exceed 24."""

    date: bool = False
    time: bool = False
    is_elapsed: bool = False


def date_format(number: int, code: str | None) -> DateFormat | None:
    """Return the format of this number; None where it shows no date. ``code``: its definition, unless built in."""
    if code is None:
        return _BUILT_IN.get(number)
    bare = _HALVES.sub("h", _LITERAL.sub("", code)).partition(";")[0].lower()
    if "general" in bare:
        return None
    time = bool(re.search("[hs]", bare)) or bool(_ELAPSED.search(bare))
    date = bool(re.search("[yd]", bare)) or (not time and "m" in bare)
    return DateFormat(date, time, bool(_ELAPSED.search(bare))) if date or time else None


def format_value(value: str, shown: DateFormat, *, since_1904: bool) -> str:
    """Return the number as ISO 8601; unchanged where it is no number, or no valid date."""
    try:
        days = float(value)
    except ValueError:
        return value
    if not 0 <= days < _LAST:
        return value
    if shown.is_elapsed and not shown.date:
        minutes, seconds = divmod(round(days * 86_400), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    if not since_1904 and int(days) == 60:
        return "1900-02-29"  # Excel counts this day, which did not exist
    epoch = datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 31 if days < 60 else 30)
    moment = epoch + timedelta(seconds=round(days * 86_400))
    clock = f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"
    if shown.date and shown.time:
        return f"{moment.date().isoformat()} {clock}"
    return moment.date().isoformat() if shown.date else clock


_DATE, _TIME, _BOTH = DateFormat(date=True), DateFormat(time=True), DateFormat(date=True, time=True)
#: Built-in formats by number; from 27 on those of East Asia.
_BUILT_IN = {
    **dict.fromkeys((14, 15, 16, 17, 27, 28, 29, 30, 31, 34, 35, 36, *range(50, 55), 57, 58), _DATE),
    **dict.fromkeys((18, 19, 20, 21, 32, 33, 45, 47, 55, 56), _TIME),
    22: _BOTH,
    46: DateFormat(time=True, is_elapsed=True),
}
