"""What every endpoint of the byte plane shares: who is asking, and how a refusal is said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from windlass.accounts import api as accounts
from windlass.database.outage import is_away, note
from windlass.kernel.errors import Problem, StorageFull, Unavailable
from windlass.kernel.principals import Principal
from windlass.kernel.room import is_out_of_room
from windlass.receiving.offload import in_database
from windlass.storage.contract import StoreError, StoreFull

Endpoint = Callable[[Request], Awaitable[Response]]

log = structlog.get_logger(__name__)


async def principal_of(request: Request) -> Principal:
    """Raises Unauthenticated or Forbidden."""
    scope = dict(request.scope)
    if not accounts.has_credential(scope):
        return accounts.of_scope(scope)
    return await in_database(accounts.of_scope, scope)


def problem_response(problem: Problem, request: Request) -> Response:
    return JSONResponse(
        problem.document(request.url.path, request.scope.get("windlass.request_id")),
        status_code=problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )


def endpoint(handler: Endpoint) -> Endpoint:
    """Problems become ``application/problem+json``; what nobody foresaw is logged and says nothing of our insides."""

    @wraps(handler)
    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001  the boundary of a request
            return problem_response(problem_of(error), request)

    return answered


def problem_of(error: Exception) -> Problem:
    """The problem that a client is told for any error."""
    match error:
        case Problem():
            return error
        case StoreFull():
            return StorageFull("The server has no room left for these bytes. What is stored stays readable.")
        case StoreError() if error.transient:
            return Unavailable("The store of file bytes does not answer.")
        case _ if is_out_of_room(error):
            log.warning("request.no_room", error=type(error).__name__)
            return StorageFull("The server has no room left to record this. What is stored stays readable.")
        case _ if is_away(error):
            note(error)
            return Unavailable("The database does not answer. Send the request again.")
        case _:
            log.exception("request.failed", error=type(error).__name__)
            return Problem("The request failed because of an error in the server; it has been logged.")
