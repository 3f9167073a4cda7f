"""Jobs and their attempts in the Django admin, read-only: editing a row by hand would break its lease and epoch."""

from django.contrib import admin

from windlass.database.read_only_admin import ReadOnly
from windlass.jobs.models import Attempt, Job


class AttemptInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]  # takes no parameter at run time
    model = Attempt
    fields = ["number", "worker", "outcome", "step", "error_class", "message", "started_at", "ended_at"]


@admin.register(Job)
class JobAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["id", "stage", "file_id", "state", "attempts", "due_at", "lease_holder", "updated_at"]
    list_filter = ["state", "stage"]
    search_fields = ["id", "file_id", "request_id", "last_error"]
    inlines = [AttemptInline]
