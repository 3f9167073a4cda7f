"""The circuit breakers: their states, and closing one by hand. For staff."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router
from pydantic import Field

from windlass.executors import in_database
from windlass.http.callers import STAFF
from windlass.http.json_models import ReplyModel
from windlass.kernel.problem_types import NotFound
from windlass.processing import api as processing
from windlass.resilience.circuits import State

router = Router(tags=["Error handling"])


class BreakerOut(ReplyModel):
    name: str = Field(
        description="`scanner`, `storage` (the default store), `storage.NAME` (another store) or `webhook.HOST`."
    )
    state: State
    failure_count: int = Field(description="Failures in a row with which it opened; 0 while it is closed.")
    success_count: int = Field(description="Successful trials in a row while it is half open.")
    failure_threshold: int = Field(description="Failures in a row, in one process, that open it.")
    success_threshold: int = Field(description="Successful trials in a row that close it.")
    recovery_seconds: float = Field(description="How long it stays open before a trial.")
    opened_at: datetime | None = Field(description="When it last opened; null while it is closed.")
    retry_at: datetime | None = Field(description="When an open one admits a trial; else null.")


class BreakersOut(ReplyModel):
    circuit_breakers: dict[str, BreakerOut]


@router.get(
    "/circuit-breakers", auth=STAFF, response=BreakersOut, summary="All circuit breakers, by name; for staff only"
)
async def list_circuit_breakers(request: HttpRequest) -> HttpResponse:
    statuses = await in_database(processing.breaker_statuses)
    return JsonResponse({"circuit_breakers": {status.name: BreakerOut.of(status) for status in statuses}})


@router.get("/circuit-breakers/{name}", auth=STAFF, response=BreakerOut, summary="A circuit breaker; for staff only")
async def read_circuit_breaker(request: HttpRequest, name: str) -> HttpResponse:
    return await _answer(processing.breaker_status, name)


@router.post(
    "/circuit-breakers/{name}/reset",
    auth=STAFF,
    response=BreakerOut,
    summary="Close a circuit breaker in all processes, within a second; for staff only",
)
async def reset_circuit_breaker(request: HttpRequest, name: str) -> HttpResponse:
    return await _answer(processing.reset_breaker, name)


async def _answer(work: Callable[[str], processing.BreakerStatus], name: str) -> HttpResponse:
    try:
        status = await in_database(work, name)
    except processing.UnknownBreaker as error:
        raise NotFound(str(error)) from error
    return JsonResponse(BreakerOut.of(status))
