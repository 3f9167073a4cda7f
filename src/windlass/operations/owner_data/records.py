"""All rows of one owner, of every app."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db.models import QuerySet

from windlass.accounts import api as accounts
from windlass.events import api as events
from windlass.files import api as files
from windlass.jobs import api as jobs


def owner_rows(owner: str) -> dict[str, QuerySet[Any]]:
    """Rows by the name of their file in an export. The audit log and the user's account are not among them."""
    of_files = files.owner_rows(owner, accounts.key_callers(owner))
    return {
        **of_files,
        **jobs.rows_of_files(of_files["files"].values("id")),
        **_knowledge(owner, of_files["files"].values("id")),
        **events.owner_rows(owner),
        **accounts.owner_rows(owner),
    }


def _knowledge(owner: str, file_ids: QuerySet[Any]) -> dict[str, QuerySet[Any]]:
    """None in a project without the app, whose models cannot be imported there."""
    if not apps.is_installed("windlass.knowledge"):
        return {}
    from windlass.knowledge import api as knowledge

    return knowledge.owner_rows(owner, file_ids)


def row_counts(owner: str) -> dict[str, int]:
    """How many rows of each kind there are, without kinds that have none."""
    counts = {name: rows.count() for name, rows in owner_rows(owner).items()}
    return {name: count for name, count in counts.items() if count}
