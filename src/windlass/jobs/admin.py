"""Jobs and their attempts in the Django admin, read-only: editing a row by hand would break its lease and epoch.

Dead letters can be retried and deleted by actions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from windlass.database.read_only_admin import ReadOnly
from windlass.database.record_admin import RecordAdmin
from windlass.jobs.dead_letters import RetryResult, dead_letters, delete_dead_letters, retry_dead_letters
from windlass.jobs.models import Attempt, Job, ProcessHeartbeat
from windlass.jobs.states import JobState


class AttemptInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]  # takes no parameter at run time
    model = Attempt
    fields = [
        *("retry", "number", "outcome", "step", "error_class", "message"),
        *("started_at", "seconds", "worker", "request_id"),
    ]
    readonly_fields = ["seconds"]


class _OfDeadLetters(admin.SimpleListFilter):
    """The values that dead letters have in a column, which an index finds; jobs that ended well are many more."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterator[tuple[str, str]]:
        column = str(self.parameter_name)
        values = dead_letters().order_by(column).values_list(column, flat=True).distinct()
        return ((value, value) for value in values if value)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() is None else queryset.filter(**{str(self.parameter_name): self.value()})


class DeadStepFilter(_OfDeadLetters):
    title, parameter_name = "step of dead letters", "dead_step"


class DeadErrorFilter(_OfDeadLetters):
    title, parameter_name = "error of dead letters", "dead_error_class"


@admin.register(Job)
class JobAdmin(ReadOnly, RecordAdmin):
    list_display = [
        *("id", "stage", "file_link", "state", "attempts", "retries", "due_at"),
        *("dead_at", "dead_step", "dead_error_class", "lease_holder", "updated_at"),
    ]
    list_filter = ["state", "stage", "dead_at", DeadStepFilter, DeadErrorFilter]
    id_fields = ("id", "file_id")
    recent_fields = ("request_id", "last_error")
    search_help_text = "The id of a job or a file, or a part of the error or the request of a dead letter."
    sortable_by = ["dead_at"]
    readonly_fields = ["file_link"]
    inlines = [AttemptInline]
    actions = ["retry_selected", "delete_selected_dead_letters"]

    def is_recent(self, rows: QuerySet[Any]) -> Q:
        """Errors are looked for in dead letters: jobs that ended well have none, and are many."""
        return Q(state=JobState.DEAD)

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
class ProcessHeartbeatAdmin(ReadOnly, RecordAdmin):
    list_display = ["name", "role", "stages", "seen_at"]
    search_fields = ["name"]
    id_fields = ()
