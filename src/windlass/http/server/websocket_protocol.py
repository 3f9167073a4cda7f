"""One WebSocket (RFC 6455) after the head of its handshake, as the scope ``websocket`` of ASGI.

The frames are parsed by ``websockets``, which does no I/O. Here are the limits: what waits in memory is at most one
message in each direction and the transport's buffer; a peer that stops reading, answering pings or closing is ended.
Messages are not compressed, since a small one could stand for a large one. See docs/decisions/0069-websockets.md.
"""

from __future__ import annotations

import asyncio
import http
import logging
from collections.abc import Callable

import structlog
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from windlass import conf
from windlass.http.middleware import App, Message, Scope
from windlass.http.server.connections import Connections
from windlass.kernel import process_counters
from windlass.kernel.problem_types import BadRequest

#: Bytes of the longest message from a client, where the application sets no lower limit (``MESSAGE_LIMIT``).
MAX_MESSAGE_BYTES = 1024 * 1024
#: Frames of one message.
MAX_FRAGMENTS = 64
#: Bytes that are parsed at once. Many small messages may be in them; the next are parsed when those are taken.
PARSED_AT_ONCE = 4096
#: A ping is sent after so many seconds of silence; a peer that is silent for as many more is gone.
PING_SECONDS = 20.0
#: Seconds for the peer to answer a close, and to take what is written before it.
CLOSE_SECONDS = 5.0
#: The same when the server stops.
STOP_SECONDS = 1.0

#: ``scope["extensions"][MESSAGE_LIMIT]["set"]`` sets the bytes of the longest message that is received from now on.
MESSAGE_LIMIT = "windlass.websocket.message_limit"
#: The ASGI extension by which a handshake is answered with an HTTP response.
DENIAL_RESPONSE = "websocket.http.response"

