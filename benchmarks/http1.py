"""The load generator's HTTP client: one connection, one request at a time, with as little work as possible.

It is the same for every server. A large body is sent from the page cache by sendfile, a download is received into one
reused buffer, so that the measurement shows the server.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

BUFFER = 1024 * 1024
TIMEOUT_SECONDS = 300


class UnexpectedReplyError(Exception):
    """The server replied with something else than the benchmark needs: there is nothing to measure."""


@dataclass(frozen=True)
class Body:
    """The body of a request: `head`, then a range of a file (or nothing), then `tail`."""

    head: bytes = b""
    path: Path | None = None
    offset: int = 0
    count: int = 0
    tail: bytes = b""

    @property
    def size(self) -> int:
        return len(self.head) + self.count + len(self.tail)

    def wrapped(self, before: bytes, after: bytes) -> Body:
        return Body(before + self.head, self.path, self.offset, self.count, self.tail + after)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def expect(self, *statuses: int) -> Reply:
        if self.status not in statuses:
            raise UnexpectedReplyError(f"{self.status} instead of {statuses}: {self.body[:300]!r}")
        return self


class Connection:
    """A keep-alive connection to 127.0.0.1, reopened when the server closes it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._pending = b""
        self.sent_at = 0.0  # when the last byte of the last request was handed to the system
        self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def request(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: Body | None = None
    ) -> Reply:
        """Send a request and return the whole reply, which must be small; see `download` for large ones."""
        self._send(method, target, headers or {}, body)
        status, reply_headers = self._read_head()
        reply = Reply(status, reply_headers, self._read_body(method, status, reply_headers))
        if reply_headers.get("connection", "").lower() == "close":
            self._socket.close()
            self._connect()
        return reply

    def download(self, target: str, headers: Mapping[str, str] | None = None) -> int:
        """GET a body and discard it; return its number of bytes."""
        self._send("GET", target, headers or {}, None)
        status, reply_headers = self._read_head()
        if status != 200:
            raise UnexpectedReplyError(
                f"GET {target}: {status} {self._read_body('GET', status, reply_headers)[:300]!r}"
            )
        expected = int(reply_headers["content-length"])
        received = len(self._pending)
        self._pending = b""
        buffer = bytearray(BUFFER)
        while received < expected:
            count = self._socket.recv_into(buffer)
            if not count:
                raise UnexpectedReplyError(f"GET {target}: ended after {received} of {expected} bytes")
            received += count
        return received

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pending = b""

    def _send(self, method: str, target: str, headers: Mapping[str, str], body: Body | None) -> None:
        fields = {"Host": f"127.0.0.1:{self.port}", **headers}
        if body is not None:
            fields["Content-Length"] = str(body.size)
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        try:
            self._socket.sendall(head.encode() + b"\r\n" + (body.head if body else b""))
            if body and body.path:
                with body.path.open("rb") as file:
                    self._socket.sendfile(file, body.offset, body.count)
            if body and body.tail:
                self._socket.sendall(body.tail)
            self.sent_at = time.monotonic()
        except (BrokenPipeError, ConnectionResetError) as error:
            # A server that refuses early replies before it has read everything: its reply has the reason.
            status, reply_headers = self._read_head()
            text = self._read_body(method, status, reply_headers)
            raise UnexpectedReplyError(f"{method} {target} was cut off: {status} {text[:300]!r}") from error

    def _read_head(self) -> tuple[int, dict[str, str]]:
        raw = self._read_until(b"\r\n\r\n").decode("latin-1")
        status_line, *lines = raw.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        return int(status_line.split(" ", 2)[1]), headers

    def _read_body(self, method: str, status: int, headers: Mapping[str, str]) -> bytes:
        if method == "HEAD" or status == 204:
            return b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._read_chunks()
        return self._read_exactly(int(headers.get("content-length", "0")))

    def _read_chunks(self) -> bytes:
        parts = []
        while size := int(self._read_until(b"\r\n").split(b";")[0], 16):
            parts.append(self._read_exactly(size + 2)[:-2])
        while self._read_until(b"\r\n").strip():
            """Skip the trailers."""
        return b"".join(parts)

    def _read_until(self, mark: bytes) -> bytes:
        while (end := self._pending.find(mark)) < 0:
            self._fill()
        end += len(mark)
        found, self._pending = self._pending[:end], self._pending[end:]
        return found

    def _read_exactly(self, count: int) -> bytes:
        while len(self._pending) < count:
            self._fill()
        found, self._pending = self._pending[:count], self._pending[count:]
        return found

    def _fill(self) -> None:
        received = self._socket.recv(65536)
        if not received:
            raise UnexpectedReplyError("the server closed the connection")
        self._pending += received
