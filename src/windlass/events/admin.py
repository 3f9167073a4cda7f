"""The event journal, the audit log, the circuit breakers, the service level, and webhooks with their deliveries in the
Django admin, read-only. A circuit breaker can be reset, and the service level pinned, by actions."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from windlass.database.read_only_admin import ReadOnly
from windlass.events.audit.models import AuditChain, AuditEntry, AuditIdentity, PendingAuditEntry
from windlass.events.circuit_breakers import reset_circuit
from windlass.events.level_reader import pin_service_level, release_service_level
from windlass.events.models import CircuitBreaker, Delivery, Event, ServiceLevelState, ThroughputMinute, WebhookEndpoint
from windlass.resilience.service_level import ServiceLevel


@admin.register(Event)
class EventAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["id", "type", "owner", "file_id", "upload_id", "at"]
    list_filter = ["type", "at"]
    search_fields = ["file_id", "upload_id", "owner"]


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["sequence", "at", "action", "actor", "credential", "owner", "file_id", "subject", "request_id"]
    list_filter = ["action", "credential", "at"]
    list_select_related = ["actor", "owner"]
    search_fields = ["file_id", "upload_id", "subject", "request_id", "actor__name", "actor__address", "owner__name"]


@admin.register(PendingAuditEntry)
class PendingAuditEntryAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    """Usually empty: the sweep moves them into the chain every few seconds."""

    list_display = ["id", "at", "action", "actor", "owner", "file_id"]


@admin.register(AuditIdentity)
class AuditIdentityAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["id", "name", "address", "erased_at"]
    search_fields = ["id", "name", "address"]
    exclude = ["salt"]


@admin.register(AuditChain)
class AuditChainAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["sequence", "hash", "base_sequence", "base_hash"]


@admin.register(ThroughputMinute)
class ThroughputMinuteAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["minute", "uploads", "bytes", "ready", "rejected", "failed"]


@admin.register(CircuitBreaker)
class CircuitBreakerAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
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
class ServiceLevelAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
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
class WebhookEndpointAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    """Without the secrets: they are shown to the owner once."""

    list_display = ["id", "owner", "url", "enabled", "disabled_reason", "created_at"]
    list_filter = ["enabled"]
    search_fields = ["id", "owner", "url"]
    exclude = ["secret", "old_secret"]


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["id", "endpoint", "event_id", "event_type", "state", "attempts", "created_at", "finished_at"]
    list_filter = ["state", "event_type"]
    list_select_related = ["endpoint"]
    search_fields = ["id", "endpoint__id", "file_id", "upload_id"]
