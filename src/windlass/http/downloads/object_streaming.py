"""Sends a stretch of a stored object: one block on its way to the client, one being read.

Blocks are read in threads. A reply of one block costs one hop to a thread, which opens, reads and closes. The blocks of
a client that keeps up grow, because each costs a hop, as far as the process's memory budget allows; those of a slow
client shrink. The smallest blocks need no budget, so slow clients that hold all of it keep nobody from being served.

Where the server can send files without reading them (ASGI's zero copy send), all but the first block go that way.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import BinaryIO, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from windlass.executors import in_thread
from windlass.http.memory_budget import budget
from windlass.http.server import zero_copy
from windlass.kernel.byte_ranges import ByteRange
from windlass.kernel.clock import monotonic
from windlass.storage.contract import StoreError, StoreUnavailable
from windlass.storage.registry import store

FIRST_BLOCK = 256 * 1024
SMALLEST_BLOCK = 64 * 1024
#: Larger ones were not faster: blocks of 0.5 to 4 MiB all came to the speed of the loopback interface.
LARGEST_BLOCK = 1024 * 1024
#: Seconds in which a block is taken by a client that keeps up, and by one that does not.
QUICK, SLOW = 0.05, 0.5


def next_size(size: int, seconds: float) -> int:
    """The size of the block to read after one of ``size`` took ``seconds`` to send."""
    if seconds < QUICK:
        return min(2 * size, LARGEST_BLOCK)
    return max(size // 2, SMALLEST_BLOCK) if seconds > SLOW else size


class ObjectReader:
    """Reads blocks in order. Blocks; its methods are called from threads."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._left = length
        # A reply may end while a block is being read: its descriptor must not become another file's under the read.
        self._busy = threading.Lock()
        self.first = b""

    @classmethod
    def begin(cls, store_name: str, key: str, wanted: ByteRange) -> ObjectReader:
        """Open the object and read the first block. Raises StoreError."""
        file = store(store_name).open(key)
        reader = cls(file, wanted.length)
        try:
            file.seek(wanted.start)
            reader.first = reader.next_block(FIRST_BLOCK)
        except BaseException:
            reader.close()
            raise
        return reader

    @property
    def finished(self) -> bool:
        return self._left == 0

    def next_block(self, size: int) -> bytes:
        """``size`` bytes, fewer only at the end; the last block closes the object.

        Raises StoreError, also where the object ends too early.
        """
        with self._busy:
            size = min(size, self._left)
            try:
                block = self._file.read(size)
            except OSError as error:
                raise StoreUnavailable(f"A stored object cannot be read: {error.strerror}") from error
            if len(block) < size:
                raise StoreError("A stored object is shorter than its record says.")
            self._left -= size
            if self.finished:
                self._file.close()
            return block

    def rest(self) -> zero_copy.Message | None:
        """What is left, for a server that sends files by itself; None where this is no file of this machine."""
        try:
            file, offset = self._file.fileno(), self._file.tell()
        except (OSError, ValueError):
            return None
        return {"type": zero_copy.MESSAGE, "file": file, "offset": offset, "count": self._left}

    def close(self) -> None:
        """Waits for a read that is going on. Idempotent."""
        with self._busy:
            self._file.close()


class Reader(Protocol):
    """What gives a reply's bytes: see ``ObjectReader``."""

    first: bytes

    @property
    def finished(self) -> bool: ...
    def next_block(self, size: int) -> bytes: ...
    def rest(self) -> zero_copy.Message | None: ...
    def close(self) -> None: ...


class ObjectResponse(Response):
    """``headers`` say the length that the reader gives. The reader is the response's from now on.

    ``held``: bytes of memory that the reader takes as long as it is open, besides its blocks.
    """

    def __init__(self, reader: Reader, status_code: int, headers: dict[str, str], *, held: int = 0) -> None:
        super().__init__(status_code=status_code, headers=headers)
        self._reader = reader
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(_disconnect(receive)) if not self._reader.finished else None
        try:
            async with budget().share() as share:
                await share.grow(self._held)
                await self._send(scope, send, gone)
        finally:
            if gone is not None:
                gone.cancel()
            if not self._reader.finished:
                # Shielded: a second cancellation may end the wait, not the closing.
                await asyncio.shield(in_thread(self._reader.close))

    async def _send(self, scope: Scope, send: Send, gone: asyncio.Future[None] | None) -> None:
        with suppress(OSError):  # how some servers say that the client has gone; reading raises StoreErrors
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            rest = self._reader.rest() if zero_copy.MESSAGE in scope.get("extensions", {}) else None
            if rest is None:
                with Blocks() as blocks:
                    await self._send_blocks(send, gone, blocks)
            else:
                await self._send_rest(send, rest)

    async def _send_rest(self, send: Send, rest: zero_copy.Message) -> None:
        await send({"type": "http.response.body", "body": self._reader.first, "more_body": True})
        try:
            if rest["count"]:
                await send({**rest})
        except EOFError as error:
            raise StoreError("A stored object is shorter than its record says.") from error
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_blocks(self, send: Send, gone: asyncio.Future[None] | None, blocks: Blocks) -> None:
        block, self._reader.first = self._reader.first, b""
        while not self._reader.finished:
            if gone is not None and gone.done():
                return
            ahead = asyncio.ensure_future(in_thread(self._reader.next_block, blocks.size))
            began = monotonic()
            try:
                await send({"type": "http.response.body", "body": block, "more_body": True})
            except BaseException:
                ahead.cancel()
                raise
            blocks.adapt(monotonic() - began)
            block = await ahead
        await send({"type": "http.response.body", "body": block, "more_body": False})


class Blocks:
    """The size of the next block of a reply, and the memory that blocks of this size take."""

    def __init__(self) -> None:
        self.size = SMALLEST_BLOCK
        self._granted = 0

    def __enter__(self) -> Blocks:
        return self

    def __exit__(self, *_: object) -> None:
        budget().give(self._granted)

    def adapt(self, seconds: float) -> None:
        """After a block took ``seconds`` to send."""
        wanted = next_size(self.size, seconds)
        more = self._cost(wanted) - self._granted
        if more > 0 and not budget().try_take(more):
            return
        if more < 0:
            budget().give(-more)
        self.size, self._granted = wanted, self._granted + more

    @staticmethod
    def _cost(size: int) -> int:
        """One being read, one waiting, one with the connection."""
        return 3 * (size - SMALLEST_BLOCK)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
