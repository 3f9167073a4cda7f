"""uvicorn's HTTP protocol for a server that moves files.

uvicorn collects a body in one growing buffer and copies that out again for the application, and forgets what is in it
when the client closes. Here each piece is handed on as it was parsed, a MiB may wait while the application is busy,
and what arrived before a close is delivered before the close is told. A third less CPU for each GiB received
(docs/decisions: server protocol).

Files go out by sendfile where nothing stands between: ASGI's extension ``http.response.zerocopysend``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from windlass.http import zero_copy
from windlass.http.interim import INFORM
from windlass.kernel.errors import Unavailable

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent, HTTPRequestEvent

#: Bytes of a body that wait for the application before nothing more is read from the socket.
HIGH_WATER = 1024 * 1024

#: How long a request whose body is still coming may go on when the server stops: a leased upload commits meanwhile.
STOP_SECONDS = 1.0

_REASONS = {104: "Upload Resumption Supported"}


class ReceivingCycle(RequestResponseCycle):
    """One request whose body is a queue of pieces."""

    pieces: deque[bytes]
    waiting: int
    end_told: bool
    broken_off: bool

    def begin(self) -> None:
        self.pieces, self.waiting, self.end_told, self.broken_off = deque(), 0, False, False

    def break_off(self) -> None:
        """The server stops: nobody waits any longer for a body that has not come. What came is still delivered."""
        self.broken_off = self.more_body
        self.message_event.set()

    def add(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.waiting += len(piece)
        if self.waiting >= HIGH_WATER:
            self.flow.pause_reading()
        self.message_event.set()

    async def inform(self, status: int, headers: Mapping[str, str]) -> None:
        """Send an interim response ahead of the reply, to a client that may get one (RFC 9110, 15.2)."""
        if self.response_started or self.disconnected or self.scope["http_version"] == "1.0":
            return
        lines = [
            f"HTTP/1.1 {status} {_REASONS.get(status, '')}",
            *(f"{name}: {text}" for name, text in headers.items()),
        ]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a field of an interim response has a line break")
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == zero_copy.MESSAGE:
            await self._send_file(cast(zero_copy.Message, message))
        else:
            await super().send(message)

    async def _send_file(self, message: zero_copy.Message) -> None:
        """The body's next bytes, from a file. Raises EOFError where it ends before."""
        if message["count"] > self.expected_content_length:
            raise RuntimeError("Response content longer than Content-Length")
        if not self.disconnected:
            await zero_copy.send(self.transport, message)
        self.expected_content_length -= message["count"]

    async def receive(self) -> ASGIReceiveEvent:
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        while not self.pieces and (self.more_body or self.end_told) and not self._is_over:
            if self.broken_off and self.response_started:
                return {"type": "http.disconnect"}
            if self.broken_off:
                raise Unavailable("The server is stopping and waits for no more of this request. Send it again.")
            self.message_event.clear()
            self.flow.resume_reading()
            await self.message_event.wait()
        if not self.pieces and self._is_over:
            return {"type": "http.disconnect"}
        return self._next_piece()

    @property
    def _is_over(self) -> bool:
        return self.disconnected or self.response_complete

    def _next_piece(self) -> HTTPRequestEvent:
        piece = self.pieces.popleft() if self.pieces else b""
        self.waiting -= len(piece)
        if self.waiting < HIGH_WATER:
            self.flow.resume_reading()
        # A client that closed in mid-body still owes the rest: the next call tells of the close.
        more = bool(self.more_body or self.pieces)
        self.end_told = not more
        return {"type": "http.request", "body": piece, "more_body": more}


class ReceivingProtocol(HttpToolsProtocol):
    """Give it to uvicorn as ``http=``."""

    cycle: RequestResponseCycle

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        # The parent has made the request's cycle and its task, which has not run yet; there is no hook to make another.
        if type(self.cycle) is RequestResponseCycle:
            self.cycle.__class__ = ReceivingCycle
            assert isinstance(self.cycle, ReceivingCycle)
            self.cycle.begin()
            extensions = self.scope.setdefault("extensions", {})
            extensions[INFORM] = {"send": self.cycle.inform}
            if zero_copy.possible(self.transport):
                extensions[zero_copy.MESSAGE] = {}

    def shutdown(self) -> None:
        super().shutdown()
        if isinstance(self.cycle, ReceivingCycle) and not self.cycle.response_complete:
            self.loop.call_later(STOP_SECONDS, self.cycle.break_off)

    def on_body(self, body: bytes) -> None:
        if isinstance(self.cycle, ReceivingCycle) and not self.cycle.response_complete:
            self.cycle.add(body)
