"""Create, find, change and delete webhook endpoints. URLs and types have been checked (``targets``, ``subscriptions``).

Every function that changes something is called in a transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from windlass import conf
from windlass.database.connection import lock_name
from windlass.events.audit.actions import AuditAction
from windlass.events.audit.recording import record_action
from windlass.events.models import CircuitBreaker, Event
from windlass.events.webhooks.deliveries import cancel_pending
from windlass.events.webhooks.models import WebhookEndpoint
from windlass.events.webhooks.signatures import new_secret
from windlass.events.webhooks.targets import BREAKER_PREFIX, parse_target
from windlass.kernel.clock import now
from windlass.kernel.principals import Principal

#: The namespace of the locks under which the endpoints of an owner are counted: "WHCK" in ASCII.
LOCK = 0x5748434B
DISABLED_BY_OWNER = "It was disabled by its owner."


class TooManyEndpoints(Exception):
    """The owner has as many endpoints as are allowed: ``limit``."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"An owner may have at most {limit} webhooks. Delete one first.")
        self.limit = limit


def visible_endpoints(principal: Principal) -> QuerySet[WebhookEndpoint]:
    """The endpoints that the caller may see and change: the caller's own; for staff all."""
    everyone = WebhookEndpoint.objects.all()
    return everyone if principal.staff else everyone.filter(owner=principal.owner)


def create_endpoint(owner: str, url: str, types: Sequence[str], *, all_owners: bool = False) -> WebhookEndpoint:
    """Create an endpoint for the events from now on. Raises TooManyEndpoints."""
    limit = conf.get().webhook_max_endpoints
    lock_name(LOCK, owner)  # no other transaction counts this owner's endpoints before this one has ended
    if WebhookEndpoint.objects.filter(owner=owner).count() >= limit:
        raise TooManyEndpoints(limit)
    moment = now()
    endpoint = WebhookEndpoint.objects.create(
        owner=owner,
        url=url,
        types=list(types),
        all_owners=all_owners,
        cursor=_last_event_id(),
        secret=new_secret(),
        created_at=moment,
        updated_at=moment,
    )
    _record(AuditAction.WEBHOOK_CREATED, endpoint)
    return endpoint


def delete_endpoint(endpoint: WebhookEndpoint) -> None:
    """Delete it and the record of its deliveries."""
    _record(AuditAction.WEBHOOK_DELETED, endpoint)
    endpoint.delete()


def change_endpoint(
    endpoint: WebhookEndpoint,
    *,
    url: str | None = None,
    types: Sequence[str] | None = None,
    enabled: bool | None = None,
) -> WebhookEndpoint:
    """Change what is given. An endpoint that is enabled again receives the events from now on."""
    values: dict[str, Any] = {"updated_at": now()}
    if url is not None:
        values["url"] = url
    if types is not None:
        values["types"] = list(types)
    if enabled and not endpoint.enabled:
        values |= {"enabled": True, "disabled_reason": "", "cursor": _last_event_id()}
    WebhookEndpoint.objects.filter(id=endpoint.id).update(**values)
    if enabled is False and endpoint.enabled:
        disable_endpoint(endpoint.id, DISABLED_BY_OWNER)
    _record(AuditAction.WEBHOOK_CHANGED, endpoint)
    endpoint.refresh_from_db()
    return endpoint


def disable_endpoint(endpoint_id: uuid.UUID, reason: str) -> bool:
    """Send it nothing more: what was not delivered is cancelled. Returns whether it was enabled."""
    disabled = WebhookEndpoint.objects.filter(id=endpoint_id, enabled=True).update(
        enabled=False, disabled_reason=reason, updated_at=now()
    )
    if disabled:
        cancel_pending(endpoint_id)
    return bool(disabled)


def rotate_secret(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    """Give it a new secret. The one before signs too, for WEBHOOK_SECRET_OVERLAP_HOURS."""
    moment = now()
    WebhookEndpoint.objects.filter(id=endpoint.id).update(
        secret=new_secret(),
        old_secret=endpoint.secret,
        old_secret_until=moment + timedelta(hours=conf.get().webhook_secret_overlap_hours),
        updated_at=moment,
    )
    _record(AuditAction.WEBHOOK_SECRET_ROTATED, endpoint)
    endpoint.refresh_from_db()
    return endpoint


def active_secrets(endpoint: WebhookEndpoint) -> list[str]:
    """The secrets that sign now, the newest first."""
    is_overlapping = endpoint.old_secret_until is not None and endpoint.old_secret_until > now()
    return [endpoint.secret, *([endpoint.old_secret] if is_overlapping else [])]


def webhook_breaker_names() -> list[str]:
    """The names of the circuit breakers of the targets of all endpoints."""
    urls = WebhookEndpoint.objects.order_by("created_at").values_list("url", flat=True)
    return list(dict.fromkeys(parse_target(url).breaker_name for url in urls))


def delete_unused_breakers() -> int:
    """Delete the circuit breakers of targets that no endpoint has any more; return how many."""
    rows = CircuitBreaker.objects.filter(name__startswith=BREAKER_PREFIX)
    deleted, _ = rows.exclude(name__in=webhook_breaker_names()).delete() if rows.exists() else (0, {})
    return deleted


def _record(action: AuditAction, endpoint: WebhookEndpoint) -> None:
    record_action(action, owner=endpoint.owner, subject=str(endpoint.id))


def _last_event_id() -> int:
    return Event.objects.order_by("-id").values_list("id", flat=True).first() or 0
