"""Liveness and readiness of this process, and the health of the installation for staff.

Texts tell what is wrong, without addresses and paths.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import structlog
from django.db import DatabaseError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from windlass.events import api as events
from windlass.executors import in_database
from windlass.jobs import api as jobs
from windlass.kernel.clock import rfc3339
from windlass.operations.checks.check import DEADLINE_SECONDS
from windlass.operations.component_checks import CheckResult, CheckState, check_components
from windlass.processing import api as processing

#: Retry-After of a server that is not ready (seconds).
RETRY_SECONDS = 5

log = structlog.get_logger(__name__)


async def livez(request: Request) -> Response:
    """Does no I/O: a process that answers need not be restarted."""
    return _reply({"status": "ok", "checks": {}})


async def readyz(request: Request) -> Response:
    return _reply(await readiness())


async def readiness() -> dict[str, Any]:
    """``{"status": "ok"|"failed", "checks": {name: {"status", "detail", "latency_ms", "limit", "required"}}}``."""
    results = await check_components()
    status = "ok" if is_ready(results.values()) else "failed"
    return {"status": status, "checks": {name: _check_document(result) for name, result in results.items()}}


async def health(request: Request) -> Response:
    """200 also if a component failed: this is a report, and needs no database."""
    return JSONResponse(await health_document(), headers={"Cache-Control": "no-store"})


async def health_document() -> dict[str, Any]:
    """The members of ``http.health_models.HealthOut``."""
    results = await check_components()
    records = await _records() if results["database"].state is CheckState.OK else None
    level, breakers, jobs_document = records or (events.service_level(), processing.local_breaker_statuses(), None)
    return {
        "status": _status(results.values()),
        "service_level": str(level.level),
        "available_features": processing.available_features(level),
        "components": {name: _component_document(result) for name, result in results.items()},
        "circuit_breakers": {each.name: _breaker_document(each) for each in breakers},
        "jobs": jobs_document,
    }


def is_ready(results: Iterable[CheckResult]) -> bool:
    """Whether no component has failed without which uploads cannot be taken."""
    return not any(result.required and result.state is CheckState.FAILED for result in results)


def _status(results: Iterable[CheckResult]) -> str:
    known = list(results)
    if not is_ready(known):
        return "failed"
    return "impaired" if any(each.state in _NOT_WELL for each in known) else "ok"


_NOT_WELL = (CheckState.FAILED, CheckState.IMPAIRED)


_Records = tuple[events.LevelStatus, list[processing.BreakerStatus], dict[str, Any]]


async def _records() -> _Records | None:
    """Read the service level and the breakers, and count the jobs; None if the database went away."""

    def read() -> _Records:
        return events.read_level(), processing.breaker_statuses(), asdict(jobs.queue_status())

    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await in_database(read)
    except (DatabaseError, TimeoutError) as error:
        log.warning("health.records_not_read", error=" ".join(str(error).split()))
        return None


def _component_document(result: CheckResult) -> dict[str, Any]:
    return {"state": result.state, "detail": result.detail, "latency_ms": result.latency_ms}


def _breaker_document(status: processing.BreakerStatus) -> dict[str, Any]:
    times = {"opened_at": rfc3339(status.opened_at), "retry_at": rfc3339(status.retry_at)}
    return {**asdict(status), **times}


def _check_document(result: CheckResult) -> dict[str, Any]:
    return {
        "status": result.state,
        "detail": result.detail,
        "latency_ms": result.latency_ms,
        "limit": result.limit,
        "required": result.required,
    }


def _reply(body: dict[str, Any]) -> Response:
    ok, headers = body["status"] == "ok", {"Cache-Control": "no-store"}
    return JSONResponse(body, 200 if ok else 503, headers if ok else headers | {"Retry-After": str(RETRY_SECONDS)})
