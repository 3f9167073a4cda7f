"""uvicorn's HTTP protocol with limits and deadlines, for a server that moves files and may face the internet directly.

``request_framing`` reads heads and frames bodies, ``request_cycle`` holds one request, and ``connections`` calls
``check`` of every connection for its deadlines. What arrived before a client closed is delivered before the close. A
client that is answered before its body ended may finish sending, so that it sees the reply. Files are sent by sendfile
where nothing needs to see their bytes (ASGI's extension ``http.response.zerocopysend``). See
docs/decisions/0014-server-protocol.md and 0036-limits-of-requests.md.

The class uses private names of uvicorn, which tests/pure/test_uvicorn.py lists and looks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from typing import Any, cast

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from windlass import conf
from windlass.http.forwarded import forwarded, is_trusted_proxy
from windlass.http.middleware import Scope, header
from windlass.http.request_record import TRAFFIC, record_of
from windlass.http.server import direct_receive, zero_copy
from windlass.http.server.asgi_extensions import DRAINS_BODY, INTERIM_RESPONSE
from windlass.http.server.connections import LINGER_SECONDS, LINGER_SILENCE, MAX_LINGERING, connections_of
from windlass.http.server.request_cycle import ReplyTransport, RequestCycle
from windlass.http.server.request_framing import HeadLimits, RequestFraming, RequestHead
from windlass.http.server.websocket_protocol import Handshake, WebSocketProtocol
from windlass.kernel import process_counters
from windlass.kernel.document_policies import DATA_POLICY
from windlass.kernel.ids import request_id
from windlass.kernel.problem_types import Problem, ReceiveTimeout, TooManyConnections
from windlass.resilience.minimum_rate import MinimumRate

#: Seconds beyond RECEIVE_TIMEOUT after which a body is cut off here. The endpoint has the shorter deadline, because its
#: reply can say more.
AFTER_THE_ENDPOINT = 5.0
#: Seconds that a request whose body still arrives may go on when the server stops: an upload commits meanwhile.
STOP_SECONDS = 1.0

log = structlog.get_logger(__name__)


class ReceivingProtocol(HttpToolsProtocol):
    """The class for uvicorn's ``http=``. Requests run one at a time; what a client sends ahead waits in the socket."""

    cycle: RequestCycle

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
        self._open_connections = connections_of(self.loop)
        self._addresses: list[str] = []
        self._head_since = self._idle_since = self.loop.time()
        self._lingers = self._has_answered = self._is_closed = False
        self._linger_since = self._last_received_at = 0.0
        self._checked_received = self._checked_sent = 0
        self._body_rate = self._new_body_rate()
        self._send_rate = MinimumRate(settings.send_timeout, settings.min_send_rate)
        self.file_progress = zero_copy.Progress()

    # Called by the event loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._reply = ReplyTransport(self, transport, self.loop)
        fits = self._open_connections.add(self)
        peer = self.client[0] if self.client else None
        if not fits:
            self._refuse_connection("The server has as many connections as it may have.")
        elif peer is not None and not is_trusted_proxy(peer) and not self._acquire(peer):
            self._refuse_connection(f"{peer} has as many connections as one address may have.")

    def data_received(self, data: bytes) -> None:
        if self._is_closed:
            self._last_received_at = self.loop.time()
            self._count_late(len(data))
        elif self._is_busy and self._framing.is_between_requests:
            self._framing.hold(data)
            self.flow.pause_reading()
        else:
            if self._framing.is_between_requests:
                self._head_since = self.loop.time()
            self._feed(data)

    def _count_late(self, size: int) -> None:
        """Count what arrives of a body after its reply, and is dropped."""
        if self.cycle is not None and self.cycle.more_body:
            process_counters.received_bytes.add(size, record_of(cast(Scope, self.scope)).dialect, "late")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_busy and not self._is_closed:  # otherwise this side closed it
            self.cycle.lose_client()
        super().connection_lost(exc)
        self._unregister()

    # Requests

    @property
    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _feed(self, data: bytes) -> None:
        try:
            while True:
                for event in self._framing.feed(data):
                    if isinstance(event, RequestHead):
                        self._start_request(event)
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

    def _start_request(self, head: RequestHead) -> None:
        self._open_connections.keep(self)
        self._fill_scope(head)
        self._acquire_forwarded()
        if head.is_websocket_handshake:
            self._upgrade(head)
            return
        self._body_rate, self._checked_received = self._new_body_rate(), 0
        self.cycle = RequestCycle(
            self,
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
        extensions = self.scope.setdefault("extensions", {})
        assert extensions is not None
        extensions[INTERIM_RESPONSE] = {"send": self.cycle.send_interim}
        extensions[DRAINS_BODY] = {}
        extensions[TRAFFIC] = {"read": self.cycle.traffic}
        if zero_copy.is_possible(self.transport):
            extensions[zero_copy.MESSAGE] = {}
        if head.length and self._settings.direct_receive == "auto" and direct_receive.is_possible(self.transport):
            extensions[direct_receive.EXTENSION] = {"offer": self.cycle}
        self._start_asgi_task(self.cycle, self.app)

    def unread_body(self) -> int:
        return self._framing.unread_body

    def skip_body(self, size: int) -> None:
        if self._framing.skip_body(size):
            self.cycle.end_body()

    def _fill_scope(self, head: RequestHead) -> None:
        root = self.root_path
        self.on_message_begin()
        self.headers.extend(head.headers)
        self.scope["method"] = head.method
        self.scope["http_version"] = head.version
        self.scope["path"] = root + head.path
        self.scope["raw_path"] = root.encode("ascii") + head.raw_path
        self.scope["query_string"] = head.query

    def _upgrade(self, head: RequestHead) -> None:
        """Hand the connection over to the WebSocket protocol. It counts for its address until it closes. Raises
        BadRequest."""
        handshake = Handshake(head.headers)
        websocket = WebSocketProtocol(self.app, self.server_state, self._open_connections, self._release_addresses)
        self._is_closed = True
        self.connections.discard(self)
        self._open_connections.remove(self)
        websocket.start(self.transport, cast(Scope, self.scope), handshake, self._framing.take_pending())

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._addresses and self.client is not None and is_trusted_proxy(self.client[0]):
            self._release_addresses()
        self._has_answered = True
        if self.transport.is_closing() or self._is_closed:
            return
        self._head_since = self._idle_since = self.loop.time()
        self._open_connections.wait(self)
        self.flow.resume_reading()
        if self._framing.has_pending:
            self._feed(b"")

    # The end of a connection

    def shutdown(self) -> None:
        super().shutdown()
        if self._is_busy:
            self.loop.call_later(STOP_SECONDS, self.cycle.break_off)

    def finish(self) -> None:
        """Close once the client has read the reply.

        A connection that is closed with unread bytes is reset, and a client that still sends would not see the reply.
        """
        if self._framing.is_between_requests and not self._framing.has_pending:
            self._is_closed = True
            self.transport.close()
        else:
            self._linger()

    def make_way(self) -> None:
        process_counters.connections_ended.add(1, "made-way")
        self._is_closed = True
        self.transport.close()

    def _linger(self) -> None:
        if self._is_closed or self.transport.is_closing():
            return
        self._is_closed = True
        self._open_connections.keep(self)
        if self._open_connections.lingering >= MAX_LINGERING:
            self.transport.close()
            return
        self._reply.flush()
        self._lingers = True
        self._open_connections.lingering += 1
        self._linger_since = self._last_received_at = self.loop.time()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()

    def _refuse(self, problem: Problem) -> None:
        """Answer instead of the application and close."""
        process_counters.requests_refused.add(1, str(problem.status))
        log.info("request.refused", status=problem.status, reason=problem.slug)
        reply_has_started = self._is_busy and self.cycle.response_started
        if self._is_busy:
            self.cycle.disconnect()
        if not reply_has_started:
            self._reply.write(self._problem_reply(problem))
        self._linger()

    def _refuse_connection(self, reason: str) -> None:
        process_counters.connections_ended.add(1, "too-many")
        self._refuse(TooManyConnections(f"{reason} Try again when some have ended."))

    def _problem_reply(self, problem: Problem) -> bytes:
        name = request_id(None)
        body = json.dumps(problem.document(request_id=name)).encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", name.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"content-security-policy", DATA_POLICY.encode()),
            (b"connection", b"close"),
            *((key.encode(), value.encode()) for key, value in problem.headers.items()),
        ]
        if self._is_busy and header(cast(Scope, self.scope), b"tus-resumable") is not None:
            headers.append((b"tus-resumable", b"1.0.0"))
        lines = b"".join(key + b": " + value + b"\r\n" for key, value in headers)
        return STATUS_LINE[problem.status] + lines + b"\r\n" + body

    def _abort(self) -> None:
        """Close at once, also for a thread that holds a copy of the socket to send a file."""
        self._is_closed = True
        copy = socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))
        with copy, contextlib.suppress(OSError):
            copy.shutdown(socket.SHUT_RDWR)
        self.transport.abort()

    def _unregister(self) -> None:
        self._open_connections.remove(self)
        self._release_addresses()
        if self._lingers:
            self._lingers = False
            self._open_connections.lingering -= 1
        self._is_closed = True

    # Limits of addresses

    def _acquire(self, address: str) -> bool:
        acquired = self._open_connections.acquire(address)
        if acquired:
            self._addresses.append(address)
        return acquired

    def _acquire_forwarded(self) -> None:
        """Count the request of a client behind a trusted proxy, whose connections are the proxy's. Raises
        TooManyConnections."""
        scope = cast(Scope, self.scope)
        client_scope = forwarded(scope)
        client = client_scope.get("client")
        if client_scope is scope or client is None or self.client is None or client[0] == self.client[0]:
            return
        if self._acquire(client[0]):
            return
        process_counters.connections_ended.add(1, "too-many")
        raise TooManyConnections(f"{client[0]} has as many running requests as one address may have.")

    def _release_addresses(self) -> None:
        while self._addresses:
            self._open_connections.release(self._addresses.pop())

    # Deadlines

    def check(self, now: float, elapsed: float) -> None:
        """Close the connection if a deadline has passed. ``connections`` calls it twice a second."""
        if self._client_reads_too_slowly(elapsed):
            process_counters.connections_ended.add(1, "slow-reply")
            self._abort()
        elif self._lingers:
            if now - self._linger_since > LINGER_SECONDS or now - self._last_received_at > LINGER_SILENCE:
                self.transport.close()
        elif self._is_closed:
            return
        elif self._is_busy:
            self._check_body(elapsed)
        elif self._framing.is_in_head and now - self._head_since > self._settings.head_timeout:
            process_counters.connections_ended.add(1, "head-timeout")
            self._refuse(
                ReceiveTimeout(f"The head of the request did not come within {self._settings.head_timeout:g} seconds.")
            )
        elif self._framing.is_between_requests and now - self._idle_since > (
            self._settings.keep_alive_timeout if self._has_answered else self._settings.head_timeout
        ):
            process_counters.connections_ended.add(not self._has_answered, "head-timeout")
            self._is_closed = True
            self.transport.close()

    def _new_body_rate(self) -> MinimumRate:
        return MinimumRate(self._settings.receive_timeout + AFTER_THE_ENDPOINT, self._settings.min_receive_rate)

    def _check_body(self, elapsed: float) -> None:
        cycle = self.cycle
        if not cycle.more_body or cycle.response_started:
            return
        received, self._checked_received = cycle.received - self._checked_received, cycle.received
        # Time in which the application lets the client wait does not count.
        if not self._body_rate.account(elapsed if cycle.is_awaited else 0.0, received):
            process_counters.connections_ended.add(1, "slow-body")
            self._refuse(ReceiveTimeout("The body came too slowly and was given up. Send it again, or resume it."))

    def _client_reads_too_slowly(self, elapsed: float) -> bool:
        """Only time with unsent bytes counts: an event stream without events is not slow."""
        waiting = self.transport.get_write_buffer_size()
        if not waiting and not self.file_progress.waits:
            self._send_rate.credit = self._settings.send_timeout
            return False
        sent = self._reply.written - waiting + self.file_progress.sent - zero_copy.unacknowledged_bytes(self.transport)
        acknowledged, self._checked_sent = max(0, sent - self._checked_sent), sent
        return not self._send_rate.account(elapsed, acknowledged)
