"""Sends a stretch of a stored object: one block on its way to the client, one being read. Memory per reply is constant.

Blocks are read in threads. A reply of one block costs one hop to a thread, which opens, reads and closes.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import BinaryIO

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from windlass.kernel.byte_ranges import ByteRange
from windlass.receiving.offload import in_thread
from windlass.storage.contract import StoreError, StoreUnavailable
from windlass.storage.registry import store

BLOCK_SIZE = 1024 * 1024


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
            reader.first = reader.next_block()
        except BaseException:
            reader.close()
            raise
        return reader

    @property
    def finished(self) -> bool:
        return self._left == 0

    def next_block(self) -> bytes:
        """Empty only after the last. Closes the object with its last block. Raises StoreError if it ends too early."""
        with self._busy:
            size = min(BLOCK_SIZE, self._left)
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

    def close(self) -> None:
        """Waits for a read that is going on. Idempotent."""
        with self._busy:
            self._file.close()


class ObjectResponse(Response):
    """``headers`` say the length that the reader gives. The reader is the response's from now on."""

    def __init__(self, reader: ObjectReader, status_code: int, headers: dict[str, str]) -> None:
        super().__init__(status_code=status_code, headers=headers)
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(_disconnect(receive)) if not self._reader.finished else None
        try:
            with suppress(OSError):  # how some servers say that the client has gone; reading raises StoreErrors
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await self._send_blocks(send, gone)
        finally:
            if gone is not None:
                gone.cancel()
            if not self._reader.finished:
                # Shielded: a second cancellation may end the wait, not the closing.
                await asyncio.shield(asyncio.ensure_future(in_thread(self._reader.close)))

    async def _send_blocks(self, send: Send, gone: asyncio.Future[None] | None) -> None:
        block = self._reader.first
        while not self._reader.finished:
            if gone is not None and gone.done():
                return
            ahead = asyncio.ensure_future(in_thread(self._reader.next_block))
            try:
                await send({"type": "http.response.body", "body": block, "more_body": True})
            except BaseException:
                ahead.cancel()
                raise
            block = await ahead
        await send({"type": "http.response.body", "body": block, "more_body": False})


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
