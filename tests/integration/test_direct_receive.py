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
from windlass.http.uploads.form_events import FormEvents  # noqa: E402
from windlass.kernel.problem_types import QuotaExceeded  # noqa: E402
from windlass.protocols.form_parser import PartBegan  # noqa: E402
from windlass.protocols.intents import Head  # noqa: E402
from windlass.receiving.body import (  # noqa: E402
    BodySocket,
    BytesInMemory,
    ByteSource,
    InitialBody,
    RequestBody,
    SocketOffer,
    read_initial_body,
)
from windlass.receiving.digest import RunningDigest  # noqa: E402
from windlass.receiving.direct_receive import BUFFER_SIZE, SocketMove  # noqa: E402
from windlass.receiving.transfer import Reserve, Transfer, TransferEnd  # noqa: E402

LIMIT = 4 * 1024 * 1024
QUOTA = 3 * 1024 * 1024
BOUNDARY = b"boundary"


async def reserve(offset: int) -> int:
    if offset > QUOTA:
        raise QuotaExceeded("bytes", limit=QUOTA, used=0, requested=offset)
    return min(offset + 1024 * 1024, QUOTA)


@dataclass
class Stored:
    end: TransferEnd | None
    data: bytes
    digest: str
    offset: int


class Application:
    """Stores bodies in memory. ``/direct`` lets threads read the socket, ``/loop`` does not; a form's files one by one.

    ``/begin-…``: the first bytes are read as every kind of upload does. ``/reserve-…``: quota for a megabyte is
    reserved at a time, and for no more than ``QUOTA`` bytes.
    """

    def __init__(self) -> None:
        self.stored: list[Stored] = []
        self.taken = 0
        self.arrived = threading.Condition()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        offer = socket_of(scope) if scope["path"].endswith("direct") else None
        body = RequestBody(receive, socket=offer and CountingOffer(self, offer))
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if headers.get("content-type", "").startswith("multipart/"):
            events = FormEvents(Head("POST", scope["path"], headers), body, 1 << 40)
            while (event := await events.next()) is not None:
                if isinstance(event, PartBegan):
                    await self._store(events, None, "begin" in scope["path"])
            await self._reply(send, b"ok")
            return
        stored = await self._store(body, reserve if "reserve" in scope["path"] else None, "begin" in scope["path"])
        await self._reply(send, str(len(stored.data)).encode())

    async def _store(self, source: ByteSource, reserve: Reserve | None, begins: bool) -> Stored:
        content = bytearray()

        def write(offset: int, buffers: Sequence[Any]) -> None:
            assert offset == len(content)
            for buffer in buffers:
                content.extend(buffer)

        transfer = Transfer(
            source,
            write,
            offset=0,
            limit=LIMIT,
            digest=RunningDigest(),
            must_hash=True,
            reserve=reserve,
        )
        try:
            initial = await read_initial_body(source) if begins else InitialBody()
            if initial.ended:
                transfer.source = BytesInMemory(b"")
            end: TransferEnd | None = await transfer.run(initial.buffers)
            if initial.gone:
                end = TransferEnd.CLIENT_GONE
        except QuotaExceeded:
            end = None
        assert transfer.digest is not None
        stored = Stored(end, bytes(content), transfer.digest.hexdigest(), transfer.written)
        with self.arrived:
            self.stored.append(stored)
            self.arrived.notify_all()
        return stored

    async def _reply(self, send: Any, body: bytes) -> None:
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
class CountingOffer:
    application: Application
    offer: SocketOffer

    def take_socket(self) -> BodySocket | None:
        taken = self.offer.take_socket()
        self.application.taken += taken is not None
        return taken

    def leaves_in_socket(self, size: int) -> bool:
        return self.offer.leaves_in_socket(size)


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


def head(path: str, length: int, content_type: str = "application/octet-stream") -> bytes:
    fields = f"Host: x\r\nContent-Type: {content_type}\r\nContent-Length: {length}"
    return f"POST {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode()


