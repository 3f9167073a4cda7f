"""JSON messages and open files over Unix sockets, and the worker's two sockets to one child.

Nothing that a child sends is trusted.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import struct
import subprocess
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from windlass.processing.contract import PermanentError

Message = dict[str, Any]

#: The longest message (bytes). A step's facts are small; a child that sends more is not trusted.
LONGEST = 1024 * 1024
MOST_FILES = 4
#: Bytes that a child may send in answer to one order.
LARGEST_ANSWER = 4 * 1024 * 1024
#: Seconds within which a child must receive an order.
SEND_TIMEOUT = 30.0

_LENGTH = struct.Struct(">I")


class InvalidMessage(Exception):
    """The bytes received are not a message, or the message cannot be sent."""


class ParentGone(Exception):
    """The parent died during a request or no longer answers; its children die with it."""


def pack(message: Message) -> bytes:
    """Raises InvalidMessage for what JSON cannot express, and for more than LONGEST bytes."""
    try:
        body = json.dumps(message, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidMessage(f"a message cannot be written as JSON: {error}") from error
    if len(body) > LONGEST:
        raise InvalidMessage(f"a message has {len(body)} bytes, of which {LONGEST} are allowed")
    return _LENGTH.pack(len(body)) + body


@dataclass(slots=True)
class Unpacker:
    """Splits a stream of bytes into messages."""

    buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[Message]:
        """Raises InvalidMessage."""
        self.buffer += data
        messages: list[Message] = []
        while len(self.buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self.buffer)
            if length > LONGEST:
                raise InvalidMessage(f"a message claims {length} bytes")
            end = _LENGTH.size + length
            if len(self.buffer) < end:
                break
            messages.append(_parse(bytes(self.buffer[_LENGTH.size : end])))
            del self.buffer[:end]
        return messages


def send(connection: socket.socket, message: Message, files: tuple[int, ...] = ()) -> None:
    """Send a message. The files arrive with its first byte."""
    data = memoryview(pack(message))
    if files:
        data = data[socket.send_fds(connection, [data], list(files)) :]
    connection.sendall(data)


@dataclass(slots=True)
class Receiver:
    """Receives messages and the files sent with them: as many as each message says in ``files``, in order."""

    connection: socket.socket
    unpacker: Unpacker = field(default_factory=Unpacker)
    files: deque[int] = field(default_factory=deque)

    def receive(self) -> list[tuple[Message, list[int]]] | None:
        """Return the messages that one read completes; None once the other side is closed. Raises InvalidMessage."""
        data, files, _, _ = socket.recv_fds(self.connection, 64 * 1024, MOST_FILES)
        self.files.extend(files)
        if not data:
            return None
        return [(message, self._files_of(message)) for message in self.unpacker.feed(data)]

    def _files_of(self, message: Message) -> list[int]:
        count = message.get("files", 0)
        if len(self.files) < count:
            raise InvalidMessage(f"{count} files were announced, {len(self.files)} arrived")
        return [self.files.popleft() for _ in range(count)]


def _parse(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage("a message is not JSON") from error
    if not isinstance(message, dict):
        raise InvalidMessage("a message is not an object")
    return message


@dataclass(slots=True)
class ChildChannel:
    """The worker's sockets to one child: ``answer`` to the child itself, ``status`` to its parent about it.

    ``process`` is the parent. Closing the channel makes the parent kill the child. ``locked_down`` is set once the
    child has given up its rights.
    """

    process: subprocess.Popen[bytes]
    answer: socket.socket
    status: socket.socket
    locked_down: bool = False
    _on_progress: Callable[[int], None] = lambda _: None
    _answered: Message | None = None
    _answers: Unpacker = field(default_factory=Unpacker)
    _endings: Unpacker = field(default_factory=Unpacker)
    _ended: Message | None = None
    _received: int = 0

    def __post_init__(self) -> None:
        self.answer.settimeout(SEND_TIMEOUT)

    def close(self) -> None:
        self.answer.close()
        self.status.close()

    def has_ended(self) -> bool:
        """Return whether the child or its parent has ended, without waiting."""
        self.status.setblocking(False)
        try:
            self._receive_ending()
        except BlockingIOError:
            return False
        except ParentGone:
            return True
        finally:
            self.status.setblocking(True)
        return self._ended is not None

    def send_order(self, message: Message, on_progress: Callable[[int], None]) -> None:
        """Send the child its next order. A failure to send shows in how the child ended."""
        self._on_progress, self._answered, self._received = on_progress, None, 0
        with contextlib.suppress(OSError):
            self.answer.sendall(pack(message))

    def register(self, selector: selectors.BaseSelector) -> None:
        selector.register(self.answer, selectors.EVENT_READ)
        selector.register(self.status, selectors.EVENT_READ)

    def wait(self, selector: selectors.BaseSelector, seconds: float) -> tuple[Message | None, Message | None]:
        """Wait at most ``seconds``; return how the child ended and what it answered, each None if not known yet.

        Raises ParentGone, and PermanentError for an invalid answer.
        """
        ready = [key.fileobj for key, _ in selector.select(seconds)]
        if self.answer in ready and not self._receive_answer():
            selector.unregister(self.answer)  # the parent reports how the child ended
        if self.status in ready:
            self._receive_ending()
        if self._ended is not None and self._answered is None:
            self._receive_rest()
        return self._ended, self._answered

    def _receive_answer(self) -> bool:
        """Return False if the child's end is closed."""
        data = _receive(self.answer)
        self._received += len(data)
        if self._received > LARGEST_ANSWER:
            raise PermanentError("The step said too much.")
        try:
            messages = self._answers.feed(data)
        except InvalidMessage as error:
            raise PermanentError("The step's answer is not usable.") from error
        for message in messages:
            self._handle(message)
        return bool(data)

    def _handle(self, message: Message) -> None:
        percent = message.get("percent")
        if self._answered is not None:
            raise PermanentError("The step's answer is not usable: it gave more than one.")
        if message.get("kind") == "bound":
            self.locked_down = True
        elif message.get("kind") != "progress":
            self._answered = message
        elif type(percent) is int:
            self._on_progress(max(0, min(percent, 100)))

    def _receive_ending(self) -> None:
        data = _receive(self.status)
        if not data and self._ended is None:
            raise ParentGone
        for message in self._endings.feed(data):
            self._ended = message

    def _receive_rest(self) -> None:
        """Receive what the child sent before it ended, without waiting: a process it left may hold the socket open."""
        self.answer.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self._receive_answer():
                pass


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b""
