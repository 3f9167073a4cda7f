"""What staff watch: throughput, queues, owners, uploads in progress, and deliveries that failed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router, Schema
from pydantic import Field

from windlass.accounts import api as accounts
from windlass.events import api as events
from windlass.events.api import ThroughputWindow
from windlass.executors import in_database
from windlass.files import api as files
from windlass.http.json_models import ReplyModel, within
from windlass.http.rest.compression import compressed
from windlass.http.rest.credentials import STAFF
from windlass.http.rest.quota import QuotaOut
from windlass.http.rest.webhooks import DeliveryOut
from windlass.jobs import api as jobs
from windlass.kernel.clock import now

router = Router(tags=["Error handling"])

#: Rows of a table of the operations page.
MAX_ROWS = 100


class RowsQuery(Schema):
    limit: Annotated[int, Field(ge=1, le=MAX_ROWS), within(1, MAX_ROWS)] = 10


class ThroughputQuery(Schema):
    window: ThroughputWindow = ThroughputWindow.HOUR


class ThroughputPoint(ReplyModel):
    at: datetime = Field(description="When the step begins.")
    uploads: int = Field(description="Files that were received.")
    bytes: int = Field(description="Their bytes.")
    ready: int = Field(description="Files whose processing is done.")
    rejected: int = Field(description="Files that a rule refused, or in which malware was found.")
    failed: int = Field(description="Files whose processing failed.")


class ThroughputOut(ReplyModel):
    window: ThroughputWindow
    step_seconds: int
    points: list[ThroughputPoint] = Field(description="Every step, the oldest first; the last one has not ended.")


class QueueOut(ReplyModel):
    name: str = Field(description="A stage of processing, or `webhooks`.")
    queued: int
    running: int | None = Field(description="null for `webhooks`: those that are sent are among the queued ones.")
    dead: int = Field(description="Dead letters, or deliveries that failed for good.")
    oldest_age_seconds: float = Field(description="How long what is due for longest has waited.")


class QueuesOut(ReplyModel):
    queues: list[QueueOut]


class OwnerUsageOut(QuotaOut):
    name: str | None = Field(description="The user's name; null for an owner who is no user.")


class OwnersOut(ReplyModel):
    results: list[OwnerUsageOut] = Field(description="The largest first.")


class UnfinishedUploadOut(ReplyModel):
    upload_id: str
    owner: str
    filename: str
    dialect: str
    offset: int
    size: int | None = Field(description="null: not known yet.")
    is_receiving: bool = Field(description="Whether a request is sending to it now.")
    created_at: datetime
    updated_at: datetime
    expires_at: datetime


class UnfinishedUploadsOut(ReplyModel):
    total: int
    results: list[UnfinishedUploadOut] = Field(description="Those that received something last first.")


class FailedDeliveryOut(DeliveryOut):
    webhook_id: str
    url: str


class FailedDeliveriesOut(ReplyModel):
    total: int
    results: list[FailedDeliveryOut] = Field(description="The last first.")


@router.get(
    "/throughput",
    auth=STAFF,
    response=ThroughputOut,
    summary="Uploads and results of the last hour or day, step by step; for staff only",
)
async def read_throughput(request: HttpRequest, query: Query[ThroughputQuery]) -> HttpResponseBase:
    found = await in_database(events.throughput, query.window)
    points = [ThroughputPoint.of(figures, at=at) for at, figures in found.points.items()]
    document = {"window": query.window, "step_seconds": found.step_seconds, "points": points}
    return await compressed(request, JsonResponse(document))


@router.get("/queues", auth=STAFF, response=QueuesOut, summary="Depth and age of each queue; for staff only")
async def read_queues(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"queues": await in_database(_queues)})


@router.get("/owners", auth=STAFF, response=OwnersOut, summary="Who stores most, with their quotas; for staff only")
async def list_owners(request: HttpRequest, query: Query[RowsQuery]) -> HttpResponse:
    return JsonResponse({"results": await in_database(_owners, query.limit)})


@router.get(
    "/uploads",
    auth=STAFF,
    response=UnfinishedUploadsOut,
    summary="Uploads that are in progress, of all owners; for staff only",
)
async def list_unfinished_uploads(request: HttpRequest, query: Query[RowsQuery]) -> HttpResponse:
    return JsonResponse(await in_database(_uploads, query.limit))


@router.get(
    "/failed-deliveries",
    auth=STAFF,
    response=FailedDeliveriesOut,
    summary="Deliveries to webhooks of all owners that failed for good; for staff only",
)
async def list_failed_deliveries(request: HttpRequest, query: Query[RowsQuery]) -> HttpResponse:
    return JsonResponse(await in_database(_failed_deliveries, query.limit))


def _queues() -> list[dict[str, Any]]:
    statuses = jobs.stage_statuses(jobs.queue_statuses())
    stages = [QueueOut.of(status, name=stage.value) for stage, status in statuses.items()]
    webhooks = events.delivery_queue()
    return [*stages, QueueOut.of(webhooks, name="webhooks", running=None)]


def _owners(most: int) -> list[dict[str, Any]]:
    return [usage.document() | {"name": accounts.name_of_owner(usage.owner)} for usage in files.largest_owners(most)]


def _uploads(most: int) -> dict[str, Any]:
    found, moment = files.unfinished_uploads(), now()
    shown = [
        UnfinishedUploadOut.of(
            session,
            upload_id=str(session.id),
            is_receiving=session.lease_until is not None and session.lease_until > moment,
        )
        for session in found[:most]
    ]
    return {"total": found.count(), "results": shown}


def _failed_deliveries(most: int) -> dict[str, Any]:
    found = events.failed_deliveries()
    shown = [
        events.delivery_document(each) | {"webhook_id": str(each.endpoint_id), "url": each.endpoint.url}
        for each in found[:most]
    ]
    return {"total": found.count(), "results": shown}
