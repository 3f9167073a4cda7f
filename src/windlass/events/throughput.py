"""How many uploads, bytes and results each minute had, for the plots of the last hour and day.

The journal holds the figures, among many other events. So each minute is counted once after it has ended, and a row
with its figures is kept; only the minutes that have no row yet are counted when somebody asks. The rows are for plots:
an event that is committed more than a minute after its time is missing in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from django.db.models import BigIntegerField, Count, Max, Q, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, TruncMinute

from windlass.events.models import Event, ThroughputMinute
from windlass.events.types import EventType
from windlass.kernel.clock import now

MINUTE = timedelta(minutes=1)
#: How long after the end of a minute its events may still be committed.
SETTLED = MINUTE
KEPT = timedelta(hours=25)
FIGURES = ("uploads", "bytes", "ready", "rejected", "failed")

_CREATED = Q(type=EventType.FILE_CREATED)
_REJECTED = Q(type__in=(EventType.FILE_REJECTED, EventType.FILE_QUARANTINED))
_COUNTED = (
    EventType.FILE_CREATED,
    EventType.FILE_READY,
    EventType.FILE_REJECTED,
    EventType.FILE_QUARANTINED,
    EventType.FILE_FAILED,
)


class ThroughputWindow(StrEnum):
    HOUR = "hour"
    DAY = "day"


#: The length of a window, and of the steps that it is divided into.
_LENGTHS = {
    ThroughputWindow.HOUR: (timedelta(hours=1), MINUTE),
    ThroughputWindow.DAY: (timedelta(days=1), timedelta(minutes=15)),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """``uploads``: files that were received, of ``bytes``; ``ready``, ``rejected`` and ``failed``: how processing
    ended."""

    uploads: int = 0
    bytes: int = 0
    ready: int = 0
    rejected: int = 0
    failed: int = 0

    def plus(self, other: Figures) -> Figures:
        return Figures(*(getattr(self, name) + getattr(other, name) for name in FIGURES))


@dataclass(frozen=True, slots=True)
class Throughput:
    """``points``: the figures of each step by its beginning, the oldest first; the last step has not ended."""

    step_seconds: int
    points: Mapping[datetime, Figures]


def throughput(window: ThroughputWindow) -> Throughput:
    length, step = _LENGTHS[window]
    end = _floor(now(), step) + step
    points = {end - length + number * step: Figures() for number in range(length // step)}
    start = end - length
    counted = _row_end(start)
    rows = ThroughputMinute.objects.filter(minute__gte=start, minute__lt=counted)
    by_minute = {row.minute: Figures(*(getattr(row, name) for name in FIGURES)) for row in rows}
    for minute, figures in (by_minute | _count(counted, end)).items():
        begin = _floor(minute, step)
        points[begin] = points[begin].plus(figures)
    return Throughput(int(step.total_seconds()), points)


def count_ended_minutes() -> int:
    """Write the rows of the minutes that have ended, and delete old ones; returns how many were written.

    Safe in several processes at once: they write the same.
    """
    end = _floor(now() - SETTLED, MINUTE)
    start = _row_end(end - KEPT)
    if start >= end:
        return 0
    counted = {end - MINUTE: Figures()} | _count(start, end)  # the last one has a row even if nothing happened
    rows = [
        ThroughputMinute(minute=minute, **{name: getattr(figures, name) for name in FIGURES})
        for minute, figures in counted.items()
    ]
    ThroughputMinute.objects.bulk_create(rows, ignore_conflicts=True)
    ThroughputMinute.objects.filter(minute__lt=end - KEPT).delete()
    return len(rows)


def _row_end(earliest: datetime) -> datetime:
    """The end of the last minute that has a row, at least ``earliest``. Minutes before without one had no events."""
    last: datetime | None = ThroughputMinute.objects.aggregate(last=Max("minute"))["last"]
    return earliest if last is None else max(earliest, last + MINUTE)


def _count(start: datetime, end: datetime) -> dict[datetime, Figures]:
    """Count the events of the journal by minute; minutes without any are left out."""
    events = Event.objects.filter(at__gte=start, at__lt=end, type__in=_COUNTED).order_by()
    by_minute = events.annotate(
        minute=TruncMinute("at", tzinfo=UTC), size=Cast(KT("data__size"), BigIntegerField())
    ).values_list("minute")
    counted = by_minute.annotate(
        uploads=Count("id", filter=_CREATED),
        bytes=Sum("size", filter=_CREATED, default=0),
        ready=Count("id", filter=Q(type=EventType.FILE_READY)),
        rejected=Count("id", filter=_REJECTED),
        failed=Count("id", filter=Q(type=EventType.FILE_FAILED)),
    )
    return {minute: Figures(*figures) for minute, *figures in counted}


def _floor(moment: datetime, step: timedelta) -> datetime:
    seconds = step.total_seconds()
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)
