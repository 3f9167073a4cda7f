"""What ``ReceivingProtocol`` adds to uvicorn's protocol, with a real uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from windlass.http.server.request_cycle import HIGH_WATER
from windlass.http.server.uvicorn_protocol import ReceivingProtocol


class Application:
    """Records what it receives. It waits for ``begin`` before its first receive."""

    def __init__(self) -> None:
        self.begin = threading.Event()
        self.ended = threading.Event()
        self.messages: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await asyncio.to_thread(self.begin.wait, 10)
        while True:
            message = await receive()
            self.messages.append(message)
            if message["type"] == "http.disconnect":
                break
            if not message["more_body"] and scope["path"] == "/answer":
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
                await send({"type": "http.response.body", "body": b"ok"})
        self.ended.set()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def address(application: Application) -> Iterator[tuple[str, int]]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(application, http=ReceivingProtocol, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()
        application.begin.set()
        server.should_exit = True
        thread.join(10)


def request(path: str, body: bytes, length: int | None = None) -> bytes:
    announced = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n".encode() + body


def send_what_is_taken(client: socket.socket, data: bytes) -> int:
    """Bytes that the other side takes before it lets the sender wait for half a second."""
    client.settimeout(0.5)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < len(data):
            sent += client.send(data[sent:])
    return sent


def test_the_body_of_a_client_that_closes_before_the_first_receive_is_delivered(
    application: Application, address: tuple[str, int]
) -> None:
    with socket.create_connection(address) as client:
        client.sendall(request("/", b"kept", length=10))
        client.shutdown(socket.SHUT_WR)
    threading.Timer(0.3, application.begin.set).start()
    assert application.ended.wait(10)
    assert application.body == b"kept"
    assert application.messages[-1] == {"type": "http.disconnect"}


def test_after_the_end_of_the_body_receive_waits_for_the_close(
    application: Application, address: tuple[str, int]
) -> None:
    application.begin.set()
    with socket.create_connection(address) as client:
        client.sendall(request("/", b"all"))
        assert not application.ended.wait(0.3)
        assert len(application.messages) <= 2
    assert application.ended.wait(10)
    assert application.body == b"all"


def test_a_client_is_paused_while_the_application_is_busy(application: Application, address: tuple[str, int]) -> None:
    whole = bytes(64 * HIGH_WATER)
    with socket.create_connection(address) as client:
        client.sendall(request("/answer", b"", length=len(whole)))
        sent = send_what_is_taken(client, whole)
        assert sent < len(whole)
        application.begin.set()
        client.settimeout(20)
        client.sendall(whole[sent:])
        assert b"200 OK" in client.recv(1000)
    assert application.ended.wait(10)
    assert len(application.body) == len(whole)


def test_a_websocket_whose_peer_reads_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the application waits for ever, such as a project's own."""
    from windlass import conf

    ended = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(65536)})
        finally:
            ended.set()

    monkeypatch.setenv("SEND_TIMEOUT", "0.5")
    conf.reload()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(application, http=ReceivingProtocol, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        with socket.create_connection(listener.getsockname()) as peer:
            peer.sendall(
                b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            assert ended.wait(20)
        server.should_exit = True
        thread.join(10)
    monkeypatch.undo()
    conf.reload()
