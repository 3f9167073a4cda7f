"""Liveness and readiness of this process. Public: reports what is wrong, without addresses and paths."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from windlass.operations.component_checks import CheckResult, CheckState, check_components

#: Retry-After of a server that is not ready (seconds).
RETRY_SECONDS = 5


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


def is_ready(results: Iterable[CheckResult]) -> bool:
    """Whether no component has failed without which uploads cannot be taken."""
    return not any(result.required and result.state is CheckState.FAILED for result in results)


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
