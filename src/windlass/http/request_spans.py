"""One span per request, named by its method and the template of its path: never by the path itself, which may contain a
file name or a signature."""

from __future__ import annotations

from contextlib import AbstractContextManager

from windlass.http.middleware import REQUEST_ID, Scope, header
from windlass.http.request_record import RequestRecord, Traffic
from windlass.kernel import spans

#: Methods that may appear in a span's name (RFC 9110, RFC 5789); any other text is the client's.
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_LEAST_SERVER_ERROR = 500


def request_span(scope: Scope) -> AbstractContextManager[spans.Span]:
    """Measure the block as the request; it continues the trace that the request's ``traceparent`` names."""
    if not spans.are_recorded():
        return spans.span("")
    attributes: spans.Attributes = {
        "http.request.method": _method(scope),
        "url.scheme": scope["scheme"],
        "network.protocol.version": scope["http_version"],
        "windlass.request_id": scope[REQUEST_ID],
    }
    parent = header(scope, b"traceparent") or ""
    return spans.span(_method(scope), spans.SpanKind.SERVER, parent=parent, attributes=attributes)


def describe(span: spans.Span, scope: Scope, route: str, record: RequestRecord, traffic: Traffic) -> None:
    """Add what is known at the end. ``route``: the template of the path, empty if there is none."""
    if route:
        span.rename(f"{_method(scope)} {route}")
        span.annotate({"http.route": route})
    span.annotate({"http.request.body.size": traffic.received, "http.response.body.size": traffic.sent})
    if record.dialect != "none":
        span.annotate({"windlass.dialect": record.dialect})
    if traffic.interrupted:
        span.annotate({"windlass.interrupted": True})
    if record.status:
        span.annotate({"http.response.status_code": record.status})
    if record.status >= _LEAST_SERVER_ERROR:
        span.fail(str(record.status))


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "_OTHER"
