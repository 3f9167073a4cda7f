"""Where the bytes of an upload come from: a request body, a part of a form, bytes in memory, a spooled body."""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from windlass import conf
from windlass.executors import in_thread
from windlass.kernel.problem_types import BodyTooLarge, ReceiveTimeout
from windlass.receiving.body_hasher import BodyHasher
from windlass.storage.contract import Buffer

#: Bytes collected before a write starts: few enough to stay in the CPU cache, enough to make a thread hop cheap.
BATCH_SIZE = 1024 * 1024

#: A client that sends less than a batch in this time (seconds) has each of its buffers written as it arrives, so that
#: its bytes do not wait in memory.
LINGER_SECONDS = 0.1

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The connection broke before the body ended."""


class BodySocket(Protocol):
    """The rest of a body, in its connection's socket. A thread reads it, and nothing else does until ``close``."""

    @property
    def left(self) -> int:
        """Bytes of the body that have not been read."""
        ...

    @property
    def last_received_at(self) -> float:
        """In monotonic seconds."""
        ...

    @property
    def ended(self) -> bool:
        """Whether all of the upload's bytes have been read. Not every body is nothing but an upload."""
        ...

    def content(self, received: memoryview) -> Sequence[Buffer]:
        """Return the upload's bytes in what was received next. Called in a thread, in order, once for each byte."""
        ...

    def receive_into(self, buffer: memoryview) -> int:
        """Read what is there, no more than ``left`` bytes; return how many, 0 if nothing is there. Called in a thread.

        Raises ClientGone, also if the connection was given up, and Unavailable if the server stops.
        """
        ...

    def poll(self, milliseconds: int) -> bool:
        """Wait until something is there; False if nothing comes in time. Called in a thread."""
        ...

    def report(self) -> None:
        """Account for what threads have read since the last call. Called on the event loop while no thread reads, as
        ``wait`` and ``close`` are."""
        ...

    async def wait(self, seconds: float) -> bool:
        """Wait until something is there, without a thread; False if nothing comes. Raises as ``receive_into``."""
        ...

    def close(self) -> None:
        """Give the socket back to its connection. May be repeated."""
        ...


class ByteSource(Protocol):
    async def read(self) -> Buffer | None:
        """Return the next bytes, or None at the end. Raises ClientGone. Cancelling it loses no bytes."""
        ...

    def take_socket(self) -> BodySocket | None:
        """Return the socket that the rest comes from, if a thread may read it from now on; None: read by ``read``."""
        ...

    def leaves_in_socket(self, size: int) -> bool:
        """Whether more than ``size`` bytes are still to be read, and from the socket. The event loop then reads no more
        than it has, until the socket is taken or ``read`` is called."""
        ...


class BytesInMemory:
    def __init__(self, data: Buffer) -> None:
        self._data: Buffer | None = data

    async def read(self) -> Buffer | None:
        data, self._data = self._data, None
        return data or None

    def take_socket(self) -> None:
        return None

    def leaves_in_socket(self, size: int) -> bool:
        return False


class SocketOffer(Protocol):
    """What a server lets a request do with its socket; see ByteSource."""

    def take_socket(self) -> BodySocket | None: ...

    def leaves_in_socket(self, size: int) -> bool: ...


class RequestBody:
    """The body of an ASGI request. Not reading it is the backpressure: the server stops reading from the socket."""

    def __init__(self, receive: Receive, *, empty: bool = False, socket: SocketOffer | None = None) -> None:
        """``empty``: the head says that there is no body, so nothing has to be received to know that it has ended.
        ``socket``: what the server offers to read the rest of the body with."""
        self._receive = receive
        self._socket = socket
        self._first: asyncio.Task[MutableMapping[str, Any]] | None = None
        self._peeked: Buffer | None = None
        self._hasher: BodyHasher | None = None
        self.ended = empty

    def hash_with(self, hasher: BodyHasher) -> None:
        """Give ``hasher`` every byte that is read from now on."""
        self._hasher = hasher

    async def content_digest(self) -> tuple[str, int] | None:
        """Return the hasher's digest of the body and the body's size; None if not all of it was read and hashed."""
        if self._hasher is None or not self.ended:
            return None
        return await self._hasher.finish(), self._hasher.size

    def start(self) -> None:
        """Start to receive the first message now.

        uvicorn drops the small body of a client that closes before the application's first ``receive()``. Do not call
        this for a request with ``Expect: 100-continue``: its first ``receive()`` invites the body.
        """
        self._first = asyncio.ensure_future(self._receive())

    async def is_empty(self) -> bool:
        """Wait for the first byte; True if the body ends without one. Raises ClientGone."""
        self._peeked = await self.read()
        return self._peeked is None

    async def read(self) -> Buffer | None:
        if self._peeked is not None:
            peeked, self._peeked = self._peeked, None
            return peeked
        if self._hasher is not None:
            await self._hasher.keep_up()  # before something is received, because cancelling this must lose no bytes
        while not self.ended:
            message = await self._next_message()
            if message["type"] == "http.disconnect":
                self.ended, self._hasher = True, None
                raise ClientGone
            self.ended = not message.get("more_body", False)
            body: bytes = message.get("body", b"")
            if body:
                if self._hasher is not None:
                    self._hasher.add(body)
                return body
        return None

    def take_socket(self) -> BodySocket | None:
        is_read_here = self._first is not None or self._peeked is not None or self._hasher is not None or self.ended
        return None if is_read_here or self._socket is None else self._socket.take_socket()

    def leaves_in_socket(self, size: int) -> bool:
        return self._hasher is None and self._socket is not None and self._socket.leaves_in_socket(size)

    def close(self) -> None:
        """Stop receiving. Nothing reads the body after this."""
        if self._first is not None:
            self._first.cancel()

    async def _next_message(self) -> MutableMapping[str, Any]:
        if self._first is None:
            return await self._receive()
        message = await asyncio.shield(self._first)
        self._first = None
        return message


