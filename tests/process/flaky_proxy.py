"""A TCP proxy that resets, cuts and stalls connections, refuses some, and answers others with 5xx by itself."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Mapping
from types import TracebackType

KB = 1024
#: What becomes of a connection, and how often.
KINDS = {"none": 3, "reset": 3, "cut": 3, "stall": 1, "refuse": 1, "answer": 2}
#: The proxy's own answers, as a gateway gives them.
ANSWERS = (
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope",
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/html\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>",
)
#: Longer than the clients of the tests wait for a byte.
STALL_SECONDS = 4.0


class FlakyProxy:
    """Each connection has a fault, which happens after some of its bytes. ``faults`` counts those that happened.

    The same seed gives the same sequence of faults; which request each of them meets depends on the timing.
    ``bytes_per_second``: what one connection takes from its client, as on a long way; by default as fast as it can.
    """

    def __init__(
        self,
        upstream: int,
        seed: int,
        *,
        least_bytes: int = 200,
        most_bytes: int = 6 * KB * KB,
        kinds: Mapping[str, int] = KINDS,
        bytes_per_second: int | None = None,
    ) -> None:
        self._bytes_per_second = bytes_per_second
        self._upstream, self._random, self._kinds = upstream, random.Random(seed), kinds
        self._least_bytes, self._most_bytes = least_bytes, most_bytes
        self.faults: Counter[str] = Counter()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)
        self._ended = asyncio.Event()

    def __enter__(self) -> FlakyProxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        connections: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._serve(reader, writer)
            writer.transport.abort()
            connections.discard(task)

        server = await asyncio.start_server(serve, sock=self._listener)
        await self._ended.wait()
        server.close()
        for task in tuple(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (kind,) = self._random.choices(list(self._kinds), list(self._kinds.values()))
        # Few bytes are as likely as many: faults meet heads, answers and bodies.
        allowed = int(self._least_bytes * (self._most_bytes / self._least_bytes) ** self._random.random())
        if kind == "refuse":
            self.faults[kind] += 1
            _reset(writer)
        elif kind == "answer":
            self.faults[kind] += 1
            await reader.read(64 * KB)
            writer.write(self._random.choice(ANSWERS))
            writer.write_eof()
            while await reader.read(64 * KB):  # until the client has read the answer: no reset overtakes it
                pass
        else:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
            try:
                fault = _Fault(allowed if kind != "none" else None)
                rate = self._bytes_per_second
                ways = [_forward(reader, far_writer, fault, rate), _forward(far_reader, writer, fault)]
                await asyncio.wait(map(asyncio.ensure_future, ways), return_when=asyncio.FIRST_COMPLETED)
                if fault.happened:
                    self.faults[kind] += 1
                    await asyncio.sleep(STALL_SECONDS if kind == "stall" else 0)
                    if kind == "reset":
                        _reset(writer)
            finally:
                far_writer.transport.abort()


class _Fault:
    """Happens after so many bytes of both directions; None: never."""

    def __init__(self, allowed: int | None) -> None:
        self._left = allowed
        self.happened = False

    def pass_on(self, data: bytes) -> bytes:
        """Return what still passes of a block."""
        if self._left is None:
            return data
        passing = data[: self._left]
        self._left -= len(passing)
        self.happened = self._left == 0
        return passing


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: _Fault, rate: int | None = None
) -> None:
    with contextlib.suppress(OSError):
        while not fault.happened and (data := await reader.read(64 * KB)):
            if rate is not None:
                await asyncio.sleep(len(data) / rate)
            writer.write(fault.pass_on(data))
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
