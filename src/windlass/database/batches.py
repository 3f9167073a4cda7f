"""Delete many rows in transactions of bounded size."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

#: Rows that one statement deletes.
BATCH = 5_000


def delete_in_batches(rows: QuerySet[Any, Any], column: str) -> int:
    """Delete ``rows``, those with the lowest values of ``column`` first; return how many, without those that depend on
    them. Each batch is a transaction of its own, so that locks are short, and what is deleted stays deleted if the
    process dies."""
    deleted = 0
    while True:
        keys = list(rows.order_by(column).values_list("pk", flat=True)[:BATCH])
        if not keys:
            return deleted
        _, by_model = rows.filter(pk__in=keys).delete()  # a row may have changed since, such as a job that is retried
        gone = int(by_model.get(rows.model._meta.label, 0))
        deleted += gone
        if len(keys) < BATCH or not gone:
            return deleted
