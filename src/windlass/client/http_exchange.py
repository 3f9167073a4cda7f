"""What both clients share in using httpx: time-outs, and its requests, responses and errors as effects have them."""

from __future__ import annotations

import httpx

from windlass.client.effects import ConnectionFailure, Request, Response
from windlass.client.errors import WindlassError

DEFAULT_SERVER = "http://127.0.0.1:8000"
#: A write may take as long as the server's disk; the last response may follow a long sync to disk.
TIMEOUT = httpx.Timeout(connect=10.0, write=60.0, read=120.0, pool=None)
#: No limit of connections: the caller decides how many uploads run at once.
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)


def headers_of(request: Request) -> dict[str, str]:
    """The request's headers, with the length of a streamed body."""
    if isinstance(request.body, bytes):
        return dict(request.headers)
    return {**request.headers, "Content-Length": str(request.body.length)}


def response_of(response: httpx.Response, seconds: float, body: bytes = b"") -> Response:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status_code, headers, body, seconds)


def connection_failure(error: httpx.TransportError, seconds: float) -> ConnectionFailure:
    """Raises WindlassError for a request that can never be sent."""
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        raise WindlassError(f"The request cannot be sent: {error}") from error
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            reason = f"{_server(error)} cannot be reached ({error or 'no answer'})"
            return ConnectionFailure(reason, seconds, was_sent=False)
        case httpx.TimeoutException():
            reason = f"{_server(error)} did not answer in time"
        case _:
            reason = f"the connection broke ({error or type(error).__name__})"
    return ConnectionFailure(reason, seconds)


def _server(error: httpx.TransportError) -> str:
    """Which server a request was for: without a path, which may hold a grant's key, and without a user's password."""
    url = error.request.url
    return f"the server at {url.scheme}://{url.netloc.decode()}"


def stream_timeout(timeout: httpx.Timeout, idle_seconds: float) -> httpx.Timeout:
    """The client's time-outs, with that of a stream for reading."""
    return httpx.Timeout(connect=timeout.connect, read=idle_seconds, write=timeout.write, pool=timeout.pool)
