"""A body read from the socket by threads is stored as one that comes through the event loop.

A real uvicorn with ``ReceivingProtocol`` runs an application that moves each body into memory by a ``Transfer``. The
same client is played against both ways: any split, any pause, a cut at any byte, several requests on one connection,
the next one sent ahead; over TCP and over a Unix socket.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import django_home

django_home.set_up()

from windlass.http.server.direct_receive import socket_of  # noqa: E402  after Django
from windlass.http.server.uvicorn_protocol import ReceivingProtocol  # noqa: E402
from windlass.receiving.body import RequestBody  # noqa: E402
from windlass.receiving.checkpointed_transfer import Transfer, TransferEnd  # noqa: E402
from windlass.receiving.digest import RunningDigest  # noqa: E402
from windlass.receiving.socket_moves import BUFFER_SIZE, SocketMove  # noqa: E402

LIMIT = 4 * 1024 * 1024


@dataclass
class Stored:
    end: TransferEnd
    data: bytes
    digest: str
    offset: int


class Application:
    """Stores bodies in memory. ``/direct`` lets threads read the socket, ``/loop`` does not."""

    def __init__(self) -> None:
        self.stored: list[Stored] = []
        self.taken = 0
        self.arrived = threading.Condition()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        take = socket_of(scope) if scope["path"] == "/direct" else None

        def counting_take() -> Any:
            taken = take() if take is not None else None
            self.taken += taken is not None
            return taken

        content = bytearray()

        def write(offset: int, buffers: Sequence[Any]) -> None:
            assert offset == len(content)
            for buffer in buffers:
                content.extend(buffer)

        transfer = Transfer(
            RequestBody(receive, take_socket=counting_take),
            write,
            offset=0,
            limit=LIMIT,
            digest=RunningDigest(),
            must_hash=True,
        )
        end = await transfer.run([])
        assert transfer.digest is not None
        with self.arrived:
            self.stored.append(Stored(end, bytes(content), transfer.digest.hexdigest(), transfer.written))
            self.arrived.notify_all()
        body = str(len(content)).encode()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", str(len(body)).encode())],
            }
        )
        await send({"type": "http.response.body", "body": body})

    def wait_for(self, count: int) -> list[Stored]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.stored) >= count, 20)
            return self.stored[-count:]


@dataclass
class Server:
    application: Application
    addresses: dict[str, Any] = field(default_factory=dict)

    def connect(self, kind: str) -> socket.socket:
        client = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
        client.settimeout(20)
        client.connect(self.addresses[kind])
        return client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    application = Application()
    with contextlib.ExitStack() as stack:
        inet = stack.enter_context(socket.socket())
        inet.bind(("127.0.0.1", 0))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        path = Path(tmp_path_factory.mktemp("s")) / "s"
        unix.bind(str(path))
        for listener in (inet, unix):
            listener.listen()
        config = uvicorn.Config(application, http=ReceivingProtocol, lifespan="off", log_config=None)
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [inet, unix]})
        thread.start()
        yield Server(application, {"tcp": inet.getsockname(), "unix": str(path)})
        running.should_exit = True
        thread.join(10)


def head(path: str, length: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def reply_of(client: socket.socket) -> bytes:
    """The body of the next reply."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += received(client, 1)
    fields = dict(line.split(b": ", 1) for line in data.split(b"\r\n")[1:-2])
    return received(client, int(fields[b"content-length"]))


def received(client: socket.socket, size: int) -> bytes:
    data = client.recv(size, socket.MSG_WAITALL)
    assert len(data) == size, "the server closed the connection"
    return data


