"""One request of a connection: its body as a queue of pieces, and the transport of its reply.

It derives from uvicorn's ``RequestResponseCycle``; see docs/decisions/0014-server-protocol.md.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import structlog
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from windlass.http.memory_budget import FREE_PER_CONNECTION, budget
from windlass.http.request_record import Traffic
from windlass.http.server import direct_receive, zero_copy
from windlass.kernel import process_counters
from windlass.kernel.problem_types import Unavailable
from windlass.receiving.body import BodySocket, ClientGone

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent, HTTPRequestEvent

#: Bytes of a body that wait for the application before the socket is no longer read.
HIGH_WATER = 1024 * 1024

_REASONS = {104: "Upload Resumption Supported"}

log = structlog.get_logger(__name__)


class Connection(Protocol):
    """What a request uses of its connection."""

    transport: asyncio.Transport
    file_progress: zero_copy.Progress

    def finish(self) -> None:
        """Close the connection once the client has read the reply."""

    def unread_body(self) -> int:
        """Bytes of the body that are still to be read from the socket; 0 where that is not known."""

    def skip_body(self, size: int) -> None:
        """Count bytes of the body that were read from the socket by somebody else; the last ones end the body."""


class ReplyTransport(asyncio.Transport):
    """The transport of replies: it counts what is written, and its ``close`` lets the client read the reply.

    uvloop sends each write at once. So the head of a reply is held back until its body follows, which nearly always
    happens at once; if not, until the next round of the event loop.
    """

    def __init__(self, connection: Connection, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._connection = connection
        self._transport = transport
        self._loop = loop
        self._held: list[bytes | bytearray | memoryview] = []
        self._holds = False
        self.written = 0

    def hold(self) -> None:
        """Send what is written from now on with the next ``flush``, which the event loop calls soon."""
        self._holds = True
        self._loop.call_soon(self.flush)

    def flush(self) -> None:
        self._holds = False
        if self._held:
            held, self._held = self._held, []
            if not self._transport.is_closing():
                self._transport.writelines(held)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += len(data)
        if self._holds:
            if data:
                self._held.append(data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self.flush()
        self._connection.finish()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class RequestCycle(RequestResponseCycle):
    """One request and its reply."""

    def __init__(self, connection: Connection, **options: Any) -> None:
        super().__init__(**options)
        self._connection = connection
        self._reply: ReplyTransport = options["transport"]
        self.pieces: deque[bytes] = deque()
        self.waiting = self.received = self._granted = self._sent = 0
        self.end_delivered = self.broken_off = False
        self._wants_socket = False
        self._socket: direct_receive.DirectBody | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether the rest of the body is waited for, and nothing here keeps the client from sending it."""
        if self._socket is not None:
            return self._socket.waits
        return not self.flow.read_paused and not self.waiting_for_100_continue

    def break_off(self) -> None:
        """The server stops: end the wait for the rest of the body. What has arrived is still delivered."""
        self.broken_off = self.more_body
        self.message_event.set()
        if self.broken_off and self._socket is not None:
            self._socket.fail(_stopping())

    def take_socket(self) -> BodySocket | None:
        """Return the rest of the body as a socket once everything before it has been received, if its length is known.
        If something has not, the connection reads no more, so that a later call succeeds."""
        if not self.leaves_in_socket(0) or self.pieces:
            return None
        transport, left = self._connection.transport, self._connection.unread_body()
        self._socket = direct_receive.DirectBody(transport, left, self._count_received, self._release_socket)
        return self._socket

    def leaves_in_socket(self, size: int) -> bool:
        """Whether more than ``size`` bytes of the body have not been read and can be taken with the socket. If so, the
        connection reads no more until ``receive`` waits for something."""
        left = self._connection.unread_body() if self.more_body else 0
        cannot_be_taken = self._is_over or self.broken_off or self.waiting_for_100_continue
        if left <= size or cannot_be_taken or self._connection.transport.is_closing():
            return False
        self._wants_socket = True
        self.flow.pause_reading()
        return True

    def _count_received(self, size: int) -> None:
        self.received += size
        self._connection.skip_body(size)

    def _release_socket(self) -> None:
        """Whatever is left of the body, or the client's end of the connection, is read by the connection again."""
        self._socket, self._wants_socket = None, False
        if self.more_body:
            self.flow.resume_reading()

    def add(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.waiting += len(piece)
        self.received += len(piece)
        granted = self._granted + FREE_PER_CONNECTION >= self.waiting or self._reserve(len(piece))
        if self.waiting >= HIGH_WATER or not granted:
            self.flow.pause_reading()
        self.message_event.set()

    def end_body(self) -> None:
        self.more_body = False
        self.message_event.set()

    def disconnect(self) -> None:
        """Treat the client as disconnected."""
        self.disconnected = True
        self.message_event.set()
        if self._socket is not None:
            self._socket.fail(ClientGone())

    def lose_client(self) -> None:
        """The client has disconnected. This is counted, and is no error."""
        if not self.disconnected:
            during = "body" if self.more_body else "reply"
            process_counters.client_disconnects.add(1, during)
            log.info("request.client_gone", during=during, request_id=self.scope.get("windlass.request_id"))
        self.disconnect()

    def traffic(self) -> Traffic:
        """What has been received and sent of the bodies so far."""
        return Traffic(self.received, self._sent, self.disconnected and not self.response_complete)

    def discard_pieces(self) -> None:
        """The application has ended: drop what it has not received."""
        self.pieces.clear()
        self.waiting = 0
        self._release_surplus()

    async def send_interim(self, status: int, headers: Mapping[str, str]) -> None:
        """Send an interim response before the reply, to a client of HTTP/1.1 (RFC 9110, 15.2)."""
        if self.response_started or self.disconnected or self.scope["http_version"] == "1.0":
            return
        lines = [
            f"HTTP/1.1 {status} {_REASONS.get(status, '')}",
            *(f"{name}: {text}" for name, text in headers.items()),
        ]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a field of an interim response has a line break")
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def run_asgi(self, app: Any) -> None:
        try:
            await super().run_asgi(app)
        finally:
            self.discard_pieces()

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == zero_copy.MESSAGE:
            await self._send_file(cast(zero_copy.Message, message))
            return
        if message["type"] == "http.response.start":
            if self.more_body:
                self.keep_alive = False  # the rest of the body would precede the next request
            self._reply.hold()
            await super().send(message)
            return
        await super().send(message)
        self._reply.flush()
        if message["type"] == "http.response.body" and not self.disconnected and self.scope["method"] != "HEAD":
            self._sent += len(message.get("body", b""))

    async def _send_file(self, message: zero_copy.Message) -> None:
        """Send the next bytes of the reply from a file. Raises EOFError where the file is shorter."""
        if self.disconnected:
            return
        if message["count"] > self.expected_content_length:
            raise RuntimeError("Response content longer than Content-Length")
        self._reply.flush()
        progress = self._connection.file_progress
        sent_before = progress.sent
        try:
            await zero_copy.send(self._connection.transport, message, progress)
        except ConnectionError:
            self.lose_client()
        finally:
            self._sent += progress.sent - sent_before
        self.expected_content_length -= message["count"]

    async def receive(self) -> ASGIReceiveEvent:
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        while not self.pieces and (self.more_body or self.end_delivered) and not self._is_over:
            if self.broken_off and self.response_started:
                return {"type": "http.disconnect"}
            if self.broken_off:
                raise _stopping()
            self.message_event.clear()
            if self.more_body:  # otherwise what arrives is the next request, which waits
                self._wants_socket = False
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
        self._release_surplus()
        if self.waiting < HIGH_WATER and self.more_body and not self._wants_socket:
            self.flow.resume_reading()
        # After a client that closed within the body there is more: the next call reports the close.
        more = bool(self.more_body or self.pieces)
        self.end_delivered = not more
        return {"type": "http.request", "body": piece, "more_body": more}

    def _reserve(self, size: int) -> bool:
        if not budget().try_take(size):
            return False
        self._granted += size
        return True

    def _release_surplus(self) -> None:
        surplus = min(self._granted, self._granted + FREE_PER_CONNECTION - self.waiting)
        if surplus > 0:
            self._granted -= surplus
            budget().give_back(surplus)


def _stopping() -> Unavailable:
    return Unavailable("The server is stopping and waits for no more of this request. Send it again.")
