"""Replies that come before the request's body has ended, under a server that does not care for them itself.

A server that closes a connection with unread bytes resets it, and the client, still sending, would never see why it
was refused. So what still comes is read and dropped, within limits, between the reply's last byte and its end.
"""

from __future__ import annotations

import asyncio

from windlass.http.middleware import Message, Receive, Scope, Send, header
from windlass.http.server.connections import LINGER_SECONDS, LINGER_SILENCE, MAX_LINGERING

#: A server that has this extension does it by itself (``server_protocol``).
LINGERS = "windlass.http.lingers"

_lingering = 0


class UnreadBody:
    """Stands between an application and its server: ``receive`` and ``send`` are for the application."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._ended = not _announced(scope)
        # The body comes only once it is asked for, by the first receive (RFC 9110, 10.1.1).
        self._waits = (header(scope, b"expect") or "").lower() == "100-continue"

    async def receive(self) -> Message:
        self._waits = False
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._ended = True
        return message

    async def send(self, message: Message) -> None:
        if self._ended:
            await self._send(message)
        elif message["type"] == "http.response.start":
            await self._send({**message, "headers": [*_others(message), (b"connection", b"close")]})
        elif self._waits or message.get("more_body", False):
            await self._send(message)
        else:
            await self._send({**message, "more_body": True})
            await self._drain()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        global _lingering
        if _lingering >= MAX_LINGERING:
            return
        _lingering += 1
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._ended:
                    async with asyncio.timeout(LINGER_SILENCE):
                        await self.receive()
        except TimeoutError:
            return
        finally:
            _lingering -= 1


def _announced(scope: Scope) -> bool:
    return header(scope, b"transfer-encoding") is not None or header(scope, b"content-length") not in (None, "0")


def _others(message: Message) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in message.get("headers", []) if name.lower() != b"connection"]
