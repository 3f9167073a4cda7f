"""One span per request, named by its method and the template of its path: never by the path itself, which may contain a
file name or a signature."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from windlass.http.middleware import Message, Receive, Scope, Send, header
from windlass.http.server import zero_copy
from windlass.kernel import spans

#: Methods that may appear in a span's name (RFC 9110, RFC 5789); any other text is the client's.
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_LEAST_SERVER_ERROR = 500


async def recorded(
    scope: Scope,
    receive: Receive,
    send: Send,
    answer: Callable[[Receive, Send], Awaitable[None]],
    route: Callable[[], str],
) -> None:
    """Call ``answer`` and measure it as a span, if spans are recorded.

    ``route`` returns the template of the request's path, empty if there is none. It is called after the reply.
    """
    if not spans.are_recorded():
        await answer(receive, send)
        return
    method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
    attributes = {
        "http.request.method": method,
        "url.scheme": scope["scheme"],
        "network.protocol.version": scope["http_version"],
        "windlass.request_id": scope.get("windlass.request_id", ""),
    }
    parent = header(scope, b"traceparent") or ""
    with spans.span(method, spans.SpanKind.SERVER, parent=parent, attributes=attributes) as span:
        exchange = _Exchange(receive, send)
        try:
            await answer(exchange.receive, exchange.send)
        finally:
            _describe(span, method, route(), exchange)


def _describe(span: spans.Span, method: str, route: str, exchange: _Exchange) -> None:
    if route:
        span.rename(f"{method} {route}")
        span.annotate({"http.route": route})
    span.annotate({"http.request.body.size": exchange.received, "http.response.body.size": exchange.sent})
    if exchange.status:
        span.annotate({"http.response.status_code": exchange.status})
    if exchange.status >= _LEAST_SERVER_ERROR:
        span.fail(str(exchange.status))


@dataclass(slots=True)
class _Exchange:
    """Counts the bytes of the bodies. ``status`` is that of the reply, 0 before it."""

    _receive: Receive
    _send: Send
    received: int = 0
    sent: int = 0
    status: int = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        await self._send(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == zero_copy.MESSAGE:
            self.sent += message["count"]
        else:
            self.sent += len(message.get("body", b""))
