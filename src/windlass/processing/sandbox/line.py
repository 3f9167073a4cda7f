"""The two channels between the worker and one child: what the child says, and what its parent says of its end."""

from __future__ import annotations

import contextlib
import selectors
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

from windlass.processing.contract import PermanentError
from windlass.processing.sandbox.messages import Garbled, Message, Unpacker, pack

#: Bytes that a child may say to one order.
MOST_SAID = 4 * 1024 * 1024
#: Seconds in which a child takes an order in.
TAKES_WITHIN = 30.0


class ParentGone(Exception):
    """The parent died under a request, or no longer answers; whatever it was running dies with it."""


def _unheard(_: int) -> None:
    """Progress that nobody asked for."""


@dataclass(slots=True)
class Line:
    """``process`` is the parent. Closing the line is the word to kill the child. Nothing that comes is believed."""

    process: subprocess.Popen[bytes]
    answer: socket.socket
    status: socket.socket
    is_bound: bool = False
    _on_progress: Callable[[int], None] = _unheard
    _answered: Message | None = None
    _unpacker: Unpacker = field(default_factory=Unpacker)
    _ending: Unpacker = field(default_factory=Unpacker)
    _ended: Message | None = None
    _heard: int = 0

    def __post_init__(self) -> None:
        self.answer.settimeout(TAKES_WITHIN)

    def close(self) -> None:
        self.answer.close()
        self.status.close()

    def has_ended(self) -> bool:
        """Whether the child is gone, or its parent; without waiting."""
        self.status.setblocking(False)
        try:
            self._take_ending()
        except BlockingIOError:
            return False
        except ParentGone:
            return True
        finally:
            self.status.setblocking(True)
        return self._ended is not None

    def order(self, message: Message, on_progress: Callable[[int], None]) -> None:
        """Hand the child its next order. One that cannot be handed over shows in how the child ended."""
        self._on_progress, self._answered, self._heard = on_progress, None, 0
        with contextlib.suppress(OSError):
            self.answer.sendall(pack(message))

    def watch(self, selector: selectors.BaseSelector) -> None:
        selector.register(self.answer, selectors.EVENT_READ)
        selector.register(self.status, selectors.EVENT_READ)

    def listen(self, selector: selectors.BaseSelector, seconds: float) -> tuple[Message | None, Message | None]:
        """Wait so long at most; how the child ended and what it answered, as far as that is known.

        Raises ParentGone, and PermanentError for what cannot be understood.
        """
        ready = [key.fileobj for key, _ in selector.select(seconds)]
        if self.answer in ready and not self._take_answer():
            selector.unregister(self.answer)  # how it ended is told by its parent
        if self.status in ready:
            self._take_ending()
        if self._ended is not None and self._answered is None:
            self._take_rest()
        return self._ended, self._answered

    def _take_answer(self) -> bool:
        """False where nothing more will come."""
        data = _received(self.answer)
        self._heard += len(data)
        if self._heard > MOST_SAID:
            raise PermanentError("The step said too much.")
        try:
            messages = self._unpacker.feed(data)
        except Garbled as error:
            raise PermanentError("The step's answer is not usable.") from error
        for message in messages:
            self._hear(message)
        return bool(data)

    def _hear(self, message: Message) -> None:
        percent = message.get("percent")
        if self._answered is not None:
            raise PermanentError("The step's answer is not usable: it gave more than one.")
        if message.get("kind") == "bound":
            self.is_bound = True
        elif message.get("kind") != "progress":
            self._answered = message
        elif type(percent) is int:
            self._on_progress(max(0, min(percent, 100)))

    def _take_ending(self) -> None:
        data = _received(self.status)
        if not data and self._ended is None:
            raise ParentGone
        for message in self._ending.feed(data):
            self._ended = message

    def _take_rest(self) -> None:
        """What the child said before it ended; without waiting, for something it left behind may hold the channel."""
        self.answer.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self._take_answer():
                pass


def _received(channel: socket.socket) -> bytes:
    try:
        return channel.recv(65536)
    except ConnectionError:
        return b""