@dataclass
class InitialBody:
    """The first bytes of a body. ``ended``: no more come, because the body ended or the client is ``gone``."""

    buffers: list[Buffer] = field(default_factory=list)
    size: int = 0
    ended: bool = False
    gone: bool = False


async def read_initial_body(source: ByteSource) -> InitialBody:
    """Read up to one batch, or what arrives within LINGER_SECONDS, or what is there if a thread will read the rest.

    A body that is small and quick is complete with this, so that no writer and no checkpoint is started for it.
    """
    initial = InitialBody()
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while initial.size < BATCH_SIZE:
                buffer = await source.read()
                if buffer is None:
                    initial.ended = True
                    break
                initial.buffers.append(buffer)
                initial.size += len(buffer)
                if source.leaves_in_socket(BATCH_SIZE):
                    break
    except TimeoutError:
        pass
    except ClientGone:
        initial.ended = initial.gone = True
    return initial


class ReadAhead:
    """A byte source of which the first bytes have been read already."""

    def __init__(self, initial: InitialBody, rest: ByteSource) -> None:
        self._initial = initial
        self._buffers = deque(initial.buffers)
        self._rest = rest

    async def read(self) -> Buffer | None:
        if self._buffers:
            return self._buffers.popleft()
        if self._initial.gone:
            raise ClientGone
        return None if self._initial.ended else await self._rest.read()

    def take_socket(self) -> BodySocket | None:
        return None if self._buffers or self._initial.ended else self._rest.take_socket()

    def leaves_in_socket(self, size: int) -> bool:
        return not self._initial.ended and self._rest.leaves_in_socket(size)


class SpooledBody:
    """A byte source that keeps another one's bytes in an unnamed temporary file until it is known where they belong.

    Close it in any case.
    """

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self.size = 0

    async def fill(self, source: ByteSource, limit: int) -> None:
        """Read all of ``source``, at most ``limit`` bytes. Raises BodyTooLarge, ReceiveTimeout, ClientGone."""
        self._file = await in_thread(_open_temporary_file)
        batch: list[Buffer] = []
        batch_size = 0
        while (buffer := await _read_within_timeout(source)) is not None:
            batch.append(bytes(buffer))
            batch_size += len(buffer)
            self.size += len(buffer)
            if self.size > limit:
                raise BodyTooLarge(
                    f"The bytes come before the fields that say where they belong, and are more than the {limit} bytes "
                    "that any chunk may have. Put the fields first.",
                    limit=limit,
                )
            if batch_size >= BATCH_SIZE:
                await in_thread(self._file.writelines, batch)
                batch, batch_size = [], 0
        await in_thread(self._file.writelines, batch)
        await in_thread(self._file.seek, 0)

    async def read(self) -> Buffer | None:
        assert self._file is not None
        return await in_thread(self._file.read, BATCH_SIZE) or None

    def take_socket(self) -> None:
        return None

    def leaves_in_socket(self, size: int) -> bool:
        return False

    async def close(self) -> None:
        if self._file is not None:
            await in_thread(self._file.close)


async def _read_within_timeout(source: ByteSource) -> Buffer | None:
    try:
        async with asyncio.timeout(conf.get().receive_timeout):
            return await source.read()
    except TimeoutError as error:
        raise ReceiveTimeout("Nothing came for too long. Send the chunk again.") from error


def _open_temporary_file() -> BinaryIO:
    directory = conf.get().windlass_home / "scratch"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return tempfile.TemporaryFile(dir=directory)
