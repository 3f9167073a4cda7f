"""Read and drop the rest of a request's body after an early reply, under servers that do not do so.

A connection that is closed with unread bytes is reset, and a client that still sends would not see the reply. So what
still arrives is read and dropped, within limits, between the reply's last byte and its end.
"""

from __future__ import annotations

import asyncio

from windlass.http.middleware import Message, Receive, Scope, Send, header
from windlass.http.server.connections import LINGER_SECONDS, LINGER_SILENCE, MAX_LINGERING

_draining = 0


class BodyDrain:
    """Wraps the server's ``receive`` and ``send`` for the application."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._ended = not _has_body(scope)
        # The client sends the body only after the first receive (RFC 9110, 10.1.1).
        self._awaits_continue = (header(scope, b"expect") or "").lower() == "100-continue"

    async def receive(self) -> Message:
        self._awaits_continue = False
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._ended = True
        return message

    async def send(self, message: Message) -> None:
        if self._ended:
            await self._send(message)
        elif message["type"] == "http.response.start":
            await self._send({**message, "headers": [*_without_connection(message), (b"connection", b"close")]})
        elif self._awaits_continue or message.get("more_body", False):
            await self._send(message)
        else:
            await self._send({**message, "more_body": True})
            await self._drain()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        global _draining
        if _draining >= MAX_LINGERING:
            return
        _draining += 1
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._ended:
                    async with asyncio.timeout(LINGER_SILENCE):
                        await self.receive()
        except TimeoutError:
            return
        finally:
            _draining -= 1


def _has_body(scope: Scope) -> bool:
    return header(scope, b"transfer-encoding") is not None or header(scope, b"content-length") not in (None, "0")


def _without_connection(message: Message) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in message.get("headers", []) if name.lower() != b"connection"]
