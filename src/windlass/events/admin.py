"""The event journal, the audit log, the circuit breakers, the service level, and webhooks with their deliveries in the
Django admin, read-only. A circuit breaker can be reset, and the service level pinned, by actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from windlass.database.connection import atomic
from windlass.database.read_only_admin import ReadOnly
from windlass.database.record_admin import KnownValuesFilter, RecordAdmin
from windlass.events.audit.models import AuditChain, AuditEntry, AuditIdentity, PendingAuditEntry
from windlass.events.circuit_breakers import reset_circuit
from windlass.events.level_reader import pin_service_level, release_service_level
from windlass.events.models import CircuitBreaker, Delivery, Event, ServiceLevelState, ThroughputMinute, WebhookEndpoint
from windlass.events.types import EventType
from windlass.events.webhooks.deliveries import NotReplayable, add_test_delivery, replay_delivery
from windlass.events.webhooks.endpoints import change_endpoint
from windlass.kernel.principals import CredentialKind
from windlass.resilience.service_level import ServiceLevel


@admin.register(Event)
class EventAdmin(ReadOnly, RecordAdmin):
    list_display = ["id", "type", "owner_link", "file_link", "upload_id", "at", "request_id"]
    list_filter = ["type", "at"]
    id_fields = ("file_id", "upload_id")
    exact_fields = ("owner",)
    search_help_text = "The id of a file or an upload, or an owner as a whole."
    sortable_by = ["id"]
    position_field = "id"


class CredentialFilter(KnownValuesFilter):
    title, parameter_name = "credential", "credential"

    def known_values(self) -> Iterable[str]:
        return (kind.value for kind in CredentialKind)


class EventTypeFilter(KnownValuesFilter):
    title, parameter_name = "event type", "event_type"

    def known_values(self) -> Iterable[str]:
        return EventType.values


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, RecordAdmin):
    list_display = ["sequence", "at", "action", "actor", "credential", "owner", "file_link", "subject", "request_id"]
    list_filter = ["action", CredentialFilter, "at"]
    list_select_related = ["actor", "owner"]
    id_fields = ("file_id", "upload_id")
    search_fields = ["subject", "request_id", "actor__name", "actor__address", "owner__name"]


@admin.register(PendingAuditEntry)
class PendingAuditEntryAdmin(ReadOnly, RecordAdmin):
    """Usually empty: the sweep moves them into the chain every few seconds."""

    list_display = ["id", "at", "action", "actor", "owner_link", "file_link"]
    id_fields = ("file_id", "upload_id")


@admin.register(AuditIdentity)
class AuditIdentityAdmin(ReadOnly, RecordAdmin):
    list_display = ["id", "name", "address", "erased_at"]
    search_fields = ["id", "name", "address"]
    id_fields = ()
    exclude = ["salt"]


@admin.register(AuditChain)
class AuditChainAdmin(ReadOnly, RecordAdmin):
    list_display = ["sequence", "hash", "base_sequence", "base_hash"]


@admin.register(ThroughputMinute)
class ThroughputMinuteAdmin(ReadOnly, RecordAdmin):
    list_display = ["minute", "uploads", "bytes", "ready", "rejected", "failed"]


@admin.register(CircuitBreaker)
class CircuitBreakerAdmin(ReadOnly, RecordAdmin):
    """A breaker that never opened has no row."""

    list_display = ["name", "state", "failures", "successes", "opened_at", "trial_holder", "updated_at"]
    list_filter = ["state"]
    actions = ["reset"]

    def has_reset_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("windlass_events.change_circuitbreaker")

    @admin.action(description="Reset: close the selected circuit breakers", permissions=["reset"])
    def reset(self, request: HttpRequest, selected: QuerySet[CircuitBreaker]) -> None:
        names = [row.name for row in selected]
        for name in names:
            reset_circuit(name)
        self.message_user(request, f"Closed: {', '.join(names)}. All processes follow within a second.")


@admin.register(ServiceLevelState)
class ServiceLevelAdmin(ReadOnly, RecordAdmin):
    """The one row is there once a scheduler or web process has evaluated the level."""

    list_display = ["level", "pinned_level", "reason", "since", "evaluated_at"]
    actions = ["pin_full", "pin_degraded", "pin_basic", "pin_maintenance", "follow_components"]

    def has_pin_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("windlass_events.change_servicelevelstate")

    @admin.action(description="Pin the level full", permissions=["pin"])
    def pin_full(self, request: HttpRequest, _: QuerySet[ServiceLevelState]) -> None:
        self._pin(request, ServiceLevel.FULL)

    @admin.action(description="Pin the level degraded: steps that take long are owed", permissions=["pin"])
    def pin_degraded(self, request: HttpRequest, _: QuerySet[ServiceLevelState]) -> None:
        self._pin(request, ServiceLevel.DEGRADED)

    @admin.action(description="Pin the level basic: all derived files are owed", permissions=["pin"])
    def pin_basic(self, request: HttpRequest, _: QuerySet[ServiceLevelState]) -> None:
        self._pin(request, ServiceLevel.BASIC)

    @admin.action(description="Pin the level maintenance: new uploads are refused", permissions=["pin"])
    def pin_maintenance(self, request: HttpRequest, _: QuerySet[ServiceLevelState]) -> None:
        self._pin(request, ServiceLevel.MAINTENANCE)

    @admin.action(description="Let the level follow the components", permissions=["pin"])
    def follow_components(self, request: HttpRequest, _: QuerySet[ServiceLevelState]) -> None:
        status = release_service_level()
        self.message_user(request, f"The service level is {status.level}. {status.reason}")

    def _pin(self, request: HttpRequest, level: ServiceLevel) -> None:
        status = pin_service_level(level, "", request.user.get_username())
        self.message_user(request, f"The service level is {status.level}. {status.reason}")


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnly, RecordAdmin):
    """Without the secrets: they are shown to the owner once."""

    list_display = ["id", "owner_link", "url", "enabled", "disabled_reason", "created_at"]
    list_filter = ["enabled", "all_owners"]
    search_fields = ["owner", "url"]
    exclude = ["secret", "old_secret"]
    actions = ["enable_selected", "disable_selected", "test_selected"]

    def has_change_webhook_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("windlass_events.change_webhookendpoint")

    @admin.action(
        description="Enable selected webhooks: they get the events from now on", permissions=["change_webhook"]
    )
    def enable_selected(self, request: HttpRequest, selected: QuerySet[WebhookEndpoint]) -> None:
        self._switch(request, selected.filter(enabled=False), enabled=True)

    @admin.action(description="Disable selected webhooks: nothing more is sent", permissions=["change_webhook"])
    def disable_selected(self, request: HttpRequest, selected: QuerySet[WebhookEndpoint]) -> None:
        self._switch(request, selected.filter(enabled=True), enabled=False)

    @admin.action(description="Send a test event to selected webhooks", permissions=["change_webhook"])
    def test_selected(self, request: HttpRequest, selected: QuerySet[WebhookEndpoint]) -> None:
        _send(self, request, selected, add_test_delivery)

    def _switch(self, request: HttpRequest, selected: QuerySet[WebhookEndpoint], *, enabled: bool) -> None:
        endpoints = list(selected)
        for endpoint in endpoints:
            with atomic():
                change_endpoint(endpoint, enabled=enabled)
        self.message_user(request, f"Webhooks {'enabled' if enabled else 'disabled'}: {len(endpoints)}.")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly, RecordAdmin):
    list_display = [
        *("id", "endpoint", "event_id", "event_type", "file_link", "state", "attempts"),
        *("due_at", "created_at", "finished_at"),
    ]
    list_filter = ["state", EventTypeFilter, "created_at"]
    list_select_related = ["endpoint"]
    id_fields = ("id", "endpoint_id", "file_id", "upload_id")
    search_fields = ["endpoint__url"]
    actions = ["replay_selected"]

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("windlass_events.change_delivery")

    @admin.action(description="Send selected deliveries again", permissions=["replay"])
    def replay_selected(self, request: HttpRequest, selected: QuerySet[Delivery]) -> None:
        _send(self, request, selected.select_related("endpoint"), replay_delivery)


def _send(page: RecordAdmin, request: HttpRequest, selected: QuerySet[Any], send: Callable[[Any], object]) -> None:
    """The scheduler sends what ``send`` records, within a second."""
    sent = 0
    for row in selected:
        try:
            send(row)
        except NotReplayable as error:
            page.message_user(request, f"{row}: {error}", messages.ERROR)
        else:
            sent += 1
    page.message_user(request, f"Deliveries that are sent now: {sent}.")
