"""When the next of many jobs becomes due that are queued at a bounded rate."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import F, Max, Q, QuerySet

from windlass.jobs.models import Job
from windlass.jobs.states import JobState
from windlass.kernel.clock import CLOCK_TOLERANCE, now


def next_due_time(paced: QuerySet[Job], column: str, pause: timedelta) -> datetime:
    """Now, or one pause after the last of these jobs. ``column``: when each became due, as it was queued at this rate.

    A time ahead that was written while a clock was ahead does not count: that of a job that has run since, that of a
    job that was changed in the future, or one behind which the job's own due time was corrected.
    """
    moment = now()
    waits = Q(state=JobState.QUEUED, updated_at__lte=moment + CLOCK_TOLERANCE) & Q(**{f"{column}__lte": F("due_at")})
    counted = paced.filter(waits | Q(**{f"{column}__lte": moment}))
    last: datetime | None = counted.aggregate(last=Max(column))["last"]
    return moment if last is None else max(moment, last + pause)
