"""WebSockets with the events of a file, of an upload, or of everything that the caller owns (http-api section 6).

A handshake is a GET request: its credential, its rate, its query and what it asks for are checked as those of one, and
what is refused is answered with a problem document instead of an upgrade.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.routing import Match, WebSocketRoute

from windlass.accounts.api import LIVE, TICKET_PARAMETER, Access
from windlass.events import api as events
from windlass.executors import in_database
from windlass.http import query_parameters, rate_limits, request_record
from windlass.http.callers import PRINCIPAL
from windlass.http.counted_admission import admit_counted
from windlass.http.live.client_messages import MAX_BYTES, parse_since
from windlass.http.live.credential_watch import credential_watch
from windlass.http.live.reader_limit import counted_reader, require_room
from windlass.http.live.topic_access import everything_of, topic_of
from windlass.http.live.topics import Topic
from windlass.http.live.websocket_session import WebSocketSession
from windlass.http.middleware import (
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    check_host,
    guard_document,
    identify,
    with_headers,
)
from windlass.http.page_origins import require_own_page
from windlass.http.problem_responses import problem_of, problem_response
from windlass.http.request_log import measured
from windlass.http.request_record import record_of
from windlass.http.server.websocket_protocol import DENIAL_RESPONSE, MESSAGE_LIMIT
from windlass.kernel.problem_types import NotFound, Problem
from windlass.kernel.stored_text import is_storable
from windlass.resilience.rate_limits.policies import RateClass

#: The subprotocol with which a browser sends a token: ``new WebSocket(url, ["bearer", token])``.
BEARER = "bearer"
QUERY = frozenset({"since", TICKET_PARAMETER})
#: The close code for a handshake where the server cannot send a reply (RFC 6455: policy violation).
_REFUSED = 1008


@dataclass(frozen=True, slots=True)
class WebSocketEndpoint:
    """``kind``: what the id in the path names: ``file`` or ``upload``; empty where everything is followed."""

    path: str
    kind: str
    access: Access = LIVE


ENDPOINTS = (
    WebSocketEndpoint("/ws/events", ""),
    WebSocketEndpoint("/ws/files/{id}", "file"),
    WebSocketEndpoint("/ws/uploads/{id}", "upload"),
)
_ROUTES = [(endpoint, WebSocketRoute(endpoint.path, lambda _: None)) for endpoint in ENDPOINTS]


@dataclass(frozen=True, slots=True)
class _Admitted:
    topic: Topic
    since: int
    awaits_first: bool


def is_endpoint(scope: Scope) -> bool:
    return _find(scope)[0] is not None


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a handshake, and serve the WebSocket if it is admitted. ``scope``: as the client sees it."""
    await receive()  # the handshake
    endpoint, parameters = _find(scope)
    asked = _as_request(scope, parameters)
    record = record_of(asked)
    with measured(asked, receive, send, lambda: endpoint.path if endpoint else "") as (receive, send):
        try:
            admitted = await _admit(asked, endpoint)
        except Exception as error:  # noqa: BLE001  the boundary of a handshake
            problem = problem_of(error)
            record.status = problem.status
            await _refuse(scope, asked, receive, send, problem)
            return
        record.status, record.kind = 101, "live"
        await _accept(scope, send)
        session = WebSocketSession(asked, receive, send, admitted.topic, admitted.since)
        with counted_reader("websocket", asked[PRINCIPAL]), credential_watch().watching(asked) as ended:
            await session.run(ended, awaits_first=admitted.awaits_first)


async def _admit(asked: Scope, endpoint: WebSocketEndpoint | None) -> _Admitted:
    """Prove the credential first, then look at the rest. Raises a Problem."""
    check_host(asked)
    if not is_storable(asked["path"]):
        raise NotFound("There is nothing at an address that contains a NUL character.")
    principal = await admit_counted(asked, endpoint.access if endpoint else LIVE, RateClass.GENERAL)
    require_own_page(asked, principal)
    if endpoint is None:
        names = ", ".join(each.path for each in ENDPOINTS)
        raise NotFound(f"There is no WebSocket at {asked['path']}. There are: {names}.")
    query_parameters.check(asked, QUERY)
    given = parse_qs(asked["query_string"].decode("latin-1"), keep_blank_values=True).get("since")
    since = parse_since(given[-1]) if given else None
    if endpoint.kind:
        topic = await topic_of(endpoint.kind, asked["path_params"]["id"], principal)
        since = since or 0
    else:
        topic = everything_of(principal)
        since = await in_database(events.last_id) if since is None else since  # now, not when the first message came
    require_room(principal)
    return _Admitted(topic, since, awaits_first=given is None)


async def _accept(scope: Scope, send: Send) -> None:
    limit = (scope.get("extensions") or {}).get(MESSAGE_LIMIT)
    if limit is not None:
        limit["set"](MAX_BYTES)
    subprotocol = BEARER if _bearer_token(scope) is not None else None
    await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})


async def _refuse(scope: Scope, asked: Scope, receive: Receive, send: Send, problem: Problem) -> None:
    if DENIAL_RESPONSE not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": _REFUSED, "reason": problem.title})
        return

    async def send_denial(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    def complete(_: Message, headers: Headers) -> Headers:
        return rate_limits.with_fields(asked, [*headers, (b"cache-control", b"private, no-store")])

    response = problem_response(problem, Request(asked))
    await response(asked, receive, identify(asked, with_headers(guard_document(send_denial), complete)))


def _find(scope: Scope) -> tuple[WebSocketEndpoint | None, dict[str, str]]:
    trimmed = {**scope, "path": scope["path"].rstrip("/") or "/"}
    for endpoint, route in _ROUTES:
        match, child = route.matches(trimmed)
        if match is Match.FULL:
            return endpoint, child["path_params"]
    return None, {}


def _as_request(scope: Scope, parameters: dict[str, str]) -> Scope:
    """The handshake as the request that it is, with the token of the subprotocols where other clients have it."""
    headers, token = list(scope["headers"]), _bearer_token(scope)
    if token is not None and not any(name == b"authorization" for name, _ in headers):
        headers.append((b"authorization", b"Bearer " + token.encode("latin-1")))
    scheme = "https" if scope["scheme"] == "wss" else "http"
    changed = {"type": "http", "method": "GET", "scheme": scheme, "headers": headers, "path_params": parameters}
    asked: Scope = {**scope, **changed, "extensions": {}}
    request_record.begin(asked)
    return asked


def _bearer_token(scope: Scope) -> str | None:
    """The token in the subprotocols; empty where the client names none, which then proves nothing."""
    offered = scope.get("subprotocols") or []
    if not offered or offered[0].lower() != BEARER:
        return None
    return offered[1] if len(offered) > 1 else ""
