"""The effects that the client's protocol code asks for, and their results (sans-I/O).

An upload, a download or an API call is a generator: it yields effects, receives their results, and returns its own
result. It makes every decision and does no I/O. So the synchronous and the asynchronous client are two small loops
around the same generators, and each decision can be tested without a server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

#: Bytes of one read from a file and of one write to a socket: few calls, and still visible progress.
BLOCK_SIZE = 256 * 1024


class RequestBody(Protocol):
    """Bytes that are read while they are sent."""

    length: int

    def read(self, done: int) -> bytes:
        """Return the block that starts ``done`` bytes into the body. It is empty only at the end. Blocks."""

    def report_sent(self, done: int) -> None:
        """Note that ``done`` bytes of the body have been handed to the connection."""


class ResponseSink(Protocol):
    """Receives the bytes of a response. ``start`` and ``write`` block."""

    def start(self, response: Response) -> bool:
        """Return whether the response's body belongs here; otherwise it is read into ``Response.body``."""

    def write(self, block: bytes) -> None: ...

    def report_received(self) -> None:
        """Note that the last block has been written."""


@dataclass(frozen=True, slots=True)
class Request:
    """Send this request. The result is a Response or a ConnectionFailure.

    ``body`` is read while it is sent, ``sink`` receives the bytes of the response; both may block.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: RequestBody | bytes = b""
    sink: ResponseSink | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """The server's response. Header names are lower case; ``seconds`` is the time that the request took."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0

    def json(self) -> Any:
        """Return the body parsed as JSON; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def retry_after(self) -> float | None:
        """Seconds of the Retry-After header, if it has them."""
        value = self.headers.get("retry-after", "")
        return float(value) if value.isascii() and value.isdigit() else None


@dataclass(frozen=True, slots=True)
class ConnectionFailure:
    """The connection failed before the response was complete. The server may have processed the request."""

    reason: str
    seconds: float = 0.0

    @property
    def retry_after(self) -> float | None:
        return None


Outcome = Response | ConnectionFailure


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait this long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """Call this function, which may block on files. The result is what it returns."""

    function: Callable[[], Any]


Effect = Request | Sleep | Call
Flow = Generator[Effect, Any, T]


def send(request: Request) -> Flow[Outcome]:
    outcome: Outcome = yield request
    return outcome


def call(function: Callable[[], T]) -> Flow[T]:
    result: T = yield Call(function)
    return result
