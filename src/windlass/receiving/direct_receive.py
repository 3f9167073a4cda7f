"""Move bytes of a body from its socket into a stored object, in one thread (docs/decisions/0079-direct-receive.md)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from queue import SimpleQueue
from typing import Protocol

from windlass.executors import has_waiting_receiver
from windlass.kernel.clock import monotonic
from windlass.receiving.body import BodySocket
from windlass.storage.contract import Buffer

#: Bytes that are read before they are written: few enough for the CPU's cache, enough to make system calls cheap.
BUFFER_SIZE = 512 * 1024
#: What one call of a thread moves at most (bytes, seconds), before other uploads may use the thread.
MOVE_BYTES, MOVE_SECONDS = 32 * 1024 * 1024, 0.25
#: Milliseconds that a thread waits for a client that keeps up before it returns to the event loop.
CLIENT_WAIT = 20
#: A client keeps up that has sent so much in one call (bytes), or so fast since the last one began (bytes a second).
KEEPS_UP, KEEPS_UP_RATE = 256 * 1024, 16 * 1024 * 1024


class Hash(Protocol):
    def update(self, buffers: Sequence[Buffer]) -> None: ...


class Hashing(Protocol):
    """``needs_two_buffers``: the memory of a batch may be used again only after the next ``add``, not after its own."""

    needs_two_buffers: bool

    def add(self, batch: Sequence[Buffer]) -> None: ...


@dataclass(eq=False)
class SocketMove:
    """One call of a thread: move up to ``size`` bytes of an upload to ``offset``.

    ``keeps_up``: the client has sent fast so far, so that a thread may wait for it a moment. ``moved`` is how many
    bytes have been written, also after an error. ``is_dry``: the client had sent no more. ``surplus`` has the bytes of
    the upload that were received beyond ``size``, and not written.
    """

    socket: BodySocket
    write: Callable[[int, Sequence[Buffer]], object]
    offset: int
    size: int
    hashes: Sequence[Hash]
    keeps_up: bool = False
    moved: int = 0
    stop_requested: bool = False
    is_dry: bool = False
    surplus: bytes = b""

    def run(self) -> None:
        """Return early if the client sends nothing now. Raises ClientGone, StoreError, and what the socket raises."""
        until = monotonic() + MOVE_SECONDS
        goes_on = True
        with _two_buffers() as (buffer, other), _hashing(self.hashes) as hashing:
            while goes_on and not self.stop_requested:
                filled, failure = self._fill(buffer[: min(self.size - self.moved, self._up_to_next_multiple)])
                if filled:
                    self._store(buffer[:filled], hashing)
                if failure is not None:
                    raise failure
                if hashing.needs_two_buffers:
                    buffer, other = other, buffer
                is_at_end = self.socket.ended or self.moved >= self.size
                goes_on = not is_at_end and not self.is_dry and monotonic() < until

    @property
    def _up_to_next_multiple(self) -> int:
        """Bytes up to the next multiple of the buffer's size: the kernel writes aligned buffers with larger pages."""
        return BUFFER_SIZE - (self.offset + self.moved) % BUFFER_SIZE

    def _fill(self, buffer: memoryview) -> tuple[int, Exception | None]:
        """Read until the buffer is half full and nothing more is there.

        Returns the number of bytes, and the error that ended it.
        """
        filled = 0
        while filled < len(buffer) and self.socket.left:
            try:
                size = self.socket.receive_into(buffer[filled:])
            except Exception as error:  # noqa: BLE001  what was read before is written first; then it is raised
                return filled, error
            filled += size
            if size:
                continue
            if filled >= len(buffer) // 2:
                break
            if self.stop_requested or not self._client_keeps_up(filled):
                self.is_dry = True
                break
        return filled, None

    def _client_keeps_up(self, filled: int) -> bool:
        keeps_up = self.keeps_up or self.moved + filled >= KEEPS_UP
        return keeps_up and not has_waiting_receiver() and self.socket.poll(CLIENT_WAIT)

    def _store(self, received: memoryview, hashing: Hashing) -> None:
        content, self.surplus = _cut(self.socket.content(received), self.size - self.moved)
        if content:
            self.write(self.offset + self.moved, content)
            self.moved += sum(len(each) for each in content)
            hashing.add(content)


def _cut(buffers: Sequence[Buffer], size: int) -> tuple[Sequence[Buffer], bytes]:
    """Return the first ``size`` bytes, and a copy of the others."""
    if sum(len(each) for each in buffers) <= size:
        return buffers, b""
    kept: list[Buffer] = []
    surplus = bytearray()
    for each in buffers:
        view = memoryview(each)
        if size:
            kept.append(view[:size])
        surplus += view[size:]
        size -= min(size, len(view))
    return kept, bytes(surplus)


@contextmanager
def _hashing(hashes: Sequence[Hash]) -> Iterator[Hashing]:
    """Hash in a second thread if one is free, else in this one. At the end everything has been hashed.

    One fast upload then has two cores. Where many are received at once, all cores are busy, and a batch is hashed
    fastest by the thread that has just written it.
    """
    if not hashes or not _free_hashers().acquire(blocking=False):
        yield _HashingHere(hashes)
        return
    try:
        with _HashingBeside(_HashingHere(hashes)) as beside:
            yield beside
    finally:
        _free_hashers().release()


class _HashingHere:
    needs_two_buffers = False

    def __init__(self, hashes: Sequence[Hash]) -> None:
        self._hashes = hashes

    def add(self, batch: Sequence[Buffer]) -> None:
        for each in self._hashes:
            each.update(batch)


class _HashingBeside:
    """A second thread hashes one batch while the next is received."""

    needs_two_buffers = True

    def __init__(self, here: _HashingHere) -> None:
        self._here = here
        self._batches: SimpleQueue[Sequence[Buffer] | None] = SimpleQueue()
        self._outcomes: SimpleQueue[Exception | None] = SimpleQueue()
        self._under_way = False

    def __enter__(self) -> _HashingBeside:
        self._running = _hasher_threads().submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._batches.put(None)
        self._running.result()
        self._wait()

    def add(self, batch: Sequence[Buffer]) -> None:
        self._wait()
        self._under_way = True
        self._batches.put(batch)

    def _wait(self) -> None:
        """Wait until the last batch is hashed. Raises what that raised."""
        if self._under_way:
            self._under_way = False
            failure = self._outcomes.get()
            if failure is not None:
                raise failure

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                self._here.add(batch)
            except Exception as error:  # noqa: BLE001  it is raised in the thread that added the batch
                self._outcomes.put(error)
            else:
                self._outcomes.put(None)


def _hasher_count() -> int:
    return (os.cpu_count() or 1) // 2


@cache
def _free_hashers() -> threading.Semaphore:
    return threading.Semaphore(_hasher_count())


@cache
def _hasher_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, _hasher_count()), thread_name_prefix="windlass-hash")


_spare_buffers: list[tuple[memoryview, memoryview]] = []


@contextmanager
def _two_buffers() -> Iterator[tuple[memoryview, memoryview]]:
    """Buffers that nothing else uses meanwhile. Those given back last are taken first: the CPU's cache has them, and
    there are no more of them than calls at the same time."""
    try:
        buffers = _spare_buffers.pop()
    except IndexError:
        buffers = memoryview(bytearray(BUFFER_SIZE)), memoryview(bytearray(BUFFER_SIZE))
    try:
        yield buffers
    finally:
        _spare_buffers.append(buffers)
