"""The only source of the current time, so that tests can replace it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

#: How far the clocks of machines may differ before the times that one of them wrote are corrected.
CLOCK_TOLERANCE = timedelta(seconds=5)


def now() -> datetime:
    """The wall clock as an aware UTC time, for stored and displayed times."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds of a clock that never goes back, for timeouts and throttles within this process."""
    return time.monotonic()


def rfc3339(moment: datetime | None) -> str | None:
    """``2026-01-31T12:00:00.123456Z``, the form of times in JSON replies and events."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
