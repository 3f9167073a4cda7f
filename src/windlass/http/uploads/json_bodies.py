"""JSON bodies of the byte plane: read whole, within bounds, whatever Content-Type the client put on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import TypeVar

from windlass import conf
from windlass.http.uploads.receiving import Incoming
from windlass.kernel.errors import BodyTooLarge, Problem, ReceiveTimeout, Unavailable
from windlass.protocols import heads
from windlass.storage.contract import Buffer

T = TypeVar("T")

#: Memory that all large JSON bodies of this process may take together (bytes). A request that would need more waits.
ROOM = 128 * 1024 * 1024
#: How long it waits before it is told to come again (seconds).
WAIT_SECONDS = 10.0


class Room:
    """A number of bytes that is shared out. All methods belong to one event loop."""

    def __init__(self, size: int = ROOM) -> None:
        self._free = size
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def taken(self, size: int) -> AsyncIterator[None]:
        """Raises Unavailable where there is no room for too long."""
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._changed:
                await self._changed.wait_for(lambda: self._free >= size)
                self._free -= size
        except TimeoutError as error:
            raise Unavailable("Too many chunks are being sent as JSON. PUT takes them without waiting.") from error
        try:
            yield
        finally:
            async with self._changed:
                self._free += size
                self._changed.notify_all()


async def decode(parse: Callable[[bytes], T], body: bytes) -> T:
    """Parse a large body beside the loop.

    Always on the same thread: it takes several times the body's size for a moment, and the C library keeps what a
    thread has freed for that thread. More threads would not be faster, for parsing does not let go of the GIL.
    """
    return await asyncio.get_running_loop().run_in_executor(_decoder(), parse, body)


@lru_cache(maxsize=1)
def _decoder() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="windlass-decoder")


async def read(incoming: Incoming, limit: int, too_large: Problem | None = None) -> bytes:
    """The whole body. Raises ``too_large`` (BodyTooLarge) above ``limit`` bytes, ClientGone, ReceiveTimeout."""
    refusal = too_large or BodyTooLarge(f"This call takes at most {limit // 1024} KiB of JSON.", limit=limit)
    if (heads.body_length(incoming.head) or 0) > limit:
        raise refusal
    pieces: list[Buffer] = []
    size = 0
    while True:
        try:
            async with asyncio.timeout(conf.get().receive_timeout):
                buffer = await incoming.body.read()
        except TimeoutError as error:
            raise ReceiveTimeout("The body did not come to its end. Send it again.") from error
        if buffer is None:
            return b"".join(pieces)
        pieces.append(buffer)
        size += len(buffer)
        if size > limit:
            raise refusal
