"""What every endpoint of the byte plane shares: who may call it, and how a refusal is said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import wraps
from typing import Any

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from windlass.accounts import api as accounts
from windlass.accounts.api import Access
from windlass.database.outage import is_outage, log_outage
from windlass.executors import in_database
from windlass.http import query_parameters
from windlass.kernel.disk_full import is_disk_full
from windlass.kernel.errors import BadRequest, Problem, StorageFull, Unavailable
from windlass.kernel.principals import CredentialKind, Principal
from windlass.receiving.body import ClientGone
from windlass.storage.contract import StoreError, StoreFull, StoreMisconfigured

Endpoint = Callable[[Request], Awaitable[Response]]

#: The key of an ASGI scope under which ``admit`` keeps the caller.
PRINCIPAL = "windlass.principal"

log = structlog.get_logger(__name__)


async def admit(scope: MutableMapping[str, Any], access: Access) -> Principal:
    """Prove the caller's credential before anything else of the request is looked at, and keep who it is.

    Raises Unauthenticated, Forbidden, GrantUsed, NotFound.
    """
    if accounts.needs_no_database(scope, access):
        principal = accounts.authenticate_scope(scope, access)
    else:
        principal = await in_database(accounts.authenticate_scope, dict(scope), access)
    scope[PRINCIPAL] = principal
    return principal


def principal_of(request: Request) -> Principal:
    """The caller whom ``admit`` let in."""
    principal = request.scope[PRINCIPAL]
    assert isinstance(principal, Principal)
    return principal


def problem_response(problem: Problem, request: Request) -> Response:
    return JSONResponse(
        problem.document(request.url.path, request.scope.get("windlass.request_id")),
        status_code=problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )


def endpoint(handler: Endpoint, access: Access) -> Endpoint:
    """``handler`` for callers whom ``access`` lets in. Their credential comes first, then the names in the query.

    Problems become ``application/problem+json``; any other error is logged and tells nothing of the server's insides.
    """

    @wraps(handler)
    async def answered(request: Request) -> Response:
        try:
            principal = await admit(request.scope, access)
            signed = principal.credential is CredentialKind.SIGNED_URL
            query_parameters.check(request.scope, access, own_names=signed)
            return await handler(request)
        except Exception as error:  # noqa: BLE001  the boundary of a request
            return problem_response(problem_of(error), request)

    return accounts.declare_access(answered, access)


def problem_of(error: Exception) -> Problem:
    """The problem that a client is told for any error."""
    match error:
        case Problem():
            return error
        case ClientGone() | ClientDisconnect():  # its connection counts it (server_protocol); nobody reads the reply
            return BadRequest("The client closed the connection before its request was whole.")
        case StoreFull():
            return StorageFull("The server has no room left for these bytes. What is stored stays readable.")
        case StoreMisconfigured():
            log.error("store.misconfigured", reason=str(error))
            return Unavailable(str(error))
        case StoreError() if error.transient:
            return Unavailable("The store of file bytes does not answer.")
        case _ if is_disk_full(error):
            log.warning("request.no_room", error=type(error).__name__)
            return StorageFull("The server has no room left to record this. What is stored stays readable.")
        case _ if is_outage(error):
            log_outage(error)
            return Unavailable("The database does not answer. Send the request again.")
        case _:
            log.exception("request.failed", error=type(error).__name__)
            return Problem("The request failed because of an error in the server; it has been logged.")
