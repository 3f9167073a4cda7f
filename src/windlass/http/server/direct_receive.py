"""Let a thread read the rest of a request's body from the socket into its own buffer: the twin of ``zero_copy``.

Bytes that pass through the event loop are allocated, parsed and queued there in pieces. Where nothing needs to see them
(no TLS, a known length, nothing of the body in the parser), the connection stops reading and offers its socket in the
scope of the request. See docs/decisions/0079-direct-receive.md.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Callable, Sequence

from windlass.http.middleware import Scope
from windlass.kernel.clock import monotonic
from windlass.receiving.body import ClientGone, SocketOffer
from windlass.storage.contract import Buffer

#: ``scope["extensions"][EXTENSION]["offer"]`` is the request's SocketOffer.
EXTENSION = "windlass.http.request.socket"


def is_possible(transport: asyncio.Transport) -> bool:
    """Whether bytes in the socket are the client's bytes: not under TLS."""
    return transport.get_extra_info("sslcontext") is None and transport.get_extra_info("socket") is not None


def socket_of(scope: Scope) -> SocketOffer | None:
    """Return what a request may do with its socket, or None where the server has none to offer."""
    extension = scope.get("extensions", {}).get(EXTENSION)
    return None if extension is None else extension["offer"]


class DirectBody:
    """The unread bytes of one body; a ``BodySocket``. The connection reads nothing until it is closed.

    ``on_received`` is called on the event loop with each number of bytes that a thread has read, ``on_close`` once.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        left: int,
        on_received: Callable[[int], None],
        on_close: Callable[[], None],
    ) -> None:
        # A duplicate, because the loop does not allow watching a descriptor of its transport.
        self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._on_received, self._on_close = on_received, on_close
        self._unreported = 0
        self._ready = asyncio.Event()
        self._failure: Exception | None = None
        self.left = left
        self.waits = False
        self.last_received_at = monotonic()

    @property
    def ended(self) -> bool:
        """See BodySocket."""
        return not self.left

    def content(self, received: memoryview) -> Sequence[Buffer]:
        """See BodySocket."""
        return [received]

    def receive_into(self, buffer: memoryview) -> int:
        """See BodySocket."""
        self._raise_failure()
        if not self.left:
            return 0  # what follows is the next request
        try:
            size = self._socket.recv_into(buffer[: self.left])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ClientGone from error
        if not size:
            raise ClientGone
        self.left -= size
        self._unreported += size
        self.last_received_at = monotonic()
        return size

    def poll(self, milliseconds: int) -> bool:
        """See BodySocket."""
        return bool(self._poll.poll(milliseconds))

    def report(self) -> None:
        """See BodySocket."""
        received, self._unreported = self._unreported, 0
        if received:
            self._on_received(received)

    async def wait(self, seconds: float) -> bool:
        """See BodySocket."""
        self._raise_failure()
        loop = asyncio.get_running_loop()
        self._ready.clear()
        loop.add_reader(self._socket, self._ready.set)
        self.waits = True
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._ready.wait()
        except TimeoutError:
            return False
        finally:
            self.waits = False
            loop.remove_reader(self._socket)
        self._raise_failure()
        return True

    def fail(self, failure: Exception) -> None:
        """End the wait for more: the server stops, or has given the client up. Call it on the event loop."""
        self._failure = failure
        self._ready.set()

    def close(self) -> None:
        """See BodySocket."""
        if self._socket.fileno() < 0:
            return
        self._socket.close()
        self.report()
        self._on_close()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
