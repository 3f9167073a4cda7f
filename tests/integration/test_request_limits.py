"""Limits of heads, deadlines and numbers of connections in ``ReceivingProtocol``, with a real uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from windlass.http.server import zero_copy
from windlass.http.server.connections import Connections, connections_of
from windlass.http.server.uvicorn_protocol import ReceivingProtocol
from windlass.kernel import process_counters

SETTINGS = {
    "HEAD_TIMEOUT": "1",
    "KEEP_ALIVE_TIMEOUT": "2",
    "RECEIVE_TIMEOUT": "1",
    "SEND_TIMEOUT": "2",
    "MAX_CONNECTIONS_PER_ADDRESS": "12",
}
LARGE = 30_000_000
GET = b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n"


class Application:
    """Reply according to the path, and count requests.

    ``started`` and ``ended`` count all requests, ``gone`` those whose client disconnected before the end of the body.
    ``connections`` are those of the server's event loop, after the first request.
    """

    def __init__(self) -> None:
        self.started = self.ended = self.gone = 0
        self.bodies: list[bytes] = []
        self.connections: Connections | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.connections = connections_of(asyncio.get_running_loop())
        self.started += 1
        answer: Callable[[Any, Any, Any], Any] = getattr(self, scope["path"].strip("/"), self.small)
        try:
            await answer(scope, receive, send)
        finally:
            self.ended += 1

    async def small(self, scope: Any, receive: Any, send: Any) -> None:
        await _answer(send, 200, json.dumps({"path": scope["path"], "query": scope["query_string"].decode()}).encode())

    async def refuse(self, scope: Any, receive: Any, send: Any) -> None:
        """Refuse without reading the body."""
        await _answer(send, 413, b"too large")

    async def read(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if message["type"] == "http.disconnect":
                self.gone += 1
            if not message.get("more_body"):
                break
        self.bodies.append(body)
        await _answer(send, 200, str(len(body)).encode())

    async def slow_to_read(self, scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(8)
        await self.read(scope, receive, send)

    async def large(self, scope: Any, receive: Any, send: Any) -> None:
        await _start(send, 200, LARGE)
        for _ in range(LARGE // 100_000):
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
        await send({"type": "http.response.body"})

    async def file(self, scope: Any, receive: Any, send: Any) -> None:
        await _start(send, 200, LARGE)
        with tempfile.TemporaryFile() as file:
            os.truncate(file.fileno(), LARGE)
            await send({"type": zero_copy.MESSAGE, "file": file.fileno(), "offset": 0, "count": LARGE})
        await send({"type": "http.response.body"})

    async def events(self, scope: Any, receive: Any, send: Any) -> None:
        """Send few bytes, for longer than any deadline."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(8):
            await asyncio.sleep(0.5)
            await send({"type": "http.response.body", "body": b": here\n\n", "more_body": True})
        await send({"type": "http.response.body"})


async def _start(send: Any, status: int, length: int) -> None:
    headers = [(b"content-length", str(length).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _answer(send: Any, status: int, body: bytes) -> None:
    await _start(send, status, len(body))
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def application() -> Application:
    return Application()


@pytest.fixture(scope="module")
def address(application: Application) -> Iterator[tuple[str, int]]:
    from windlass import conf

    with pytest.MonkeyPatch.context() as patch, socket.socket() as listener:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        conf.reload()
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        config = uvicorn.Config(application, http=ReceivingProtocol, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()
        server.should_exit = True
        thread.join(10)
    conf.reload()


Connect = Callable[[], socket.socket]


@pytest.fixture
def connect(address: tuple[str, int]) -> Iterator[Connect]:
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(socket.create_connection(address, timeout=20))


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.02)


def reply(client: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read the next reply to its last byte."""
    reader = client.makefile("rb", buffering=0)
    first = reader.readline().split()
    headers = {}
    while (line := reader.readline()).strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    body = b""
    while len(body) < int(headers.get("content-length", 0)):
        body += reader.read(int(headers["content-length"]) - len(body)) or b""
    return int(first[1]), headers, body


def refusal(client: socket.socket) -> dict[str, Any]:
    """Read a refusal by the server itself: a problem document, then the end of the connection."""
    status, headers, body = reply(client)
    document: dict[str, Any] = json.loads(body)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-request-id"] == document["request_id"]
    assert document["status"] == status
    assert client.recv(1) == b""
    return document


def ends(client: socket.socket) -> bool:
    """Return whether the server closes the connection without further bytes."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 17_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 101, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"X: " + b"a" * 15_000 + b"\r\n") * 5, 431),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00", 400),
    ],
)
def test_an_invalid_head_is_refused_and_the_connection_closed(connect: Connect, sent: bytes, status: int) -> None:
    client = connect()
    client.sendall(sent)
    assert refusal(client)["status"] == status


def test_a_client_that_sends_a_head_of_50_mb_first_gets_the_refusal(connect: Connect) -> None:
    """Nothing of it is parsed: the next request is answered meanwhile."""
    client = connect()
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
    for _ in range(50):
        client.sendall(b"a" * 1_000_000)
    other = connect()
    other.sendall(GET)
    assert reply(other)[0] == 200
    assert refusal(client)["limit"] == 16 * 1024


