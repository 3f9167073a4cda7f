"""Jobs and their attempts in the Django admin, read-only: editing a row by hand would break its lease and epoch.

Dead letters can be retried and deleted by actions.
"""

from collections import Counter

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from windlass.database.read_only_admin import ReadOnly
from windlass.jobs.dead_letters import RetryResult, delete_dead_letters, retry_dead_letters
from windlass.jobs.models import Attempt, Job, ProcessHeartbeat


class AttemptInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]  # takes no parameter at run time
    model = Attempt
    fields = [
        *("retry", "number", "outcome", "step", "error_class", "message"),
        *("started_at", "seconds", "worker", "request_id"),
    ]
    readonly_fields = ["seconds"]


@admin.register(Job)
class JobAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = [
        *("id", "stage", "file_id", "state", "attempts", "retries", "due_at"),
        *("dead_at", "dead_step", "dead_error_class", "lease_holder", "updated_at"),
    ]
    list_filter = ["state", "stage", "dead_at", "dead_step", "dead_error_class"]
    search_fields = ["id", "file_id", "request_id", "last_error"]
    inlines = [AttemptInline]
    actions = ["retry_selected", "delete_selected_dead_letters"]

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("windlass_jobs.change_job")

    def has_dead_letter_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("windlass_jobs.delete_job")

    @admin.action(description="Retry selected dead letters", permissions=["retry"])
    def retry_selected(self, request: HttpRequest, selected: QuerySet[Job]) -> None:
        results = Counter(retry_dead_letters(selected.values_list("id", flat=True)).values())
        self._report(request, "queued again", results[RetryResult.QUEUED], results.total())

    @admin.action(description="Delete selected dead letters", permissions=["dead_letter"])
    def delete_selected_dead_letters(self, request: HttpRequest, selected: QuerySet[Job]) -> None:
        count = selected.count()
        self._report(request, "deleted", delete_dead_letters(selected), count)

    def _report(self, request: HttpRequest, change: str, changed: int, selected: int) -> None:
        others = f"; {selected - changed} of the selected jobs are no dead letters that can be" * (changed < selected)
        level = messages.SUCCESS if changed == selected else messages.WARNING
        self.message_user(request, f"{changed} {change}{others}.", level)


@admin.register(ProcessHeartbeat)
class ProcessHeartbeatAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["name", "role", "stages", "seen_at"]
    search_fields = ["name"]
