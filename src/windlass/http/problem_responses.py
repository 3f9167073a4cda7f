"""Turn errors into RFC 9457 problem documents on the byte plane."""

from __future__ import annotations

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from windlass.database.outage import is_outage, log_outage
from windlass.kernel.disk_full import is_disk_full
from windlass.kernel.problem_types import BadRequest, Problem, StorageFull, Unavailable
from windlass.receiving.body import ClientGone
from windlass.storage.contract import StoreError, StoreFull, StoreMisconfigured

log = structlog.get_logger(__name__)


def problem_response(problem: Problem, request: Request) -> Response:
    return JSONResponse(
        problem.document(request.url.path, request.scope.get("windlass.request_id")),
        status_code=problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )


def problem_of(error: Exception) -> Problem:
    """Map any error to the problem that the client is sent. An unforeseen error is logged and its text kept back."""
    match error:
        case Problem():
            return error
        case ClientGone() | ClientDisconnect():  # counted by the server protocol; nobody reads the reply
            return BadRequest("The client closed the connection before its request was complete.")
        case StoreFull():
            return StorageFull("The server has no room left for these bytes. What is stored stays readable.")
        case StoreMisconfigured():
            log.error("store.misconfigured", reason=str(error))
            return Unavailable(str(error))
        case StoreError() if error.transient:
            return Unavailable("The store of file bytes does not answer. Send the request again.")
        case _ if is_disk_full(error):
            log.warning("request.disk_full", error=type(error).__name__)
            return StorageFull("The server has no room left to record this. What is stored stays readable.")
        case _ if is_outage(error):
            log_outage(error)
            return Unavailable("The database does not answer. Send the request again.")
        case _:
            log.exception("request.failed", error=type(error).__name__)
            return Problem("The request failed because of an error in the server; it has been logged.")
