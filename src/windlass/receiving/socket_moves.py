"""Move bytes of a body from its socket into a stored object, in one thread and through one buffer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from windlass.kernel.clock import monotonic
from windlass.receiving.body import BodySocket
from windlass.storage.contract import Buffer

#: Bytes that are read before they are written: few enough for the CPU's cache, enough to make system calls cheap.
BUFFER_SIZE = 512 * 1024
#: What one call of a thread moves at most (bytes, seconds), before other uploads may use the thread.
MOVE_BYTES, MOVE_SECONDS = 16 * 1024 * 1024, 0.25
#: Milliseconds that a thread waits for a client that keeps up before it returns to the event loop.
CLIENT_WAIT = 20
#: A client that has sent so much in one call keeps up (bytes).
KEEPS_UP = 256 * 1024


class Hash(Protocol):
    def update(self, buffers: Sequence[Buffer]) -> None: ...


@dataclass(eq=False)
class SocketMove:
    """One call of a thread. ``moved`` is how many bytes have been written, also after an error."""

    socket: BodySocket
    write: Callable[[int, Sequence[Buffer]], object]
    offset: int
    size: int
    hashes: Sequence[Hash]
    moved: int = 0
    stop_requested: bool = False

    def run(self) -> None:
        """Move up to ``size`` bytes; return early if the client sends nothing now. Raises ClientGone, StoreError."""
        buffer = _buffer_of_this_thread()
        until = monotonic() + MOVE_SECONDS
        goes_on = True
        while goes_on and self.moved < self.size and not self.stop_requested:
            filled, goes_on, failure = self._fill(buffer[: self.size - self.moved])
            if filled:
                batch = [buffer[:filled]]
                self.write(self.offset + self.moved, batch)
                for running in self.hashes:
                    running.update(batch)
                self.moved += filled
            if failure is not None:
                raise failure
            goes_on = goes_on and monotonic() < until

    def _fill(self, buffer: memoryview) -> tuple[int, bool, Exception | None]:
        """Read until the buffer is half full and nothing more is there.

        Returns the number of bytes, whether more may come soon, and the error that ended it.
        """
        filled = 0
        while filled < len(buffer) and self.socket.left:
            try:
                size = self.socket.receive_into(buffer[filled:])
            except Exception as error:  # noqa: BLE001  what was read before is written first; then it is raised
                return filled, False, error
            filled += size
            if size:
                continue
            if filled >= len(buffer) // 2:
                break
            if self.stop_requested or not self._client_keeps_up(filled):
                return filled, False, None
        return filled, bool(self.socket.left), None

    def _client_keeps_up(self, filled: int) -> bool:
        return self.moved + filled >= KEEPS_UP and self.socket.poll(CLIENT_WAIT)


_own = threading.local()


def _buffer_of_this_thread() -> memoryview:
    buffer: memoryview | None = getattr(_own, "buffer", None)
    if buffer is None:
        buffer = _own.buffer = memoryview(bytearray(BUFFER_SIZE))
    return buffer
