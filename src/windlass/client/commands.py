"""What a conversation with the server asks of whoever runs it, and what it is told.

A conversation is a generator: it yields commands, is sent what came of them, and returns its result. It decides
everything and does nothing itself, so the synchronous and the asynchronous client are two small loops around the
same conversations, and each decision is tested without a server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

#: One read from a file, and one write to a socket: large enough that calls do not count, small enough to see progress.
PIECE = 256 * 1024


class Body(Protocol):
    """Bytes to send that are read as they go out. ``read`` blocks."""

    @property
    def length(self) -> int:
        """How many bytes will be sent."""

    def read(self, done: int) -> bytes:
        """The piece that begins ``done`` bytes into this body; never empty before its end."""

    def sent(self, done: int) -> None:
        """So many bytes of this body have been handed to the connection."""


class Sink(Protocol):
    """Where the bytes of an answer go. ``begin`` and ``write`` block."""

    def begin(self, answer: Answer) -> bool:
        """Whether the body of this answer is wanted here; what is not wanted is read into ``Answer.body``."""

    def write(self, piece: bytes) -> None:
        """The next bytes."""

    def received(self) -> None:
        """The last piece has been written."""


@dataclass(frozen=True, slots=True)
class Request:
    """Send this; the result is an Answer, or Interrupted."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | bytes = b""
    sink: Sink | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said. Header names are lower case; ``seconds`` is how long it took."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait, where it names them."""
        value = self.headers.get("retry-after", "")
        return float(value) if value.isascii() and value.isdigit() else None


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The connection failed before a whole answer was here. Whether the server acted on the request is unknown."""

    reason: str
    seconds: float = 0.0


Outcome = Answer | Interrupted


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait this long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """Run this function, which may block on files; the result is what it returns."""

    function: Callable[[], Any]


Command = Request | Pause | Call
Flow = Generator[Command, Any, T]


def send(request: Request) -> Flow[Outcome]:
    outcome: Outcome = yield request
    return outcome


def call(function: Callable[[], T]) -> Flow[T]:
    result: T = yield Call(function)
    return result
