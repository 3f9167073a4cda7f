"""Refuse WebSocket handshakes: Windlass has no WebSockets."""

from __future__ import annotations

import json

from windlass.accounts import api as accounts
from windlass.executors import in_database
from windlass.http.middleware import Receive, Scope, Send
from windlass.kernel.errors import NotFound, Problem

#: The ASGI extension by which a handshake is answered with an HTTP response.
DENIAL_RESPONSE = "websocket.http.response"


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 401 to a caller without a good credential where one is needed, else 404."""
    await receive()  # the handshake
    problem = await _problem(scope)
    if DENIAL_RESPONSE not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008, "reason": problem.title})
        return
    body = json.dumps(problem.document(scope["path"])).encode()
    headers = {
        "content-type": "application/problem+json",
        "content-length": str(len(body)),
        "x-content-type-options": "nosniff",
        **problem.headers,
    }
    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": f"{DENIAL_RESPONSE}.start", "status": problem.status, "headers": fields})
    await send({"type": f"{DENIAL_RESPONSE}.body", "body": body, "more_body": False})


async def _problem(scope: Scope) -> Problem:
    try:
        await in_database(accounts.authenticate_scope, {**scope, "type": "http", "method": "GET"}, accounts.OWNER)
    except Problem as problem:
        return problem
    return NotFound(f"There is no WebSocket at {scope['path']}.")
