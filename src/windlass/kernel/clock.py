"""The one place that asks what time it is, so that a test can move it."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The wall clock as an aware UTC time: for what is stored and shown."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds of a clock that never steps: for waits, leases held in this process and throttles."""
    return time.monotonic()


def rfc3339(moment: datetime | None) -> str | None:
    """``2026-01-31T12:00:00.123456Z``, the form every JSON reply and event uses."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
