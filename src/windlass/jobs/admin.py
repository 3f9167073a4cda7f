"""Jobs and their attempts in the Django admin, read-only."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from windlass.jobs.models import Attempt, Job


class _ReadOnly:
    """Leases and epochs guard a job's row; editing it by hand would break them."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class AttemptInline(_ReadOnly, admin.TabularInline):  # type: ignore[type-arg]  # takes no parameter at run time
    model = Attempt
    fields = ["number", "worker", "outcome", "step", "error_class", "message", "started_at", "ended_at"]


@admin.register(Job)
class JobAdmin(_ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["id", "stage", "file_id", "state", "attempts", "due_at", "lease_holder", "updated_at"]
    list_filter = ["state", "stage"]
    search_fields = ["id", "file_id", "request_id", "last_error"]
    inlines = [AttemptInline]
    show_full_result_count = False
