"""uvicorn's HTTP protocol for a server that moves files and stands in the open.

Heads and the framing of bodies are read by ``request_framing``, within limits. Each piece of a body is handed on as it
came, up to a MiB may wait while the application is busy, and what arrived before a close is delivered before the close
is told (docs/decisions: server protocol). Every connection has deadlines, which ``connections`` looks after; a client
that was answered before its body ended is let finish, so that it sees why (docs/decisions: limits of requests).

Files go out by sendfile where nothing stands between: ASGI's extension ``http.response.zerocopysend``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from windlass import conf
from windlass.http.forwarded import forwarded, is_trusted_proxy
from windlass.http.memory_budget import FREE_PER_CONNECTION, budget
from windlass.http.middleware import Scope, header
from windlass.http.server import zero_copy
from windlass.http.server.asgi_extensions import DRAINS_BODY, INTERIM_RESPONSE
from windlass.http.server.connections import LINGER_SECONDS, LINGER_SILENCE, MAX_LINGERING, connections_of
from windlass.http.server.request_framing import HeadLimits, RequestFraming, RequestHead
from windlass.kernel import process_counters
from windlass.kernel.errors import Problem, ReceiveTimeout, TooManyConnections, Unavailable
from windlass.kernel.ids import request_id
from windlass.resilience.minimum_rate import MinimumRate

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent, HTTPRequestEvent

#: Bytes of a body that wait for the application before nothing more is read from the socket.
HIGH_WATER = 1024 * 1024
#: Seconds beyond RECEIVE_TIMEOUT after which a body is cut off here: the endpoint, which can say more, comes first.
AFTER_THE_ENDPOINT = 5.0
#: How long a request whose body is still coming may go on when the server stops: a leased upload commits meanwhile.
STOP_SECONDS = 1.0

_REASONS = {104: "Upload Resumption Supported"}

log = structlog.get_logger(__name__)


class ReplyTransport(asyncio.Transport):
    """The connection as one reply sees it: it counts what is written, and closing lets the client read the reply."""

    def __init__(self, protocol: ReceivingProtocol, transport: asyncio.Transport) -> None:
        super().__init__()
        self._protocol = protocol
        self._transport = transport
        self.written = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += len(data)
        self._transport.write(data)

    def close(self) -> None:
        self._protocol.finish()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class ReceivingCycle(RequestResponseCycle):
    """One request whose body is a queue of pieces."""

    protocol: ReceivingProtocol

    def begin(self, protocol: ReceivingProtocol) -> None:
        self.protocol = protocol
        self.pieces: deque[bytes] = deque()
        self.waiting = self.received = self._granted = 0
        self.end_told = self.broken_off = False

    def break_off(self) -> None:
        """The server stops: nobody waits any longer for a body that has not come. What came is still delivered."""
        self.broken_off = self.more_body
        self.message_event.set()

    def add(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.waiting += len(piece)
        self.received += len(piece)
        granted = self._granted + FREE_PER_CONNECTION >= self.waiting or self._ask_for(len(piece))
        if self.waiting >= HIGH_WATER or not granted:
            self.flow.pause_reading()
        self.message_event.set()

    def end_body(self) -> None:
        self.more_body = False
        self.message_event.set()

    def disconnect(self) -> None:
        """The client is gone, or is to be treated as if it were."""
        self.disconnected = True
        self.message_event.set()

    def lose_client(self) -> None:
        """A client may go away at any time: that is counted, and no error."""
        if not self.disconnected:
            process_counters.client_disconnects["body" if self.more_body else "reply"] += 1
            log.info("request.client_gone", during="body" if self.more_body else "reply")
        self.disconnect()

    def forget(self) -> None:
        """Nobody will receive any more."""
        self.pieces.clear()
        self.waiting = 0
        self._give_back()

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

    async def run_asgi(self, app: Any) -> None:
        try:
            await super().run_asgi(app)
        finally:
            self.forget()

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == zero_copy.MESSAGE:
            await self._send_file(cast(zero_copy.Message, message))
            return
        if message["type"] == "http.response.start" and self.more_body:
            self.keep_alive = False  # the rest of the body would stand before the next request
        await super().send(message)

    async def _send_file(self, message: zero_copy.Message) -> None:
        """The body's next bytes, from a file. Raises EOFError where it ends before."""
        if self.disconnected:
            return
        if message["count"] > self.expected_content_length:
            raise RuntimeError("Response content longer than Content-Length")
        try:
            await zero_copy.send(self.protocol.transport, message, self.protocol.file_progress)
        except ConnectionError:
            self.lose_client()
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
            if self.more_body:  # else what comes is the next request, and waits
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
        self._give_back()
        if self.waiting < HIGH_WATER and self.more_body:
            self.flow.resume_reading()
        # A client that closed in mid-body still owes the rest: the next call tells of the close.
        more = bool(self.more_body or self.pieces)
        self.end_told = not more
        return {"type": "http.request", "body": piece, "more_body": more}

    def _ask_for(self, size: int) -> bool:
        if not budget().try_take(size):
            return False
        self._granted += size
        return True

    def _give_back(self) -> None:
        surplus = min(self._granted, self._granted + FREE_PER_CONNECTION - self.waiting)
        if surplus > 0:
            self._granted -= surplus
            budget().give(surplus)


