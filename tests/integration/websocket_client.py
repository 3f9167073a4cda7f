"""A client of WebSockets, for tests: of a running server, and of an ASGI application without sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

SECONDS = 30.0


class Socket:
    """Reads JSON messages as they come."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, message: Any) -> None:
        self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def message(self) -> dict[str, Any]:
        received: dict[str, Any] = json.loads(self.connection.recv(SECONDS))
        return received

    def events(self, count: int) -> list[dict[str, Any]]:
        """The next ``count`` events of the journal."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            message = self.message()
            if message.get("id") is not None:
                found.append(message)
        return found

    def answer(self, member: str) -> dict[str, Any]:
        """The next message that has this member."""
        while True:
            message = self.message()
            if member in message:
                return message

    def close_code(self) -> int | None:
        """The code with which the server closes. Reads what comes before."""
        try:
            while True:
                self.connection.recv(SECONDS)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


@contextmanager
def opened(url: str, path: str, headers: Mapping[str, str] | None = None, **options: Any) -> Iterator[Socket]:
    """A WebSocket on this server, whose URL begins with ``http``."""
    address = url.replace("http", "ws", 1) + path
    with connect(address, additional_headers=headers, open_timeout=SECONDS, proxy=None, **options) as connection:
        yield Socket(connection)


def refusal(url: str, path: str, headers: Mapping[str, str] | None = None, **options: Any) -> httpx.Response:
    """The reply to a handshake that is refused."""
    try:
        with opened(url, path, headers, **options):
            raise AssertionError(f"the WebSocket {path} was opened")
    except InvalidStatus as refused:
        response = refused.response
        return httpx.Response(
            response.status_code, headers=dict(response.headers.raw_items()), content=bytes(response.body)
        )


def handshake(app: Any, path: str, headers: Mapping[str, str]) -> httpx.Response:
    """The reply of an ASGI application to a handshake; 101 where it accepts."""
    return asyncio.run(_handshake(app, path, headers))


async def _handshake(app: Any, path: str, headers: Mapping[str, str]) -> httpx.Response:
    target = urlsplit(path)
    sent: list[dict[str, Any]] = []
    received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    received.put_nowait({"type": "websocket.connect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "websocket.accept":
            received.put_nowait({"type": "websocket.disconnect", "code": 1000})

    fields = {"host": "localhost", **{name.lower(): value for name, value in headers.items()}}
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": target.path,
        "raw_path": target.path.encode(),
        "query_string": target.query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
        "client": ("127.0.0.1", 1234),
        "server": ("localhost", 80),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
    await app(scope, received.get, send)
    if sent[0]["type"] == "websocket.accept":
        return httpx.Response(101)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=body)
