"""Send a range of a stored object in blocks: while one is sent, the next is read.

Blocks are read in threads. A reply of one block costs one call to a thread, which opens, reads and closes. For a client
that keeps up, blocks grow as far as the memory budget allows, because each costs such a call; for a slow client they
shrink. The smallest blocks take nothing from the budget, so slow clients that hold all of it do not keep others from
being served.

Where the server can send files without reading them (ASGI's zero copy send), all but the first block go that way.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import BinaryIO

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from windlass.executors import in_thread
from windlass.http.memory_budget import Share, budget
from windlass.http.request_record import record_of
from windlass.http.server import zero_copy
from windlass.kernel.byte_ranges import ByteRange
from windlass.kernel.clock import monotonic
from windlass.storage.contract import StoreError, StoreUnavailable
from windlass.storage.registry import store

FIRST_BLOCK = 256 * 1024
SMALLEST_BLOCK = 64 * 1024
#: Larger blocks were not faster: 0.5 to 4 MiB all reached the speed of the loopback interface.
LARGEST_BLOCK = 1024 * 1024
#: Seconds within which a client that keeps up takes a block, and beyond which a client is slow.
QUICK, SLOW = 0.05, 0.5


def next_size(size: int, seconds: float) -> int:
    """The size of the block to read after one of ``size`` took ``seconds`` to send."""
    if seconds < QUICK:
        return min(2 * size, LARGEST_BLOCK)
    return max(size // 2, SMALLEST_BLOCK) if seconds > SLOW else size


class BlockReader(ABC):
    """Reads ``length`` bytes in blocks, in order. Its methods block and are called from threads."""

    def __init__(self, length: int) -> None:
        self._left = length
        # A reply may end while a block is being read; closing then must not free the descriptor for another file.
        self._busy = threading.Lock()
        self.first = b""

    @property
    def finished(self) -> bool:
        return self._left == 0

    def next_block(self, size: int) -> bytes:
        """``size`` bytes, fewer only at the end; the last block closes the source. Raises StoreError, also where the
        source ends too early."""
        with self._busy:
            block = self._read(min(size, self._left))
            self._left -= len(block)
            if self.finished:
                self._close()
            return block

    def unread_file(self) -> zero_copy.Message | None:
        """The unread part of the file, for a server that sends files by itself; None if it is no local file."""
        return None

    def close(self) -> None:
        """Close the source; waits for a read in progress. Idempotent."""
        with self._busy:
            self._close()

    @abstractmethod
    def _read(self, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises StoreError."""

    @abstractmethod
    def _close(self) -> None: ...


class ObjectReader(BlockReader):
    """Reads one range of a stored object."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        super().__init__(length)
        self._file = file

    @classmethod
    def open(cls, store_name: str, key: str, wanted: ByteRange) -> ObjectReader:
        """Open the object and read the first block. Raises StoreError."""
        file = store(store_name).open(key)
        reader = cls(file, wanted.length)
        try:
            file.seek(wanted.start)
            reader.first = reader.next_block(FIRST_BLOCK)
        except BaseException:  # whatever it is, nobody else closes the object
            reader.close()
            raise
        return reader

    def unread_file(self) -> zero_copy.Message | None:
        try:
            file, offset = self._file.fileno(), self._file.tell()
        except (OSError, ValueError):
            return None
        return {"type": zero_copy.MESSAGE, "file": file, "offset": offset, "count": self._left}

    def _read(self, size: int) -> bytes:
        try:
            block = self._file.read(size)
        except OSError as error:
            raise StoreUnavailable(f"A stored object cannot be read: {error.strerror}") from error
        if len(block) < size:
            raise StoreError("A stored object is shorter than its record says.")
        return block

    def _close(self) -> None:
        self._file.close()


class ObjectResponse(Response):
    """Sends what ``reader`` reads, and closes it. ``headers`` have the length of that.

    ``held``: bytes of memory that the reader takes besides its blocks while it is open. ``kind``: as in RequestRecord.
    """

    def __init__(
        self, reader: BlockReader, status_code: int, headers: dict[str, str], *, held: int = 0, kind: str = "file"
    ) -> None:
        super().__init__(status_code=status_code, headers=headers)
        self._kind = kind
        self._reader = reader
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record_of(scope).kind = self._kind
        gone = asyncio.ensure_future(_disconnect(receive)) if not self._reader.finished else None
        try:
            async with budget().share() as share:
                await share.grow(self._held)
                await self._send(scope, send, gone, BlockSize(share))
        finally:
            if gone is not None:
                gone.cancel()
            if not self._reader.finished:
                # Shielded: a second cancellation may end the wait, not the closing.
                await asyncio.shield(in_thread(self._reader.close))

    async def _send(self, scope: Scope, send: Send, gone: asyncio.Future[None] | None, blocks: BlockSize) -> None:
        with suppress(OSError):  # some servers report a disconnected client so; reading raises StoreErrors
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            file = self._reader.unread_file() if zero_copy.MESSAGE in scope.get("extensions", {}) else None
            if file is None:
                await self._send_blocks(send, gone, blocks)
            else:
                await self._send_file(send, file)

    async def _send_file(self, send: Send, file: zero_copy.Message) -> None:
        await send({"type": "http.response.body", "body": self._reader.first, "more_body": True})
        try:
            if file["count"]:
                await send({**file})
        except EOFError as error:
            raise StoreError("A stored object is shorter than its record says.") from error
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_blocks(self, send: Send, gone: asyncio.Future[None] | None, blocks: BlockSize) -> None:
        block, self._reader.first = self._reader.first, b""
        while not self._reader.finished:
            if gone is not None and gone.done():
                return
            ahead = asyncio.ensure_future(in_thread(self._reader.next_block, blocks.size))
            sent_at = monotonic()
            try:
                await send({"type": "http.response.body", "body": block, "more_body": True})
            except BaseException:  # also where the request is cancelled: nobody waits for the block any more
                ahead.cancel()
                raise
            blocks.adapt(monotonic() - sent_at)
            block = await ahead
        await send({"type": "http.response.body", "body": block, "more_body": False})


class BlockSize:
    """The size of the next block of a reply, whose bytes beyond SMALLEST_BLOCK belong to its share of the memory
    budget."""

    def __init__(self, share: Share) -> None:
        self.size = SMALLEST_BLOCK
        self._share = share

    def adapt(self, seconds: float) -> None:
        """Choose the next size after a block took ``seconds`` to send."""
        new_size = next_size(self.size, seconds)
        # Three blocks: one being read, one waiting, one held by the connection.
        if self._share.try_change(3 * (new_size - self.size)):
            self.size = new_size


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
