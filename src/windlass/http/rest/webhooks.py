"""Webhooks: URLs that an owner's events are sent to, and what was sent to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Query, Router, Schema
from pydantic import AwareDatetime, Field, StrictBool

from windlass import conf
from windlass.accounts import api as accounts
from windlass.events import api as events
from windlass.events.api import Delivery, DeliveryState, WebhookEndpoint
from windlass.executors import in_database, in_look_up_thread, in_transaction
from windlass.http.callers import caller
from windlass.http.json_models import ReplyModel, within
from windlass.http.rest import cursors
from windlass.http.rest.call_rates import limited_as
from windlass.http.rest.credentials import OWNER
from windlass.http.rest.file_list import MAX_LIMIT
from windlass.http.rest.keyed_calls import in_recorded_transaction, takes_idempotency_key
from windlass.kernel import urls
from windlass.kernel.clock import now
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import Conflict, Forbidden, InvalidField, NotFound
from windlass.resilience.rate_limits.policies import RateClass

router = Router(tags=["Webhooks"])

#: Seconds within which a name server must know the host of a URL.
LOOK_UP_SECONDS = 5.0

_URL = Field(description="Where events are sent: https, and a host whose addresses are public.")
_TYPES = Field(description="Event types, such as `file.ready`; docs/reference/events.md lists them.")


class WebhookIn(Schema):
    url: str = _URL
    types: list[str] = _TYPES
    all_owners: StrictBool = Field(False, description="Send the events of every owner whose files the caller may read.")


class WebhookChange(Schema):
    url: str | None = Field(None, description="Another URL.")
    types: list[str] | None = Field(None, description="Other event types, instead of those before.")
    enabled: StrictBool | None = Field(
        None, description="False: send nothing, and cancel what is pending. True: send the events from now on."
    )


class WebhookOut(ReplyModel):
    id: str
    owner: str
    url: str
    types: list[str]
    all_owners: bool
    enabled: bool
    disabled_reason: str | None
    created_at: datetime
    updated_at: datetime


class WebhookSecretOut(WebhookOut):
    secret: str = Field(description="Verifies the signatures. Shown in this reply only.")
    old_secret_until: datetime | None = Field(description="Until then the previous secret signs as well.")


class WebhookList(ReplyModel):
    results: list[WebhookOut]
    next: str | None = Field(description="Path and query of the next page; null on the last.")


class AttemptOut(ReplyModel):
    at: datetime
    seconds: float
    status: int | None = Field(description="Of the reply; null where none came.")
    reply_head: str = Field(description="The header fields of the reply, at most 1 KiB.")
    error: str = Field(description="Why it failed; empty if the receiver accepted it.")


class DeliveryOut(ReplyModel):
    id: str = Field(description="The `webhook-id` of every attempt.")
    event_id: int | None = Field(description="The event's id; null for a test.")
    type: str
    file_id: str | None
    upload_id: str | None
    state: DeliveryState
    attempts: list[AttemptOut] = Field(description="The last attempts, the oldest first.")
    due_at: datetime | None = Field(description="When a pending one is tried next; else null.")
    created_at: datetime
    finished_at: datetime | None


class DeliveryList(ReplyModel):
    results: list[DeliveryOut]
    next: str | None = Field(description="Path and query of the next page; null on the last.")


class ReplayIn(Schema):
    since: AwareDatetime = Field(description="Events since then are sent again, also those that were never sent.")


class ReplayOut(ReplyModel):
    first_event_id: int = Field(description="The events from this one on are sent again.")


class PageQuery(Schema):
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), within(1, MAX_LIMIT)] = 50
    cursor: str | None = Field(None, description="From `next` of the previous page.")


class DeliveryQuery(PageQuery):
    state: DeliveryState | None = None


@router.post("", auth=OWNER, response={201: WebhookSecretOut}, summary="Create a webhook; its secret is shown once")
@takes_idempotency_key
@limited_as(RateClass.CREATE)
async def create_webhook(request: HttpRequest, wanted: WebhookIn) -> HttpResponse:
    principal = caller(request)
    types = _checked_types(wanted.types)
    await in_database(_require_may_follow, principal.owner, types, wanted.all_owners, principal)
    await _check_url(wanted.url)
    create = partial(events.create_endpoint, principal.owner, wanted.url, types, all_owners=wanted.all_owners)
    try:
        return await in_recorded_transaction(request, lambda: JsonResponse(_with_secret(create()), status=201))
    except events.TooManyEndpoints as refused:
        raise Conflict(str(refused), limit=refused.limit) from refused


@router.get("", auth=OWNER, response=WebhookList, summary="List the caller's webhooks, newest first; for staff all")
async def list_webhooks(request: HttpRequest, query: Query[PageQuery]) -> HttpResponse:
    return JsonResponse(await in_database(_endpoint_page, query, caller(request)))


@router.get("/{webhook_id}", auth=OWNER, response=WebhookOut, summary="A webhook")
async def read_webhook(request: HttpRequest, webhook_id: str) -> HttpResponse:
    endpoint = await in_database(_find_endpoint, webhook_id, caller(request))
    return JsonResponse(_shown(endpoint))


@router.patch("/{webhook_id}", auth=OWNER, response=WebhookOut, summary="Change, disable or enable a webhook")
async def change_webhook(request: HttpRequest, webhook_id: str, wanted: WebhookChange) -> HttpResponse:
    principal = caller(request)
    found = await in_database(_find_endpoint, webhook_id, principal)
    types = None if wanted.types is None else _checked_types(wanted.types)
    if types is not None:
        await in_database(_require_may_follow, found.owner, types, found.all_owners, principal)
    if wanted.url is not None:
        await _check_url(wanted.url)

    def change() -> WebhookEndpoint:
        endpoint = _find_endpoint(webhook_id, principal)
        return events.change_endpoint(endpoint, url=wanted.url, types=types, enabled=wanted.enabled)

    return JsonResponse(_shown(await in_transaction(change)))


@router.delete("/{webhook_id}", auth=OWNER, response={204: None}, summary="Delete a webhook and its deliveries")
async def delete_webhook(request: HttpRequest, webhook_id: str) -> HttpResponse:
    principal = caller(request)
    await in_transaction(lambda: events.delete_endpoint(_find_endpoint(webhook_id, principal)))
    return HttpResponse(status=204)


@router.post(
    "/{webhook_id}/rotate-secret",
    auth=OWNER,
    response=WebhookSecretOut,
    summary="Make a new secret; for a while the one before signs as well",
)
@takes_idempotency_key
async def rotate_webhook_secret(request: HttpRequest, webhook_id: str) -> HttpResponse:
    principal = caller(request)

    def rotate() -> HttpResponse:
        return JsonResponse(_with_secret(events.rotate_secret(_find_endpoint(webhook_id, principal))))

    return await in_recorded_transaction(request, rotate)


@router.post("/{webhook_id}/test", auth=OWNER, response={202: DeliveryOut}, summary="Send a test event, `webhook.test`")
@takes_idempotency_key
@limited_as(RateClass.CREATE)
async def test_webhook(request: HttpRequest, webhook_id: str) -> HttpResponse:
    principal = caller(request)
    return await _sent_again(request, lambda: events.add_test_delivery(_find_endpoint(webhook_id, principal)))


@router.get(
    "/{webhook_id}/deliveries",
    auth=OWNER,
    response=DeliveryList,
    summary="Deliveries of a webhook with their last attempts, newest first",
)
async def list_deliveries(request: HttpRequest, webhook_id: str, query: Query[DeliveryQuery]) -> HttpResponse:
    return JsonResponse(await in_database(_delivery_page, webhook_id, query, caller(request)))


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay",
    auth=OWNER,
    response={202: DeliveryOut},
    summary="Send a delivery again, with the same id",
)
@takes_idempotency_key
async def replay_delivery(request: HttpRequest, webhook_id: str, delivery_id: str) -> HttpResponse:
    principal = caller(request)
    return await _sent_again(
        request, lambda: events.replay_delivery(_find_delivery(webhook_id, delivery_id, principal))
    )


@router.post(
    "/{webhook_id}/replay",
    auth=OWNER,
    response={202: ReplayOut},
    summary="Send all events since a time again, with the same ids",
)
@takes_idempotency_key
async def replay_webhook(request: HttpRequest, webhook_id: str, wanted: ReplayIn) -> HttpResponse:
    principal = caller(request)
    if wanted.since > now():
        raise InvalidField("since must not be in the future.", field="since")

    def replay() -> HttpResponse:
        first = events.replay_since(_find_endpoint(webhook_id, principal), wanted.since)
        return JsonResponse({"first_event_id": first}, status=202)

    try:
        return await in_recorded_transaction(request, replay)
    except events.NotReplayable as refused:
        raise Conflict(str(refused)) from refused


async def _sent_again(request: HttpRequest, work: Callable[[], Delivery]) -> HttpResponse:
    try:
        return await in_recorded_transaction(
            request, lambda: JsonResponse(events.delivery_document(work()), status=202)
        )
    except events.NotReplayable as refused:
        raise Conflict(str(refused)) from refused


async def _check_url(url: str) -> None:
    """Raises InvalidField."""
    try:
        async with asyncio.timeout(LOOK_UP_SECONDS):
            await in_look_up_thread(events.check_target, url, conf.get().webhook_allowed_networks)
    except events.TargetRefused as refused:
        raise InvalidField(str(refused), field="url") from refused
    except TimeoutError:
        raise InvalidField(
            "The host of the URL cannot be found: the name server does not answer.", field="url"
        ) from None


def _checked_types(names: Sequence[str]) -> list[str]:
    """Raises InvalidField."""
    try:
        return events.checked_types(names)
    except events.TypesRefused as refused:
        raise InvalidField(str(refused), field="types") from refused


def _require_may_follow(owner: str, types: Sequence[str], all_owners: bool, principal: Principal) -> None:
    """Raises Forbidden if a webhook of this owner, made or changed by the caller, could not receive these events."""
    try:
        accounts.require_may_follow(owner, types, all_owners=all_owners, as_staff=principal.staff)
    except accounts.MayNotFollow as refused:
        raise Forbidden(str(refused)) from refused


def _find_endpoint(webhook_id: str, principal: Principal) -> WebhookEndpoint:
    """Raises NotFound, also for a webhook of another owner."""
    parsed = parse_id(webhook_id)
    found = events.visible_endpoints(principal).filter(id=parsed).first() if parsed else None
    if found is None:
        raise NotFound(f"There is no webhook {webhook_id}.")
    return found


def _find_delivery(webhook_id: str, delivery_id: str, principal: Principal) -> Delivery:
    """Raises NotFound."""
    endpoint, parsed = _find_endpoint(webhook_id, principal), parse_id(delivery_id)
    found = Delivery.objects.filter(endpoint=endpoint, id=parsed).first() if parsed else None
    if found is None:
        raise NotFound(f"There is no delivery {delivery_id} of this webhook.")
    return found


def _endpoint_page(query: PageQuery, principal: Principal) -> dict[str, Any]:
    page, following = _page(events.visible_endpoints(principal), query)
    return {"results": [_shown(each) for each in page], "next": _next("/api/v1/webhooks/", query, following)}


def _delivery_page(webhook_id: str, query: DeliveryQuery, principal: Principal) -> dict[str, Any]:
    endpoint = _find_endpoint(webhook_id, principal)
    selected = Delivery.objects.filter(endpoint=endpoint)
    if query.state:
        selected = selected.filter(state=query.state)
    page, following = _page(selected, query)
    path = f"/api/v1/webhooks/{endpoint.id}/deliveries/"
    return {"results": [events.delivery_document(each) for each in page], "next": _next(path, query, following)}


def _page(rows: QuerySet[Any], query: PageQuery) -> tuple[list[Any], str | None]:
    """The rows of one page, newest first, and the cursor of the next one; None on the last."""
    if query.cursor:
        moment, row_id = cursors.decode(query.cursor)
        rows = rows.filter(created_at__lte=moment).filter(Q(created_at__lt=moment) | Q(id__lt=row_id))
    found = list(rows.order_by("-created_at", "-id")[: query.limit + 1])
    shown = found[: query.limit]
    more = len(found) > query.limit
    return shown, cursors.encode(shown[-1].created_at, shown[-1].id) if more else None


def _next(path: str, query: PageQuery, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    parameters = query.model_dump(mode="json", exclude_none=True, exclude={"cursor"})
    return urls.path(f"{path}?{urlencode(parameters | {'cursor': cursor})}")


def _shown(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return WebhookOut.of(endpoint, disabled_reason=endpoint.disabled_reason or None)


def _with_secret(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return WebhookSecretOut.of(endpoint, disabled_reason=endpoint.disabled_reason or None)
