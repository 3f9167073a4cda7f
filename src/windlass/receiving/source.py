"""Where bytes come from: a request's body, or one part of a form."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from windlass.storage.contract import Buffer

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The connection broke before the body ended. What arrived is kept."""


class Source(Protocol):
    async def read(self) -> Buffer | None:
        """The next bytes, or None at the end. Raises ClientGone. Cancelling it loses nothing."""
        ...


class Held:
    """Bytes that are in memory already."""

    def __init__(self, data: Buffer) -> None:
        self._data: Buffer | None = data

    async def read(self) -> Buffer | None:
        found, self._data = self._data, None
        return found or None


class RequestBody:
    """The body of an ASGI request. Not reading is the backpressure: the server stops taking from the socket."""

    def __init__(self, receive: Receive, *, empty: bool = False) -> None:
        """``empty``: the head says that there is no body, so that nothing need be received to know its end."""
        self._receive = receive
        self._first: asyncio.Task[MutableMapping[str, Any]] | None = None
        self._peeked: Buffer | None = None
        self.ended = empty

    def start(self) -> None:
        """Begin to receive before anybody else is asked.

        uvicorn forgets the small body of a client that closes before the application's first ``receive()``.
        Not for a request with ``Expect: 100-continue``: its first ``receive()`` invites the body.
        """
        self._first = asyncio.ensure_future(self._receive())

    async def is_empty(self) -> bool:
        """Whether it ends without a byte, for which the first is waited for. Raises ClientGone."""
        self._peeked = await self.read()
        return self._peeked is None

    async def read(self) -> Buffer | None:
        if self._peeked is not None:
            peeked, self._peeked = self._peeked, None
            return peeked
        while not self.ended:
            message = await self._message()
            if message["type"] == "http.disconnect":
                self.ended = True
                raise ClientGone
            self.ended = not message.get("more_body", False)
            body: bytes = message.get("body", b"")
            if body:
                return body
        return None

    def close(self) -> None:
        """Nobody will read any more."""
        if self._first is not None:
            self._first.cancel()

    async def _message(self) -> MutableMapping[str, Any]:
        if self._first is None:
            return await self._receive()
        message = await asyncio.shield(self._first)
        self._first = None
        return message