@pytest.mark.parametrize("framing", [b"Content-Length: 60000000", b"Transfer-Encoding: chunked"])
def test_a_client_that_sends_its_whole_body_first_gets_the_early_reply(connect: Connect, framing: bytes) -> None:
    client = connect()
    client.sendall(b"POST /refuse HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
    block = bytes(1_000_000) if b"Length" in framing else b"f4240\r\n" + bytes(1_000_000) + b"\r\n"
    for _ in range(60):
        client.sendall(block)
    assert reply(client)[::2] == (413, b"too large")
    assert ends(client)


def test_an_unread_small_body_keeps_the_connection_open(connect: Connect) -> None:
    client = connect()
    for _ in range(3):
        client.sendall(b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        assert reply(client)[0] == 413


def test_pipelined_requests_are_answered_in_order(connect: Connect) -> None:
    client = connect()
    heads = [
        f"POST /read?{n} HTTP/1.1\r\nHost: x\r\nContent-Length: {n}\r\n\r\n".encode() + b"x" * n for n in range(50)
    ]
    client.sendall(b"".join(heads) + b"nonsense\r\n")
    assert [int(reply(client)[2]) for _ in heads] == list(range(50))
    assert refusal(client)["status"] == 400


def test_raw_utf_8_is_treated_as_percent_encoded(connect: Connect) -> None:
    client = connect()
    client.sendall("GET /grün?q=ü HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert json.loads(reply(client)[2]) == {"path": "/grün", "query": "q=%C3%BC"}


@pytest.mark.slow
@pytest.mark.parametrize("before", [b"", GET])
def test_silence_and_an_incomplete_head_end_the_connection(connect: Connect, before: bytes) -> None:
    silent, half = connect(), connect()
    for client in (silent, half):
        client.sendall(before)
        assert not before or reply(client)[0] == 200
    half.sendall(b"GET / HTTP/1.1\r\nHost:")
    assert refusal(half)["status"] == 408
    assert ends(silent)


@pytest.mark.slow
def test_a_slow_head_times_out(connect: Connect) -> None:
    client = connect()
    with contextlib.suppress(ConnectionError):
        for byte in GET:
            client.sendall(bytes((byte,)))
            time.sleep(0.2)  # time is what is tested: the head takes longer than HEAD_TIMEOUT, byte after byte
    assert refusal(client)["status"] == 408


@pytest.mark.slow
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 1000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nf4240\r\n"]
)
def test_a_stalled_or_slow_body_times_out_and_its_bytes_are_delivered(
    connect: Connect, application: Application, framing: bytes
) -> None:
    before, bodies = application.gone, len(application.bodies)
    stops, trickles = connect(), connect()
    for client in (stops, trickles):
        client.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\n" + framing + b"kept")
    refused = threading.Event()

    def trickle() -> None:
        with contextlib.suppress(ConnectionError):
            while not refused.wait(0.2):
                trickles.sendall(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        assert refusal(stops)["status"] == 408
        assert reply(trickles)[0] == 408
    finally:
        refused.set()
        thread.join()
    wait_until(lambda: application.gone == before + 2)  # the reply may arrive before the application is told
    wait_until(lambda: len(application.bodies) == bodies + 2)
    assert application.bodies[-2].startswith(b"kept")
    assert application.bodies[-1].startswith(b"kept")


@pytest.mark.slow
def test_a_client_that_waits_for_the_application_does_not_time_out(connect: Connect) -> None:
    asked, invited = connect(), connect()
    invited.sendall(b"POST /slow_to_read HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    asked.sendall(b"POST /slow_to_read HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n")
    threading.Thread(target=asked.sendall, args=(bytes(3_000_000),), daemon=True).start()
    assert invited.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    invited.sendall(b"body")
    assert reply(invited)[::2] == (200, b"4")
    assert reply(asked)[::2] == (200, b"3000000")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["large", "file"])
def test_a_client_that_reads_nothing_is_disconnected(connect: Connect, application: Application, path: str) -> None:
    before, counted = application.ended, process_counters.connections_ended.value("slow-reply")
    client = connect()
    client.sendall(f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    wait_until(lambda: application.ended == before + 1)
    assert process_counters.connections_ended.value("slow-reply") == counted + 1
    received = 0
    with contextlib.suppress(ConnectionError):
        while block := client.recv(1_000_000):
            received += len(block)
    assert received < LARGE


@pytest.mark.slow
@pytest.mark.parametrize("path", ["large", "file"])
def test_a_slow_reader_gets_the_whole_reply(connect: Connect, path: str) -> None:
    client = connect()
    client.sendall(f"GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    received, began = 0, time.monotonic()
    while block := client.recv(LARGE // 20):
        received += len(block)
        if time.monotonic() - began < 4:
            time.sleep(0.5)  # time is what is tested: the client reads for longer than SEND_TIMEOUT
    assert received > LARGE


@pytest.mark.slow
def test_an_event_stream_may_last_longer_than_every_deadline(connect: Connect) -> None:
    client = connect()
    client.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    found = b""
    while block := client.recv(1000):
        found += block
    assert found.count(b": here") == 8


@pytest.mark.slow
def test_connections_of_one_address_are_limited(connect: Connect, application: Application) -> None:
    most = int(SETTINGS["MAX_CONNECTIONS_PER_ADDRESS"])

    def admitted() -> bool:
        client = connect()
        client.sendall(GET)
        return reply(client)[0] == 200

    wait_until(lambda: not application.connections)  # the server has seen the end of other tests' connections
    clients = [connect() for _ in range(most)]
    for client in clients:
        client.sendall(GET)
    assert {reply(client)[0] for client in clients} == {200}
    one_more = connect()
    status, headers, body = reply(one_more)
    assert (status, headers["retry-after"]) == (503, "5")
    assert json.loads(body)["type"] == "/problems/too-many-connections"
    for client in clients:
        client.close()
    wait_until(admitted)


def test_connections_without_a_request_make_way_for_one_with_a_request(
    connect: Connect, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    from windlass import conf

    def count(number: int) -> None:
        wait_until(lambda: len(application.connections or ()) == number)

    def begin() -> socket.socket:
        client, started = connect(), application.started
        client.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        wait_until(lambda: application.started == started + 1)
        return client

    monkeypatch.setenv("MAX_CONNECTIONS", "3")
    conf.reload()
    try:
        count(0)
        made_way = process_counters.connections_ended.value("made-way")
        running, silent = begin(), []
        for number in (2, 3):
            silent.append(connect())
            silent[-1].sendall(b"GET / HTTP/1.1\r\nX: ")
            count(number)
        client = connect()
        client.sendall(GET)
        assert reply(client)[0] == 200
        assert ends(silent[0])  # it was silent for longer than the other
        others = [begin(), begin()]  # the other silent one and the one that was answered make way
        assert ends(silent[1])
        assert ends(client)
        assert process_counters.connections_ended.value("made-way") == made_way + 3
        one_more = connect()
        assert refusal(one_more)["type"] == "/problems/too-many-connections"
        for each in (running, *others):
            each.sendall(b"hello")
            assert reply(each)[0] == 200
    finally:
        monkeypatch.undo()
        conf.reload()


def test_an_incomplete_websocket_handshake_is_an_ordinary_request(connect: Connect) -> None:
    for method, fields in (("GET", ""), ("POST", "Content-Length: 0\r\nSec-WebSocket-Version: 13\r\n")):
        client = connect()
        client.sendall(
            f"{method} / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{fields}\r\n".encode()
        )
        assert reply(client)[0] == 200


def test_disconnected_clients_are_counted(
    connect: Connect, application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    before = {during: process_counters.client_disconnects.value(during) for during in ("body", "reply")}
    for head in (
        b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
        b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        client, started = connect(), application.started
        client.sendall(head)
        wait_until(lambda before=started: application.started == before + 1)
        client.close()
    expected = {"body": before["body"] + 1, "reply": before["reply"] + 1}
    wait_until(lambda: {during: process_counters.client_disconnects.value(during) for during in before} == expected)
    assert "Traceback" not in caplog.text


def test_ipv6_addresses_are_counted_by_their_64_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from windlass import conf
    from windlass.http.server.connections import Connections

    monkeypatch.setenv("MAX_CONNECTIONS_PER_ADDRESS", "2")
    conf.reload()
    loop = asyncio.new_event_loop()
    found = Connections(loop)
    try:
        assert [found.acquire(f"2001:db8:1:2::{n}") for n in range(3)] == [True, True, False]
        assert found.acquire("2001:db8:1:3::1")
        assert [found.acquire(each) for each in ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1")] == [True, True, False]
        assert found.acquire("192.0.2.2")
        found.release("2001:db8:1:2::7")
        assert found.acquire("2001:db8:1:2::8")
    finally:
        loop.close()
        monkeypatch.undo()
        conf.reload()


@pytest.mark.slow
def test_running_requests_of_a_client_behind_a_trusted_proxy_are_limited(address: tuple[str, int]) -> None:
    from windlass import conf

    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("TRUSTED_PROXIES", "127.0.0.1")
        patch.setenv("MAX_CONNECTIONS_PER_ADDRESS", "2")
        conf.reload()

        def ask(client: str, path: str) -> socket.socket:
            made = stack.enter_context(socket.create_connection(address, timeout=20))
            made.sendall(f"GET /{path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\n\r\n".encode())
            return made

        running = [ask("192.0.2.1", "events") for _ in range(2)]
        for each in running:
            each.recv(10)
        assert reply(ask("192.0.2.1", "small"))[0] == 503
        assert [reply(ask("192.0.2.2", "small"))[0] for _ in range(5)] == [200] * 5
        for each in running:
            while not each.recv(1000).endswith(b"0\r\n\r\n"):
                pass
        assert reply(ask("192.0.2.1", "small"))[0] == 200
    conf.reload()
