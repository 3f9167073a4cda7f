"""The circuit breakers: their states, and closing one by hand. For staff."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router

from windlass.executors import in_database
from windlass.http.health_models import BreakerOut
from windlass.http.json_models import ReplyModel
from windlass.http.rest.credentials import STAFF
from windlass.kernel.problem_types import NotFound
from windlass.processing import api as processing

router = Router(tags=["Error handling"])


class BreakersOut(ReplyModel):
    circuit_breakers: dict[str, BreakerOut]


@router.get(
    "/circuit-breakers", auth=STAFF, response=BreakersOut, summary="All circuit breakers, by name; for staff only"
)
async def list_circuit_breakers(request: HttpRequest) -> HttpResponse:
    statuses = await in_database(processing.all_breaker_statuses)
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
