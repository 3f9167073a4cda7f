"""Conditional requests of RFC 9110 section 13, decided without I/O."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')
_WHOLE_TAG = re.compile(r'(?:W/)?"[^"]*"')


def http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def fails(if_match: str | None, if_unmodified_since: str | None, etag: str | None, modified: datetime | None) -> bool:
    """Whether this is not the representation that the request is for: 412. ``If-Match`` makes the date irrelevant.

    The comparison is strong: a weak tag never matches. ``modified`` is None where no date is known, and an ill-formed
    date says nothing (section 13.1.4).
    """
    if if_match is not None:
        return if_match.strip() != "*" and (etag is None or etag not in _WHOLE_TAG.findall(if_match))
    until = _date(if_unmodified_since)
    return until is not None and modified is not None and modified.replace(microsecond=0) > until


def not_modified(
    if_none_match: str | None, if_modified_since: str | None, etag: str | None, modified: datetime
) -> bool:
    """Whether the client has this representation already: 304. ``If-None-Match`` makes the date irrelevant."""
    if if_none_match is not None:
        return if_none_match.strip() == "*" or etag in _ENTITY_TAG.findall(if_none_match)
    since = _date(if_modified_since)
    return since is not None and modified.replace(microsecond=0) <= since


def range_holds(if_range: str | None, etag: str | None, modified: datetime) -> bool:
    """Whether the part that the client has is of this very representation; if not, it gets the whole.

    The comparison is strong: a weak tag never matches, a date only exactly.
    """
    if if_range is None:
        return True
    if '"' in if_range:
        return if_range.strip() == etag
    return _date(if_range) == modified.replace(microsecond=0)


def _date(text: str | None) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
