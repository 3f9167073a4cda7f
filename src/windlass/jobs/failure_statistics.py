"""Counts of failed attempts and of retries in the last hours."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet
from django.db.models.functions import TruncHour

from windlass.jobs.models import Attempt
from windlass.jobs.states import FAILED_OUTCOMES, AttemptOutcome
from windlass.kernel.clock import now, rfc3339

#: The key of failures outside a step, and of those without an error class.
NONE = "none"


def failure_statistics(window_hours: int) -> dict[str, Any]:
    """Attempts that failed or were lost in the last ``window_hours``, and retries of dead letters.

    ``by_hour`` has every hour of the window, the oldest first; the first and the last one are not whole.
    """
    end = now()
    start = end - timedelta(hours=window_hours)
    failed = Attempt.objects.filter(outcome__in=FAILED_OUTCOMES, ended_at__gt=start, ended_at__lte=end).order_by()
    by_hour = dict(
        failed.annotate(hour=TruncHour("ended_at", tzinfo=UTC)).values_list("hour").annotate(count=Count("id"))
    )
    return {
        "window_hours": window_hours,
        "total": sum(by_hour.values()),
        "by_step": _counted(failed, "step"),
        "by_error": _counted(failed, "error_class"),
        "by_hour": [{"hour": rfc3339(hour), "count": by_hour.get(hour, 0)} for hour in _hours(start, end)],
        "retries": _retries(start, end),
    }


def _counted(attempts: QuerySet[Attempt], column: str) -> dict[str, int]:
    """The most frequent first."""
    counts = Counter({value or NONE: count for value, count in attempts.values_list(column).annotate(n=Count("id"))})
    return dict(counts.most_common())


def _hours(start: datetime, end: datetime) -> list[datetime]:
    first = start.replace(minute=0, second=0, microsecond=0)
    whole = int((end - first).total_seconds() // 3600)
    return [first + timedelta(hours=number) for number in range(whole + 1)]


def _retries(start: datetime, end: datetime) -> dict[str, int]:
    """A retry counts as attempted when its first attempt starts, and as succeeded when its job is done."""
    retried = Attempt.objects.filter(retry__gt=0, started_at__lte=end).order_by()
    started = retried.filter(number=1, started_at__gt=start).values("job_id", "retry").distinct()
    succeeded = retried.filter(outcome=AttemptOutcome.DONE, ended_at__gt=start).values("job_id", "retry").distinct()
    return {"attempted": started.count(), "succeeded": succeeded.count()}
