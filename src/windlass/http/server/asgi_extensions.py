"""What our server protocol adds to ASGI: interim responses, and reading the rest of a body after an early reply; and
``BodyDrain``, which does the latter under other servers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from windlass.http.middleware import Message, Receive, Scope, Send, header, without
from windlass.http.server.connections import LINGER_SECONDS, LINGER_SILENCE, MAX_LINGERING

#: ``scope["extensions"][INTERIM_RESPONSE]["send"]`` is a coroutine function of a status and header fields.
INTERIM_RESPONSE = "windlass.http.response.informational"
#: A server with this extension reads the rest of a body after a reply that came before its end.
DRAINS_BODY = "windlass.http.lingers"

_draining = 0


async def send_interim_response(scope: Scope, status: int, headers: Mapping[str, str]) -> None:
    """Send an interim response (RFC 9110, 15.2), for which ASGI has no message. Does nothing where the server cannot:
    no client may rely on it."""
    extension = scope.get("extensions", {}).get(INTERIM_RESPONSE)
    if extension is not None:
        await extension["send"](status, headers)


class BodyDrain:
    """Wraps the server's ``receive`` and ``send`` for the application.

    A connection that is closed with unread bytes is reset, and a client that still sends would not see the reply. So
    what still arrives is read and dropped, within limits, between the reply's last byte and its end.
    """

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
            headers = [*without(message.get("headers", []), b"connection"), (b"connection", b"close")]
            await self._send({**message, "headers": headers})
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
