"""JSON messages with a length before each, and open files that travel with them over a Unix socket."""

from __future__ import annotations

import array
import json
import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]

#: No message is longer (bytes). A step's facts are small; a child that says more is not trusted.
LONGEST = 1024 * 1024
MOST_FILES = 4

_LENGTH = struct.Struct(">I")
_FILES = socket.CMSG_SPACE(MOST_FILES * array.array("i").itemsize)


class Garbled(Exception):
    """What came is no message of ours."""


def pack(message: Message) -> bytes:
    """Raises Garbled for what JSON cannot say, and for more than LONGEST bytes."""
    try:
        body = json.dumps(message, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Garbled(f"a message cannot be written as JSON: {error}") from error
    if len(body) > LONGEST:
        raise Garbled(f"a message has {len(body)} bytes, of which {LONGEST} are allowed")
    return _LENGTH.pack(len(body)) + body


@dataclass(slots=True)
class Unpacker:
    """Bytes in, whole messages out."""

    buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[Message]:
        """Raises Garbled."""
        self.buffer += data
        messages: list[Message] = []
        while len(self.buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self.buffer)
            if length > LONGEST:
                raise Garbled(f"a message claims {length} bytes")
            end = _LENGTH.size + length
            if len(self.buffer) < end:
                break
            messages.append(_parse(bytes(self.buffer[_LENGTH.size : end])))
            del self.buffer[:end]
        return messages


def send(channel: socket.socket, message: Message, files: tuple[int, ...] = ()) -> None:
    """The files arrive with the message's first byte."""
    data = memoryview(pack(message))
    if files:
        data = data[socket.send_fds(channel, [data], list(files)) :]
    channel.sendall(data)


@dataclass(slots=True)
class Receiver:
    """Reads messages and the files that came with them.

    Each message says how many files belong to it (``files``). They come in order and none later than its first bytes.
    """

    channel: socket.socket
    unpacker: Unpacker = field(default_factory=Unpacker)
    files: deque[int] = field(default_factory=deque)

    def receive(self) -> list[tuple[Message, list[int]]] | None:
        """What one read brings; None once the other side is gone. Raises Garbled."""
        data, ancillary, _, _ = self.channel.recvmsg(
            64 * 1024, socket.CMSG_SPACE(MOST_FILES * array.array("i").itemsize)
        )
        for level, kind, body in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                arrived = array.array("i")
                arrived.frombytes(body[: len(body) - len(body) % arrived.itemsize])
                self.files.extend(arrived)
        if not data:
            return None
        return [(message, self._take(message)) for message in self.unpacker.feed(data)]

    def _take(self, message: Message) -> list[int]:
        count = message.get("files", 0)
        if len(self.files) < count:
            raise Garbled(f"{count} files were announced, {len(self.files)} came")
        return [self.files.popleft() for _ in range(count)]


def _parse(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Garbled("a message is not JSON") from error
    if not isinstance(message, dict):
        raise Garbled("a message is not an object")
    return message
