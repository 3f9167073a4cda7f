"""Admin pages that only show rows, for tables whose rows belong to stored bytes, leases or the journal."""

from __future__ import annotations

from django.http import HttpRequest


class ReadOnly:
    """Mixin of a ModelAdmin or an inline that refuses to add, change and delete."""

    show_full_result_count = False  # counting all rows of a large table is slow

    def _refuse(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    has_add_permission = has_change_permission = has_delete_permission = _refuse
