"""The effects that the client's protocol code asks for, and their results (sans-I/O).

An upload, a download or an API call is a generator: it yields effects, receives their results, and returns its own
result. It makes every decision and does no I/O. So the synchronous and the asynchronous client are two small loops
around the same generators, and each decision can be tested without a server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
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
    With ``stream_idle_seconds``, the result of a successful request is a Stream, which fails after so many seconds
    without a byte.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: RequestBody | bytes = b""
    sink: ResponseSink | None = None
    stream_idle_seconds: float | None = None


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
        """Seconds that the Retry-After header asks for, as a number or until a date; None without a valid one."""
        value = self.headers.get("retry-after", "")
        if value.isascii() and value.isdigit():
            return float(value)
        moment = _http_date(value)
        if moment is None:
            return None
        now = _http_date(self.headers.get("date", "")) or datetime.now(UTC)
        return max(0.0, (moment - now).total_seconds())


@dataclass(frozen=True, slots=True)
class ConnectionFailure:
    """The connection failed before the response was complete.

    The server may have processed the request, unless it ``was_sent`` at no time: there was no connection.
    """

    reason: str
    seconds: float = 0.0
    was_sent: bool = True

    @property
    def retry_after(self) -> float | None:
        return None


Outcome = Response | ConnectionFailure


class Stream:
    """The body of a successful response, which is read with ``Read``. The clients have subclasses."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait this long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """Call this function, which may block on files. The result is what it returns."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Read:
    """Read from a stream. The result is a block of bytes, empty at the end, or a ConnectionFailure."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand a value to the caller, who iterates over the flow."""

    value: Any


@dataclass(frozen=True, slots=True)
class Together:
    """Run these flows at the same time, at most ``limit`` of them. The result is the list of their results.

    If one raises an error, the others are stopped and the error is raised.
    """

    flows: Iterable[Flow[Any]]
    limit: int


@dataclass(frozen=True, slots=True)
class OneAtATime:
    """Run this flow while the client runs no other of its kind. The result is that of the flow."""

    flow: Flow[Any]


Effect = Request | Sleep | Call | Read | Emit | Together | OneAtATime
Flow = Generator[Effect, Any, T]


def send(request: Request) -> Flow[Outcome | Stream]:
    outcome: Outcome | Stream = yield request
    return outcome


def call(function: Callable[[], T]) -> Flow[T]:
    result: T = yield Call(function)
    return result


def together(flows: Iterable[Flow[T]], limit: int) -> Flow[list[T]]:
    results: list[T] = yield Together(flows, limit)
    return results


def one_at_a_time(flow: Flow[T]) -> Flow[T]:
    result: T = yield OneAtATime(flow)
    return result


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
