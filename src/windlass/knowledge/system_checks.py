"""Django system checks of what the search needs."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error

from windlass.database.connection import vendor

#: The databases that have a full text search here.
VENDORS = ("sqlite", "postgresql")


def check_search(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E004 for a database without a search."""
    if vendor() in VENDORS:
        return []
    return [
        Error(
            f"windlass.knowledge is installed, and searches in SQLite and PostgreSQL only; the database is {vendor()}.",
            hint="Remove windlass.knowledge from INSTALLED_APPS: everything else works without it.",
            id="windlass.E004",
        )
    ]
