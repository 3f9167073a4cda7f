"""Remove what names and texts of deleted files have left in the indexes of words. Only SQLite's keep anything."""

from __future__ import annotations

from django.apps import apps

from windlass.files import api as files


def forget_deleted_words() -> bool:
    """False if there was nothing to do. It writes the indexes anew, part by part."""
    forgotten = files.forget_deleted_names()
    if apps.is_installed("windlass.knowledge"):
        from windlass.knowledge import api as knowledge

        forgotten |= knowledge.forget_deleted_words()
    return forgotten
