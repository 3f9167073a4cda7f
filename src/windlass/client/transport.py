"""What both shells say in the same words to httpx, and hear from it."""

from __future__ import annotations

import httpx

from windlass.client.commands import PIECE, Answer, Body, Interrupted, Request
from windlass.client.errors import WindlassError

#: Sending waits as long as the server takes to write; the last answer may follow a long sync to disk.
TIMEOUT = httpx.Timeout(connect=10.0, write=60.0, read=120.0, pool=None)
#: As many connections as the caller has uploads under way.
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)


def headers_of(request: Request) -> dict[str, str]:
    """The request's headers, with the length of a body that is streamed."""
    if isinstance(request.body, bytes):
        return dict(request.headers)
    return {**request.headers, "Content-Length": str(request.body.length)}


def answer_of(response: httpx.Response, seconds: float, body: bytes = b"") -> Answer:
    return Answer(
        response.status_code, {name.lower(): value for name, value in response.headers.items()}, body, seconds
    )


def interrupted(error: httpx.TransportError, seconds: float) -> Interrupted:
    """Raises WindlassError for what no waiting changes."""
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        raise WindlassError(f"The request cannot be sent: {error}") from error
    return Interrupted(_words(error), seconds)


def _words(error: httpx.TransportError) -> str:
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return f"the server cannot be reached ({error or 'no answer'})"
        case httpx.TimeoutException():
            return "the server did not answer in time"
        case _:
            return f"the connection broke ({error or type(error).__name__})"


__all__ = ["LIMITS", "PIECE", "TIMEOUT", "Body", "answer_of", "headers_of", "interrupted"]