class ReceivingProtocol(HttpToolsProtocol):
    """Give it to uvicorn as ``http=``. One request at a time: what a client sends ahead waits in the socket."""

    cycle: ReceivingCycle

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        settings = conf.get()
        self._framing = RequestFraming(
            HeadLimits(
                request_line=settings.max_request_line_bytes,
                line=settings.max_header_line_bytes,
                head=settings.max_header_bytes,
                lines=settings.max_header_lines,
            )
        )
        self._settings = settings
        self._watch = connections_of(self.loop)
        self._addresses: list[str] = []
        self._head_since = self._idle_since = self.loop.time()
        self._lingers = self._answered_any = self._is_closed = False
        self._linger_since = self._heard_at = 0.0
        self._seen_received = self._seen_sent = 0
        self._body_rate = self._new_body_rate()
        self._send_rate = MinimumRate(settings.send_timeout, settings.min_send_rate)
        self.file_progress = zero_copy.Progress()

    # Called by the event loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._reply = ReplyTransport(self, transport)
        fits = self._watch.add(self)
        peer = self.client[0] if self.client else None
        if not fits:
            self._refuse_connection("The server has as many connections as it may have.")
        elif peer is not None and not is_trusted_proxy(peer) and not self._hold(peer):
            self._refuse_connection(f"{peer} has as many connections as one address may have.")

    def data_received(self, data: bytes) -> None:
        if self._is_closed:
            self._heard_at = self.loop.time()
        elif self._is_busy and self._framing.is_between_requests:
            self._framing.hold(data)
            self.flow.pause_reading()
        else:
            if self._framing.is_between_requests:
                self._head_since = self.loop.time()
            self._feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_busy and not self._is_closed:  # else it was closed from here
            self.cycle.lose_client()
        super().connection_lost(exc)
        self._leave()

    # Requests

    @property
    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _feed(self, data: bytes) -> None:
        try:
            while True:
                for event in self._framing.feed(data):
                    if isinstance(event, RequestHead):
                        self._begin(event)
                    elif isinstance(event, bytes):
                        self.cycle.add(event)
                    else:
                        self.cycle.end_body()
                    if self._is_closed:
                        return
                if not self._framing.has_pending:
                    return
                if self._is_busy:
                    self.flow.pause_reading()
                    return
                data = b""
        except Problem as problem:
            self._refuse(problem)

    def _begin(self, head: RequestHead) -> None:
        self._describe(head)
        self._hold_forwarded()
        if head.is_websocket_handshake and self._should_upgrade_to_ws():
            self._upgrade(head)
            return
        self._body_rate, self._seen_received = self._new_body_rate(), 0
        self.cycle = ReceivingCycle(
            scope=self.scope,
            transport=self._reply,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=head.expects_continue,
            keep_alive=head.keep_alive,
            on_response=self.on_response_complete,
        )
        self.cycle.begin(self)
        extensions = self.scope.setdefault("extensions", {})
        assert extensions is not None
        extensions[INTERIM_RESPONSE] = {"send": self.cycle.inform}
        extensions[DRAINS_BODY] = {}
        if zero_copy.possible(self.transport):
            extensions[zero_copy.MESSAGE] = {}
        self._start_asgi_task(self.cycle, self.app)

    def _describe(self, head: RequestHead) -> None:
        root = self.root_path
        self.on_message_begin()
        self.headers.extend(head.headers)
        self.scope["method"] = head.method
        self.scope["http_version"] = head.version
        self.scope["path"] = root + head.path
        self.scope["raw_path"] = root.encode("ascii") + head.raw_path
        self.scope["query_string"] = head.query

    def _upgrade(self, head: RequestHead) -> None:
        """Hand the connection over. It counts until it closes; the other protocol pings its client."""
        other = self.ws_protocol_class(  # type: ignore[call-arg, misc]
            config=self.config, server_state=self.server_state, app_state=self.app_state
        )
        lost = other.connection_lost

        def connection_lost(exc: Exception | None) -> None:
            lost(exc)
            self._release_addresses()

        other.connection_lost = connection_lost  # type: ignore[method-assign]
        self._is_closed = True
        self.connections.discard(self)
        self._watch.remove(self)
        target = head.raw_path + (b"?" + head.query if head.query else b"")
        lines = [b"GET " + target + b" HTTP/1.1", *(name + b": " + value for name, value in head.headers), b"", b""]
        other.connection_made(self.transport)
        other.data_received(b"\r\n".join(lines) + self._framing.take_pending())
        self.transport.set_protocol(other)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._release_forwarded()
        self._answered_any = True
        if self.transport.is_closing() or self._is_closed:
            return
        self._head_since = self._idle_since = self.loop.time()
        self.flow.resume_reading()
        if self._framing.has_pending:
            self._feed(b"")

    # Ends

    def shutdown(self) -> None:
        super().shutdown()
        if self._is_busy:
            self.loop.call_later(STOP_SECONDS, self.cycle.break_off)

    def finish(self) -> None:
        """Close, once the client has had the reply: a connection that is closed with unread bytes is reset, and the
        client, still sending, would never see why it was refused."""
        if self._framing.is_between_requests and not self._framing.has_pending:
            self._is_closed = True
            self.transport.close()
        else:
            self._linger()

    def _linger(self) -> None:
        if self._is_closed or self.transport.is_closing():
            return
        self._is_closed = True
        if self._watch.lingering >= MAX_LINGERING:
            self.transport.close()
            return
        self._lingers = True
        self._watch.lingering += 1
        self._linger_since = self._heard_at = self.loop.time()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()

    def _refuse(self, problem: Problem) -> None:
        """Answer what the application shall not see, or no more of, and close."""
        process_counters.requests_refused[str(problem.status)] += 1
        log.info("request.refused", status=problem.status, reason=problem.slug)
        if self._is_busy:
            started = self.cycle.response_started
            self.cycle.disconnect()
            if not started:
                self._reply.write(self._document(problem))
        else:
            self._reply.write(self._document(problem))
        self._linger()

    def _refuse_connection(self, reason: str) -> None:
        process_counters.connections_ended["too-many"] += 1
        self._refuse(TooManyConnections(f"{reason} Try again when some have ended."))

    def _document(self, problem: Problem) -> bytes:
        name = request_id(None)
        body = json.dumps(problem.document(request_id=name)).encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", name.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"connection", b"close"),
            *((key.encode(), value.encode()) for key, value in problem.headers.items()),
        ]
        if self._is_busy and header(cast(Scope, self.scope), b"tus-resumable") is not None:
            headers.append((b"tus-resumable", b"1.0.0"))
        lines = b"".join(key + b": " + value + b"\r\n" for key, value in headers)
        return STATUS_LINE[problem.status] + lines + b"\r\n" + body

    def _abort(self) -> None:
        """Also ends what holds a copy of the socket to send a file."""
        self._is_closed = True
        copy = socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))
        with copy, contextlib.suppress(OSError):
            copy.shutdown(socket.SHUT_RDWR)
        self.transport.abort()

    def _leave(self) -> None:
        self._watch.remove(self)
        self._release_addresses()
        if self._lingers:
            self._lingers = False
            self._watch.lingering -= 1
        self._is_closed = True

    # Addresses

    def _hold(self, address: str) -> bool:
        held = self._watch.acquire(address)
        if held:
            self._addresses.append(address)
        return held

    def _hold_forwarded(self) -> None:
        """Behind a trusted proxy one client's running requests count, since its connections are the proxy's.

        Raises TooManyConnections.
        """
        scope = cast(Scope, self.scope)
        seen = forwarded(scope)
        client = seen.get("client")
        if seen is scope or client is None or self.client is None or client[0] == self.client[0]:
            return
        if self._hold(client[0]):
            return
        process_counters.connections_ended["too-many"] += 1
        raise TooManyConnections(f"{client[0]} has as many running requests as one address may have.")

    def _release_forwarded(self) -> None:
        if self._addresses and self.client is not None and is_trusted_proxy(self.client[0]):
            self._release_addresses()

    def _release_addresses(self) -> None:
        while self._addresses:
            self._watch.release(self._addresses.pop())

    # Deadlines

    def check(self, now: float, elapsed: float) -> None:
        """Called by ``connections`` twice a second."""
        if self._is_too_slow_to_take(elapsed):
            process_counters.connections_ended["slow-reply"] += 1
            self._abort()
        elif self._lingers:
            if now - self._linger_since > LINGER_SECONDS or now - self._heard_at > LINGER_SILENCE:
                self.transport.close()
        elif self._is_closed:
            return
        elif self._is_busy:
            self._check_body(elapsed)
        elif self._framing.is_in_head and now - self._head_since > self._settings.head_timeout:
            process_counters.connections_ended["head-timeout"] += 1
            self._refuse(
                ReceiveTimeout(f"The head of the request did not come within {self._settings.head_timeout:g} seconds.")
            )
        elif self._framing.is_between_requests and now - self._idle_since > self._idle_limit:
            process_counters.connections_ended["head-timeout"] += not self._answered_any
            self._is_closed = True
            self.transport.close()

    @property
    def _idle_limit(self) -> float:
        return self._settings.keep_alive_timeout if self._answered_any else self._settings.head_timeout

    def _new_body_rate(self) -> MinimumRate:
        return MinimumRate(self._settings.receive_timeout + AFTER_THE_ENDPOINT, self._settings.min_receive_rate)

    def _check_body(self, elapsed: float) -> None:
        cycle = self.cycle
        if not cycle.more_body or cycle.response_started:
            return
        came, self._seen_received = cycle.received - self._seen_received, cycle.received
        # What the application keeps the client waiting for is not the client's fault.
        is_awaited = not self.flow.read_paused and not cycle.waiting_for_100_continue
        if not self._body_rate.account(elapsed if is_awaited else 0.0, came):
            process_counters.connections_ended["slow-body"] += 1
            self._refuse(ReceiveTimeout("The body came too slowly and was given up. Send it again, or resume it."))

    def _is_too_slow_to_take(self, elapsed: float) -> bool:
        """Only what waits for the client counts: an event stream with nothing to tell is not slow."""
        waiting = self.transport.get_write_buffer_size()
        if not waiting and not self.file_progress.waits:
            self._send_rate.credit = self._settings.send_timeout
            return False
        sent = self._reply.written - waiting + self.file_progress.sent - zero_copy.not_acknowledged(self.transport)
        taken, self._seen_sent = max(0, sent - self._seen_sent), sent
        return not self._send_rate.account(elapsed, taken)
