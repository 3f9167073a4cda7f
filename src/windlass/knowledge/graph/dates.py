"""Dates as English, German and Spanish texts write them. Pure."""

from __future__ import annotations

import re
from datetime import date

_MONTHS = {
    1: "january jan januar jänner enero ene",
    2: "february feb februar febrero",
    3: "march mar märz mrz marzo",
    4: "april apr abril abr",
    5: "may mai mayo",
    6: "june jun juni junio",
    7: "july jul juli julio",
    8: "august aug agosto ago",
    9: "september sep sept septiembre setiembre",
    10: "october oct oktober okt octubre",
    11: "november nov noviembre",
    12: "december dec dezember dez diciembre dic",
}
_MONTH_OF = {name: number for number, names in _MONTHS.items() for name in names.split()}
_MONTH = "(?:" + "|".join(sorted(_MONTH_OF, key=len, reverse=True)) + r")\b\.?"

#: A date; ``read_date`` says which, if it is one.
DATE = re.compile(
    rf"""(?<![\w./-])(?:
      (?P<y1>[12]\d{{3}})-(?P<m1>\d\d)-(?P<d1>\d\d)
    | (?P<d2>\d{{1,2}})(?:st|nd|rd|th|\.)?[ ]+(?:de[ ]+|of[ ]+)?(?P<m2>{_MONTH}),?[ ]+(?:del?[ ]+)?(?P<y2>[12]\d{{3}})
    | (?P<m3>{_MONTH})[ ]+(?P<d3>\d{{1,2}})(?:st|nd|rd|th)?,?[ ]+(?P<y3>[12]\d{{3}})
    | (?P<d4>\d{{1,2}})\.[ ]?(?P<m4>\d{{1,2}})\.[ ]?(?P<y4>[12]\d{{3}})
    | (?P<a>\d{{1,2}})/(?P<b>\d{{1,2}})/(?P<y5>[12]\d{{3}})
    )(?![\w/]|[.-]\d)""",
    re.IGNORECASE | re.VERBOSE,
)


def read_date(found: re.Match[str], language: str) -> str | None:
    """The day as ISO 8601; None if there is no such day, or if it could be either of two."""
    if found["y1"]:
        return _iso(found["y1"], int(found["m1"]), found["d1"])
    if found["y2"]:
        return _iso(found["y2"], _month(found["m2"]), found["d2"])
    if found["y3"]:
        return _iso(found["y3"], _month(found["m3"]), found["d3"])
    if found["y4"]:
        return _iso(found["y4"], int(found["m4"]), found["d4"])
    first, second = int(found["a"]), int(found["b"])
    if first == second or first > 12 or language in ("es", "de", "fr", "it", "pt"):
        return _iso(found["y5"], second, found["a"])
    return _iso(found["y5"], first, found["b"]) if second > 12 else None


def _month(name: str) -> int:
    """0 for a name that only looks like a month's: ``re`` takes the dotless i of Turkish for an i, and the dotted I."""
    return _MONTH_OF.get(name.rstrip(".").casefold(), 0)


def _iso(year: str, month: int, day: str) -> str | None:
    try:
        return date(int(year), month, int(day)).isoformat()
    except ValueError:
        return None