#: The fields that the handshake depends on. Subprotocols are chosen by the application, extensions are not used.
_HANDSHAKE_FIELDS = (b"host", b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-version")

log = structlog.get_logger(__name__)
_library_log = logging.getLogger("windlass.websockets")
_library_log.setLevel(logging.WARNING)  # the library logs each connection at INFO


class PeerGone(OSError):
    """The peer has closed the connection, or it has been closed."""


class Handshake:
    """A valid handshake: the connection's state, and the response that accepts it."""

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Raises BadRequest."""
        self.state = ServerProtocol(max_size=MAX_MESSAGE_BYTES, logger=_library_log)
        fields = [name + b": " + value for name, value in headers if name in _HANDSHAKE_FIELDS]
        self.state.receive_data(b"\r\n".join([b"GET / HTTP/1.1", *fields, b"", b""]))
        (request,) = self.state.events_received() or (None,)
        response = self.state.accept(request) if isinstance(request, Request) else None
        if response is None or response.status_code != http.HTTPStatus.SWITCHING_PROTOCOLS:
            raise BadRequest("The handshake of the WebSocket is not valid (RFC 6455, section 4.2.1).")
        self.response = response


class WebSocketProtocol(asyncio.Protocol):
    """The protocol of a connection from the handshake to its end."""

    def __init__(
        self, app: App, server_state: ServerState, open_connections: Connections, lost: Callable[[], None]
    ) -> None:
        """``lost`` is called once, when the connection has ended."""
        self._app = app
        self._server_state = server_state
        self._open_connections = open_connections
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._ws: ServerProtocol
        self._handshake: Handshake | None = None
        self._denial: tuple[int, Headers, bytes] | None = None
        self._send_timeout = conf.get().send_timeout
        self._received: asyncio.Queue[Message] = asyncio.Queue()
        self._fragments: list[bytes] = []
        self._is_text = False
        self._unparsed = b""
        self._writable = asyncio.Event()
        self._writable.set()
        self._reading = True
        self._is_lost = False
        self._heard_at = self._pinged_at = 0.0
        self._stalled_at: float | None = None
        self._ending_at: float | None = None

    def start(self, transport: asyncio.Transport, scope: Scope, handshake: Handshake, early: bytes) -> None:
        """Take over a connection and call the application. ``scope``: of the handshake as an HTTP request; ``early``:
        what has been received after it."""
        self._transport, self._handshake, self._ws = transport, handshake, handshake.state
        self._unparsed = early
        self._set_reading(on=False)  # nothing is received before the handshake is answered
        transport.set_protocol(self)
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        self._open_connections.add(self)
        self._open_connections.keep(self)
        task = self._loop.create_task(self._run(self._scope(scope)))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def _scope(self, scope: Scope) -> Scope:
        offered = [value.decode("latin-1") for name, value in scope["headers"] if name == b"sec-websocket-protocol"]
        return {name: value for name, value in scope.items() if name != "method"} | {
            "type": "websocket",
            "scheme": "wss" if scope["scheme"] == "https" else "ws",
            "subprotocols": [name.strip() for name in ",".join(offered).split(",") if name.strip()],
            "extensions": {DENIAL_RESPONSE: {}, MESSAGE_LIMIT: {"set": self._limit_messages}},
        }

    def _limit_messages(self, size: int) -> None:
        self._ws.max_message_size = size

    async def _run(self, scope: Scope) -> None:
        await self._received.put({"type": "websocket.connect"})
        try:
            await self._app(scope, self.receive, self.send)
        except PeerGone:
            pass
        except Exception:  # the boundary of an ASGI application, as for a request
            log.exception("websocket.failed")
            self._end(CloseCode.INTERNAL_ERROR)
        else:
            self._end(CloseCode.NORMAL_CLOSURE)

    # Called by the event loop

    def data_received(self, data: bytes) -> None:
        self._heard_at, self._pinged_at = self._loop.time(), 0.0
        self._unparsed += data
        self._go_on()

    def eof_received(self) -> None:
        self._put_disconnect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._put_disconnect()
        self._is_lost = True
        self._writable.set()
        self._server_state.connections.discard(self)
        self._open_connections.remove(self)
        self._lost()

    def pause_writing(self) -> None:
        self._writable.clear()
        self._stalled_at = self._loop.time()
        self._set_reading(on=False)

    def resume_writing(self) -> None:
        self._writable.set()
        self._stalled_at = None
        self._go_on()

    # Called by ``connections`` and by uvicorn

    def check(self, now: float, elapsed: float) -> None:
        """End a peer that does not answer a ping or a close, or takes nothing of what is sent."""
        if self._ending_at is not None:
            if now > self._ending_at:
                self._transport.abort()
        elif self._stalled_at is not None and now - self._stalled_at > self._send_timeout:
            process_counters.connections_ended.add(1, "slow-reply")
            self._transport.abort()
        elif not self._reading:
            self._heard_at, self._pinged_at = now, 0.0  # its pong could not be received
        elif self._pinged_at and now - self._pinged_at > PING_SECONDS:
            process_counters.connections_ended.add(1, "no-pong")
            self._transport.abort()
        elif not self._pinged_at and now - self._heard_at > PING_SECONDS:
            self._pinged_at = now
            self._ws.send_ping(b"")
            self._flush()

    def make_way(self) -> None:
        """Not called: a WebSocket never waits for a request."""

    def shutdown(self) -> None:
        """The server stops: close at once."""
        self._end(CloseCode.SERVICE_RESTART)
        self._ending_at = self._loop.time() + STOP_SECONDS
        self._transport.close()

    # ASGI

    async def receive(self) -> Message:
        message = await self._received.get()
        self._go_on()
        return message

    async def send(self, message: Message) -> None:
        """Raises PeerGone after the end of the connection."""
        if message["type"] == "websocket.send":
            await self._writable.wait()
        if self._is_lost or self._ending_at is not None:
            raise PeerGone
        match message["type"]:
            case "websocket.accept":
                self._accept(message)
            case "websocket.send":
                self._send_message(message)
            case "websocket.close":
                self._end(message.get("code") or CloseCode.NORMAL_CLOSURE, message.get("reason") or "")
            case "websocket.http.response.start":
                fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
                self._denial = message["status"], Headers(fields), b""
            case "websocket.http.response.body":
                self._add_to_denial(message)

    def _accept(self, message: Message) -> None:
        assert self._handshake is not None
        response, self._handshake = self._handshake.response, None
        for name, value in message.get("headers", []):
            response.headers[name.decode("latin-1")] = value.decode("latin-1")
        if message.get("subprotocol"):
            response.headers["Sec-WebSocket-Protocol"] = message["subprotocol"]
        self._ws.send_response(response)
        self._flush()
        self._heard_at = self._loop.time()
        self._go_on()

    def _send_message(self, message: Message) -> None:
        try:
            if message.get("bytes") is not None:
                self._ws.send_binary(message["bytes"])
            else:
                self._ws.send_text(message["text"].encode())
        except InvalidState as error:
            raise PeerGone from error
        self._flush()

    def _add_to_denial(self, message: Message) -> None:
        assert self._denial is not None
        status, headers, body = self._denial
        self._denial = status, headers, body + message.get("body", b"")
        if not message.get("more_body", False):
            self._deny(*self._denial)

    def _deny(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer the handshake with an HTTP response."""
        self._handshake = None
        headers.setdefault("Content-Length", str(len(body)))
        headers.setdefault("Connection", "close")
        self._ws.send_response(Response(status, http.HTTPStatus(status).phrase, headers, body))
        self._begin_end()

    def _end(self, code: int, reason: str = "") -> None:
        """Close, or refuse a handshake that has not been answered. What was written before is still sent."""
        if self._ending_at is not None or self._is_lost:
            return
        if self._handshake is not None:
            refused = code == CloseCode.INTERNAL_ERROR
            self._deny(500 if refused else 503 if code == CloseCode.SERVICE_RESTART else 403, Headers(), b"")
            return
        if self._ws.state is OPEN:
            self._ws.send_close(code, reason)
        self._begin_end()

    def _begin_end(self) -> None:
        self._ending_at = self._loop.time() + CLOSE_SECONDS
        self._put_disconnect()
        self._flush()
        self._go_on()

    # Messages

    def _go_on(self) -> None:
        """Parse what has been received, and read on, as far as the application and the peer keep up.

        What a peer causes to be written, such as pongs, waits for its reading. After a close messages are dropped.
        """
        while self._may_receive and self._unparsed:
            piece, self._unparsed = self._unparsed[:PARSED_AT_ONCE], self._unparsed[PARSED_AT_ONCE:]
            self._parse(piece)
        self._set_reading(on=self._may_receive)

    @property
    def _may_receive(self) -> bool:
        keeps_up = self._ending_at is not None or self._received.empty()
        return self._handshake is None and keeps_up and self._writable.is_set()

    def _parse(self, data: bytes) -> None:
        self._ws.receive_data(data)
        for event in self._ws.events_received():
            if isinstance(event, Frame):
                self._take_frame(event)
        if self._ws.parser_exc is not None:
            self._put_disconnect()
        self._flush()

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self._put_disconnect()
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                self._is_text = frame.opcode is Opcode.TEXT
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                self._put_message()
            elif len(self._fragments) >= MAX_FRAGMENTS:
                self._fail(CloseCode.MESSAGE_TOO_BIG, f"a message has at most {MAX_FRAGMENTS} frames")

    def _put_message(self) -> None:
        data, self._fragments = b"".join(self._fragments), []
        if self._ending_at is not None:
            return
        if not self._is_text:
            self._received.put_nowait({"type": "websocket.receive", "bytes": data})
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, "a text message is not UTF-8")
            return
        self._received.put_nowait({"type": "websocket.receive", "text": text})

    def _fail(self, code: CloseCode, reason: str) -> None:
        self._ws.fail(code, reason)
        self._put_disconnect()

    def _put_disconnect(self) -> None:
        closed = self._ws.close_rcvd or self._ws.close_sent
        code = closed.code if closed is not None else CloseCode.ABNORMAL_CLOSURE
        self._received.put_nowait({"type": "websocket.disconnect", "code": int(code), "reason": ""})

    # The transport

    def _flush(self) -> None:
        for data in self._ws.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._send_end()

    def _send_end(self) -> None:
        """End this direction, and read on until the peer closes: a connection that is closed with unread bytes is
        reset, and the peer would not see why it was closed."""
        self._ending_at = self._ending_at or self._loop.time() + CLOSE_SECONDS
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _set_reading(self, *, on: bool) -> None:
        if on == self._reading or self._transport.is_closing():
            return
        self._reading = on
        if on:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