def form(parts: Sequence[bytes]) -> bytes:
    fields = b'Content-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    return b"".join(b"--%s\r\n%s%s\r\n" % (BOUNDARY, fields, part) for part in parts) + b"--%s--\r\n" % BOUNDARY


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
    for path in ("/direct", "/begin-direct", "/loop"):
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
    for path in ("/direct", "/begin-direct", "/loop"):
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


#: What a boundary begins with, so that a search for one must look behind the end of a piece.
almost = st.sampled_from([b"", b"\r", b"\r\n--bound", b"\r\n--boundary!", b"\r\n--boundary-x\r\n"])


@given(
    files=st.lists(st.tuples(sizes, almost, almost), min_size=1, max_size=3),
    cuts=cuts,
    pause=pauses,
    ahead=st.booleans(),
)
@relaxed
def test_both_ways_find_the_same_files_in_a_form(
    server: Server, files: Any, cuts: list[int], pause: float, ahead: bool
) -> None:
    parts = [start + content(seed, size) + end for seed, (size, start, end) in enumerate(files)]
    data = form(parts)
    for path in ("/direct", "/begin-direct", "/loop"):
        with server.connect("tcp") as client:
            whole = head(path, len(data), f"multipart/form-data; boundary={BOUNDARY.decode()}") + data
            send_in_pieces(client, whole + (head(path, 3) + b"xyz" if ahead else b""), cuts, pause)
            assert reply_of(client) == b"ok"
            assert not ahead or reply_of(client) == b"3"
        stored = server.application.wait_for(len(parts) + ahead)[: len(parts)]
        assert [each.data for each in stored] == parts
        assert [each.digest for each in stored] == [hashlib.sha256(part).hexdigest() for part in parts]
        assert {each.end for each in stored} == {TransferEnd.BODY_ENDED}


def test_the_files_of_a_form_are_read_from_the_socket(server: Server) -> None:
    taken = server.application.taken
    data = form([content(5, 2_000_000), content(6, 2_000_000)])
    with server.connect("tcp") as client:
        client.sendall(head("/direct", len(data), "multipart/form-data; boundary=boundary") + data)
        assert reply_of(client) == b"ok"
    assert server.application.taken - taken == 2


@pytest.mark.parametrize("path", ["/reserve-direct", "/reserve-loop"])
@pytest.mark.parametrize("excess", [0, 1])
def test_a_body_is_reserved_for_to_its_last_byte(server: Server, path: str, excess: int) -> None:
    """The quota has space for exactly this body, or for one byte less."""
    data, taken = content(7, QUOTA + excess), server.application.taken
    with server.connect("tcp") as client:
        client.sendall(head(path, len(data)) + data)
        reply_of(client)
    (stored,) = server.application.wait_for(1)
    assert stored.end is (None if excess else TransferEnd.BODY_ENDED)
    assert stored.data == data[: len(stored.data)]
    assert stored.offset == len(stored.data) >= (QUOTA - 1024 * 1024 if excess else QUOTA)
    assert server.application.taken - taken == path.endswith("direct")


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
    for path, expected in (("/loop", 0), ("/direct", 1), ("/begin-direct", 2)):
        with server.connect("tcp") as client:
            client.sendall(head(path, 4_000_000) + content(3, 4_000_000))
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
        self.ended = False

    def receive_into(self, buffer: memoryview) -> int:
        if not self._pieces:
            return 0  # nothing is there now
        piece = self._pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        buffer[: len(piece)] = piece
        return len(piece)

    def content(self, received: memoryview) -> list[memoryview]:
        return [received]

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


def test_a_failure_in_the_second_thread_ends_the_move() -> None:
    """It is raised where the next batch is added, or at the end."""

    class FailingHash:
        def update(self, buffers: Sequence[Any]) -> None:
            raise MemoryError

    for pieces in ([b"a" * BUFFER_SIZE], [b"a" * BUFFER_SIZE] * 3):
        began = time.monotonic()
        move = SocketMove(
            _Pieces(*pieces),  # type: ignore[arg-type]
            lambda offset, buffers: None,
            0,
            sum(map(len, pieces)),
            [FailingHash()],
        )
        with pytest.raises(MemoryError):
            move.run()
        assert time.monotonic() - began < 10
