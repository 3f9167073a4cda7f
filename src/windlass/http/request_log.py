"""Measure each request, and when it ends account for it: its metrics, its span, its line in the access log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from structlog.contextvars import bound_contextvars

from windlass import conf
from windlass.http import request_spans
from windlass.http.middleware import REQUEST_ID, Message, Receive, Scope, Send
from windlass.http.request_record import CLIENT_GONE, TRAFFIC, RequestRecord, Traffic, record_of
from windlass.kernel import process_counters, spans
from windlass.kernel.acting_caller import MAX_ADDRESS, ActingCaller, acting_as
from windlass.kernel.clock import monotonic
from windlass.kernel.redaction import without_secrets

log = structlog.get_logger(__name__)


class _CountedBodies:
    """Counts what the application receives and sends, for servers without the extension."""

    def __init__(self) -> None:
        self._received = self._sent = 0
        self._request_ended = self._reply_ended = self._gone = False

    def receiving(self, receive: Receive) -> Receive:
        async def receive_counted() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                self._gone = self._gone or not (self._request_ended and self._reply_ended)
            else:
                self._received += len(message.get("body", b""))
                self._request_ended = not message.get("more_body", False)
            return message

        return receive_counted

    def count_sent(self, message: Message) -> None:
        self._sent += len(message.get("body", b"")) + message.get("count", 0) + len(message.get("text") or "")
        self._reply_ended = message["type"] == "http.response.body" and not message.get("more_body", False)

    def read(self) -> Traffic:
        return Traffic(self._received, self._sent, self._gone and not self._reply_ended)


@contextmanager
def measured(scope: Scope, receive: Receive, send: Send, route: Callable[[], str]) -> Iterator[tuple[Receive, Send]]:
    """Measure the request that runs inside, with the yielded functions; log it at its end.

    ``route`` returns the template of its path, empty if there is none; it is called only if spans are recorded.
    Each log line inside has the request's id. ``begin`` was called for this scope, or for the one it is a copy of.
    """
    record = record_of(scope)
    extension: dict[str, Callable[[], Traffic]] = (scope.get("extensions") or {}).get(TRAFFIC, {})
    bodies = None if extension else _CountedBodies()

    async def send_recorded(message: Message) -> None:
        if message["type"] == "http.response.start":
            record.status = message["status"]
        await send(message)
        if bodies is not None:
            bodies.count_sent(message)

    began = monotonic()
    client = scope.get("client")
    with (
        bound_contextvars(request_id=scope[REQUEST_ID]),
        acting_as(ActingCaller(address=client[0][:MAX_ADDRESS] if client else "")),
        request_spans.request_span(scope) as span,
    ):
        try:
            yield (receive if bodies is None else bodies.receiving(receive)), send_recorded
        finally:
            traffic = bodies.read() if bodies else extension["read"]()
            _account(scope, record, traffic, monotonic() - began)
            if spans.are_recorded():
                request_spans.describe(span, scope, route(), record, traffic)


def _account(scope: Scope, record: RequestRecord, traffic: Traffic, seconds: float) -> None:
    interrupted = traffic.interrupted or record.status in (0, CLIENT_GONE)
    outcome = "interrupted" if interrupted else record.outcome
    process_counters.requests.add(1, record.dialect, outcome)
    process_counters.request_seconds.observe(seconds, record.dialect)
    if traffic.received:
        process_counters.received_bytes.add(traffic.received, record.dialect, outcome)
    if traffic.sent:
        process_counters.sent_bytes.add(traffic.sent, record.kind, outcome)
    if conf.get().access_log:
        log.info("request", **_access_line(scope, record, traffic, seconds, interrupted=interrupted))


def _access_line(
    scope: Scope, record: RequestRecord, traffic: Traffic, seconds: float, *, interrupted: bool
) -> dict[str, object]:
    query = scope["query_string"].decode("latin-1")
    client, principal = scope.get("client"), record.principal
    return {
        "method": scope["method"],
        "path": without_secrets(scope["path"] + (f"?{query}" if query else "")),
        "status": CLIENT_GONE if interrupted else record.status,
        "bytes_in": traffic.received,
        "bytes_out": traffic.sent,
        "seconds": round(seconds, 6),
        "dialect": record.dialect,
        "client": client[0] if client else "",
        "credential": principal.credential.value if principal else "",
        "owner": principal.owner if principal else "",
    }
