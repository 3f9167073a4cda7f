"""Conditional requests (RFC 9110, section 13), decided without I/O."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from starlette.requests import Request

from windlass.kernel.problem_types import PreconditionFailed

_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')
_WHOLE_TAG = re.compile(r'(?:W/)?"[^"]*"')


def http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def check_preconditions(request: Request, etag: str | None, modified_at: datetime | None) -> None:
    """Raise PreconditionFailed (412) if If-Match or If-Unmodified-Since name another representation.

    Call it before ``is_not_modified`` (RFC 9110, 13.2.2). The comparison is strong: a weak tag never matches. Where
    there is If-Match, the date is ignored, and so is an ill-formed date (13.1.4). ``modified_at`` is None where no date
    is known.
    """
    if_match = _joined(request, "if-match")
    if if_match is not None:
        if if_match.strip() == "*" or (etag is not None and etag in _WHOLE_TAG.findall(if_match)):
            return
        detail = "It has another ETag than If-Match names. Ask without the condition, and read the new ETag."
    else:
        until = _date(request.headers.get("if-unmodified-since"))
        if until is None or modified_at is None or modified_at.replace(microsecond=0) <= until:
            return
        detail = "It was modified after If-Unmodified-Since. Ask without the condition, and read the new Last-Modified."
    raise PreconditionFailed(detail, headers={"ETag": etag} if etag else {})


def is_not_modified(request: Request, etag: str | None, modified_at: datetime) -> bool:
    """Whether the client has this representation (304). Where there is If-None-Match, the date is ignored."""
    if_none_match = _joined(request, "if-none-match")
    if if_none_match is not None:
        return if_none_match.strip() == "*" or etag in _ENTITY_TAG.findall(if_none_match)
    since = _date(request.headers.get("if-modified-since"))
    return since is not None and modified_at.replace(microsecond=0) <= since


def if_range_holds(request: Request, etag: str | None, modified_at: datetime) -> bool:
    """Whether a range may be sent: If-Range is absent or names this representation. The comparison is strong: a weak
    tag never matches, and a date only if it is equal."""
    if_range = request.headers.get("if-range")
    if if_range is None:
        return True
    if '"' in if_range:
        return if_range.strip() == etag
    return _date(if_range) == modified_at.replace(microsecond=0)


def _joined(request: Request, name: str) -> str | None:
    """A field that may be sent on several lines, as one list."""
    return ",".join(request.headers.getlist(name)) if name in request.headers else None


def _date(text: str | None) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
