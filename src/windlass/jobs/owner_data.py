"""The jobs of one owner's files, for the export and the erasure of the owner's data."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from windlass.jobs.models import Attempt, Job


def rows_of_files(file_ids: QuerySet[Any]) -> dict[str, QuerySet[Any]]:
    """Rows by a name for the export, in an order in which they can be deleted. ``file_ids``: a query of ids."""
    return {
        "attempts": Attempt.objects.filter(job__file_id__in=file_ids),
        "jobs": Job.objects.filter(file_id__in=file_ids),
    }
