"""Refuse WebSocket handshakes: Windlass has no WebSockets."""

from __future__ import annotations

from starlette.responses import JSONResponse

from windlass.accounts import api as accounts
from windlass.http.callers import authenticate_scope
from windlass.http.middleware import Receive, Scope, Send
from windlass.http.problem_responses import problem_of
from windlass.kernel.document_policies import DATA_POLICY
from windlass.kernel.problem_types import NotFound, Problem

#: The ASGI extension by which a handshake is answered with an HTTP response.
DENIAL_RESPONSE = "websocket.http.response"


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 401 to a caller without a good credential where one is needed, 503 while that cannot be read, else 404."""
    await receive()  # the handshake
    problem = await _problem(scope)
    if DENIAL_RESPONSE not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008, "reason": problem.title})
        return
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": DATA_POLICY} | problem.headers
    document = problem.document(scope["path"])
    await JSONResponse(document, problem.status, headers, "application/problem+json")(scope, receive, send)


async def _problem(scope: Scope) -> Problem:
    try:
        await authenticate_scope({**scope, "type": "http", "method": "GET"}, accounts.OWNER)
    except Exception as error:  # noqa: BLE001  the boundary of a handshake
        return problem_of(error)
    return NotFound(f"There is no WebSocket at {scope['path']}.")