def content(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def send_in_pieces(client: socket.socket, data: bytes, cuts: list[int], pause: float) -> None:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        client.sendall(data[start:end])
        if pause:
            time.sleep(pause)


sizes = st.one_of(st.integers(1, 5000), st.integers(BUFFER_SIZE - 2, BUFFER_SIZE + 2), st.integers(1, 3_000_000))
cuts = st.lists(st.integers(0, 3_000_000), max_size=3)
pauses = st.sampled_from([0.0, 0.0, 0.002, 0.03])
relaxed = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@given(
    kind=st.sampled_from(["tcp", "unix"]),
    bodies=st.lists(st.tuples(sizes, cuts, pauses), min_size=1, max_size=3),
    ahead=st.booleans(),
)
@relaxed
def test_both_ways_store_the_same_bytes(server: Server, kind: str, bodies: Any, ahead: bool) -> None:
    """Requests follow each other on one connection. ``ahead``: all are sent before the first reply is read."""
    for path in ("/direct", "/loop"):
        with server.connect(kind) as client:
            replies = []
            for seed, (size, edges, pause) in enumerate(bodies):
                send_in_pieces(client, head(path, size) + content(seed, size), edges, pause)
                if not ahead:
                    replies.append(reply_of(client))
            replies += [reply_of(client) for _ in range(len(bodies) - len(replies))]
        assert replies == [str(size).encode() for size, _, _ in bodies]
        for seed, ((size, _, _), stored) in enumerate(
            zip(bodies, server.application.wait_for(len(bodies)), strict=True)
        ):
            expected = content(seed, size)
            assert stored.end is TransferEnd.BODY_ENDED
            assert stored.data == expected
            assert stored.digest == hashlib.sha256(expected).hexdigest()


@given(kind=st.sampled_from(["tcp", "unix"]), size=st.integers(2, 2_000_000), share=st.floats(0.0, 0.99), pause=pauses)
@relaxed
def test_what_arrived_before_a_cut_is_stored_by_both_ways(
    server: Server, kind: str, size: int, share: float, pause: float
) -> None:
    data = content(1, size)
    sent = data[: int(size * share)]
    for path in ("/direct", "/loop"):
        count = len(server.application.stored)
        with server.connect(kind) as client:
            client.sendall(head(path, size) + sent[: len(sent) // 2])
            time.sleep(pause)
            client.sendall(sent[len(sent) // 2 :])
        with server.application.arrived:
            assert server.application.arrived.wait_for(lambda c=count: len(server.application.stored) > c, 20)
        stored = server.application.stored[-1]
        assert stored.end is TransferEnd.CLIENT_GONE
        assert stored.data == sent
        assert stored.offset == len(sent)
        assert stored.digest == hashlib.sha256(sent).hexdigest()


@pytest.mark.parametrize("path", ["/direct", "/loop"])
def test_a_body_beyond_the_limit_is_cut_at_it(server: Server, path: str) -> None:
    data = content(2, LIMIT + 100_000)
    with server.connect("tcp") as client:
        client.sendall(head(path, len(data)) + data)
        assert reply_of(client) == str(LIMIT).encode()
    (stored,) = server.application.wait_for(1)
    assert (stored.end, stored.data) == (TransferEnd.OVER_LIMIT, data[:LIMIT])


def test_threads_read_the_socket_only_where_it_is_asked_for(server: Server) -> None:
    taken = server.application.taken
    for path, expected in (("/loop", 0), ("/direct", 1)):
        with server.connect("tcp") as client:
            client.sendall(head(path, 2_000_000) + content(3, 2_000_000))
            reply_of(client)
        assert server.application.taken - taken == expected


def test_a_chunked_body_comes_through_the_loop(server: Server) -> None:
    taken = server.application.taken
    with server.connect("tcp") as client:
        client.sendall(b"POST /direct HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.sendall(b"5\r\nhello\r\n0\r\n\r\n")
        assert reply_of(client) == b"5"
    assert server.application.taken == taken


def test_an_idle_client_holds_no_thread(server: Server) -> None:
    """Forty clients, more than there are threads for bytes, stop within their bodies; another one is served."""
    idle = [server.connect("tcp") for _ in range(40)]
    for client in idle:
        client.sendall(head("/direct", 1000) + b"x" * 10)
    with server.connect("tcp") as client:
        client.sendall(head("/direct", 2_000_000) + content(4, 2_000_000))
        assert reply_of(client) == b"2000000"
    for client in idle:
        client.sendall(b"y" * 990)
        assert reply_of(client) == b"1000"
        client.close()


class _Pieces:
    """A socket that gives prepared pieces; an exception among them is raised."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = list(pieces)
        self.left, self.last_received_at, self.polled = 1 << 30, 0.0, 0

    def receive_into(self, buffer: memoryview) -> int:
        if not self._pieces:
            return 0  # nothing is there now
        piece = self._pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        buffer[: len(piece)] = piece
        return len(piece)

    def poll(self, milliseconds: int) -> bool:
        self.polled += 1
        return False


def test_a_failed_write_counts_nothing_that_was_not_written() -> None:
    def fail(offset: int, buffers: Sequence[Any]) -> None:
        raise OSError("no space left")

    digest = RunningDigest()
    move = SocketMove(_Pieces(b"abc"), fail, 0, 3, [digest])  # type: ignore[arg-type]
    with pytest.raises(OSError, match="no space"):
        move.run()
    assert (move.moved, digest.offset) == (0, 0)


def test_what_was_read_before_an_error_is_written_first() -> None:
    written: list[bytes] = []
    move = SocketMove(
        _Pieces(b"abc", ConnectionError("reset")),  # type: ignore[arg-type]
        lambda offset, buffers: written.extend(bytes(buffer) for buffer in buffers),
        0,
        100,
        [],
    )
    with pytest.raises(ConnectionError):
        move.run()
    assert (move.moved, written) == (3, [b"abc"])


def test_a_slow_client_is_not_waited_for_in_the_thread() -> None:
    pieces = _Pieces(b"abc")
    move = SocketMove(pieces, lambda offset, buffers: None, 0, 100, [])  # type: ignore[arg-type]
    move.run()
    assert (move.moved, pieces.polled) == (3, 0)
