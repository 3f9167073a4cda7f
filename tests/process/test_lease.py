"""One writer at a time: half-open connections, two web processes on one home, a holder that is stopped."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import psutil
import pytest

from tests.process.conftest import ServerProcess, free_port
from tests.process.wire import (
    MB,
    PATCH,
    TUS,
    Reply,
    StoredData,
    Wire,
    create,
    download_when_ready,
    eventually,
    offset,
    patch,
)

#: The promise is about a second; a busy machine is given more.
TAKEOVER_SECONDS = 5.0
HALF, SIZE = MB, 2 * MB
IETF_PATCH = {"Content-Type": "application/partial-upload", "Upload-Complete": "?1"}


@dataclass
class OtherWeb:
    """A web process of its own beside the served one, on the same home."""

    process: subprocess.Popen[bytes]
    port: int

    def connect(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        self.process.send_signal(signal.SIGSTOP)
        eventually(lambda: psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="module", params=["auto", "off"], ids=["direct", "loop"])
def shared_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for all tests, for each of both ways in which bytes are received."""
    server = ServerProcess(tmp_path_factory.mktemp("shared") / "home", DIRECT_RECEIVE=request.param)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def other(shared_server: ServerProcess) -> Iterator[OtherWeb]:
    port = free_port()
    command = [sys.executable, "-m", "windlass", "web", "--instance", "other", "--port", str(port)]
    environment = shared_server.environment | {"WINDLASS_HOME": str(shared_server.home)}
    with shared_server.log.open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    found = OtherWeb(process, port)
    try:
        eventually(lambda: _answers(found), within=60)
        yield found
    finally:
        process.kill()
        process.wait()


def _answers(web: OtherWeb) -> bool:
    with contextlib.suppress(httpx.TransportError), web.connect() as client:
        return client.get("/livez").status_code == 200
    return False


def start_patch(wire: Wire, path: str, body: bytes, length: int) -> None:
    wire.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Content-Length": str(length)}, body)


def is_written(stored_data: StoredData, path: str, size: int) -> bool:
    return stored_data.object_path(path).stat().st_size >= size


def assert_displaced(answer: Reply) -> None:
    problem = json.loads(answer.body)
    assert answer.status == 423, problem
    assert answer.headers["retry-after"] == "1"
    assert f"stands at byte {HALF}" in problem["detail"]
    assert "Another request" in problem["detail"]


# The client behind a dead connection comes back on another one


@pytest.mark.parametrize("first", ["HEAD", "PATCH"])
def test_line_15_a_newer_request_takes_the_lease_of_a_half_open_connection(
    shared_server: ServerProcess, http: httpx.Client, stored_data: StoredData, first: str
) -> None:
    content, path = os.urandom(SIZE), create(http, SIZE)
    with Wire(shared_server.port) as silent:
        start_patch(silent, path, content[:HALF], SIZE)
        eventually(lambda: is_written(stored_data, path, HALF))
        began = time.monotonic()
        if first == "HEAD":
            assert offset(http, path) == HALF
        assert patch(http, path, HALF, content[HALF:]).status_code == 204
        assert time.monotonic() - began < TAKEOVER_SECONDS
        assert_displaced(silent.read_reply())
        assert silent.is_closed_by_server()
    assert download_when_ready(http, path) == content


def test_line_15_a_newer_request_takes_the_lease_of_a_connection_in_another_process(
    shared_server: ServerProcess, http: httpx.Client, stored_data: StoredData, other: OtherWeb
) -> None:
    content, path = os.urandom(SIZE), create(http, SIZE)
    with Wire(other.port) as silent:
        start_patch(silent, path, content[:HALF], SIZE)
        eventually(lambda: is_written(stored_data, path, HALF))
        assert stored_data.session(path)["lease_holder"] == "other"
        began = time.monotonic()
        assert offset(http, path) == HALF
        assert patch(http, path, HALF, content[HALF:]).status_code == 204
        assert time.monotonic() - began < TAKEOVER_SECONDS
        assert_displaced(silent.read_reply())
    assert download_when_ready(http, path) == content


def test_line_15_each_newer_request_takes_the_lease_of_the_one_before(
    shared_server: ServerProcess, http: httpx.Client, stored_data: StoredData
) -> None:
    """A network that breaks repeatedly: each connection sends a few bytes."""
    content, path = os.urandom(SIZE), create(http, SIZE)
    with contextlib.ExitStack() as stack:
        for number in range(4):
            wire = stack.enter_context(Wire(shared_server.port))
            at = offset(http, path)
            assert at == number * 1000
            head = PATCH | {"Upload-Offset": str(at), "Content-Length": str(SIZE - at)}
            wire.head("PATCH", path, head, content[at : at + 1000])
            eventually(lambda at=at: is_written(stored_data, path, at + 1000))
        assert patch(http, path, offset(http, path), content[4000:]).status_code == 204
    assert download_when_ready(http, path) == content


def test_termination_stops_a_writer_in_another_process(
    http: httpx.Client, stored_data: StoredData, other: OtherWeb
) -> None:
    path = create(http, SIZE)
    with Wire(other.port) as writer:
        start_patch(writer, path, bytes(HALF), SIZE)
        eventually(lambda: is_written(stored_data, path, HALF))
        began = time.monotonic()
        assert http.delete(path, headers=TUS).status_code == 204
        assert writer.read_reply().status in (410, 423, 503)
        assert time.monotonic() - began < TAKEOVER_SECONDS
        assert writer.is_closed_by_server()
    assert not stored_data.object_path(path).exists()


def test_requests_that_do_not_need_the_lease_do_not_interrupt_the_writer(
    shared_server: ServerProcess, http: httpx.Client, stored_data: StoredData
) -> None:
    """Reading the status of an upload does not interrupt its writer."""
    content, path = os.urandom(SIZE), create(http, SIZE)
    with Wire(shared_server.port) as writer:
        start_patch(writer, path, content[:HALF], SIZE)
        eventually(lambda: is_written(stored_data, path, HALF))
        for look in (http.get(path, headers={"Accept": "application/json"}), http.options(path), http.get("/files/")):
            assert look.status_code in (200, 204)
        assert patch(http, path, 0, b"x", **{"Content-Type": "text/plain"}).status_code == 415
        writer.send(content[HALF:])
        assert writer.read_reply().status == 204
    assert download_when_ready(http, path) == content


# A holder that is stopped


def test_line_15_nobody_writes_while_a_stopped_holder_could_still_write(
    http: httpx.Client, stored_data: StoredData, other: OtherWeb
) -> None:
    """Its lease expires, but its writes could still arrive: no other process writes until they cannot."""
    content, path = os.urandom(SIZE), create(http, SIZE)
    with Wire(other.port) as late:
        start_patch(late, path, content[:HALF], SIZE)
        eventually(lambda: is_written(stored_data, path, HALF))
        with other.stopped():
            began = time.monotonic()
            refused = patch(http, path, 0, b"\0" * SIZE)
            assert refused.status_code == 423, refused.text
            assert refused.json()["type"] == "/problems/upload-locked"
            assert time.monotonic() - began < 25
            assert is_written(stored_data, path, HALF)
            assert stored_data.object_path(path).read_bytes()[:HALF] == content[:HALF]
            late.send(content[HALF:])
        assert late.read_reply().status == 423, "what it wrote since its last commit does not count"
    at = offset(http, path)
    assert patch(http, path, at, content[at:]).status_code == 204
    assert download_when_ready(http, path) == content


def test_a_holder_stopped_before_its_first_write_is_fenced(
    http: httpx.Client, stored_data: StoredData, other: OtherWeb
) -> None:
    """Between taking the lease and locking the object it blocks nobody; afterwards another request has the lease."""
    for _ in range(20):
        path, theirs = create(http, SIZE), b"\0" * SIZE
        with Wire(other.port) as late:
            start_patch(late, path, b"", SIZE)
            eventually(lambda path=path: stored_data.session(path)["lease_holder"] == "other")
            with other.stopped():
                if is_locked(stored_data, path) or stored_data.is_locked():
                    continue  # it has its object, or was stopped within a transaction, which blocks every writer
                late.send(theirs)
                content = os.urandom(SIZE)
                eventually(lambda path=path, content=content: patch(http, path, 0, content).status_code == 204)
            assert late.read_reply().status == 423
            assert download_when_ready(http, path) == content
            return
    pytest.fail("the holder was never stopped in time")


def is_locked(stored_data: StoredData, path: str) -> bool:
    """Return whether a process holds the lock of the upload's object."""
    with stored_data.object_path(path).open("rb") as found:
        try:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


# Two at once


def test_line_17_one_of_two_requests_in_two_processes_succeeds(
    shared_server: ServerProcess, http: httpx.Client, stored_data: StoredData, other: OtherWeb
) -> None:
    for _ in range(20):
        bodies = [bytes([letter]) * 1000 for letter in b"AB"]
        path = create(http, 1001)
        with Wire(shared_server.port) as one, Wire(other.port) as two:
            for wire, body in zip((one, two), bodies, strict=True):
                start_patch(wire, path, body, 1000)
            replies = [one.read_reply().status, two.read_reply().status]
        assert sorted(replies)[0] == 204
        assert sorted(replies)[1] in (409, 423)
        assert stored_data.object_path(path).read_bytes() == bodies[replies.index(204)]


def test_large_bodies_at_one_offset_are_not_mixed(
    shared_server: ServerProcess, http: httpx.Client, stored_data: StoredData, other: OtherWeb
) -> None:
    """No request has to succeed; the stored bytes must be those of one client."""
    for _ in range(3):
        path, bodies = create(http, SIZE), [bytes([letter]) * SIZE for letter in b"AB"]
        with Wire(shared_server.port) as one, Wire(other.port) as two:
            for wire, body in zip((one, two), bodies, strict=True):
                start_patch(wire, path, body[:HALF], SIZE)
            for wire, body in zip((one, two), bodies, strict=True):
                with contextlib.suppress(ConnectionError):
                    wire.send(body[HALF:])
            replies = {one.read_reply().status, two.read_reply().status}
        assert replies <= {204, 409, 423, 503}
        at = eventually(lambda path=path: offset(http, path))
        stored = stored_data.object_path(path).read_bytes()[:at]
        assert stored in (b"A" * at, b"B" * at)


# Lines 15 and 30: HEAD counts the bytes that a request of a disconnected client still commits

ROUNDS = 30


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("dialect", ["tus", "ietf"])
def test_line_30_head_after_a_cut_connection_returns_the_offset_that_patch_accepts(
    shared_server: ServerProcess, http: httpx.Client, dialect: str, reset: bool
) -> None:
    """Whatever arrived counts or does not; either way HEAD, status and PATCH agree on it."""
    headers, query = (PATCH, TUS) if dialect == "tus" else (IETF_PATCH, {})
    for number in range(ROUNDS):
        size = 100_000 if number % 3 == 0 else 20
        created = http.post("/files/", headers={"Upload-Length": str(size)} | (query or {"Upload-Complete": "?0"}))
        path, content = created.headers["Location"], os.urandom(size)
        with Wire(shared_server.port) as cut:
            head = headers | {"Upload-Offset": "0", "Content-Length": str(size)}
            cut.head("PATCH", path, head, content[: size // 2])
            if reset:
                cut.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if number % 2:
            status = http.get(path, headers={"Accept": "application/json"}).json()
        reply = http.head(path, headers=query)
        at = int(reply.headers["Upload-Offset"])
        if number % 2:
            assert status["progress"]["bytes_received"] in ((at,) if size == 20 else range(at + 1))
        if not reset and size == 20:
            assert at == 10, "what comes in one piece with the head is never lost"
        last = http.patch(path, headers=headers | {"Upload-Offset": str(at)}, content=content[at:])
        assert last.status_code < 300, (number, at, last.text)


def test_a_chunk_of_a_disconnected_client_can_be_resent(shared_server: ServerProcess, http: httpx.Client) -> None:
    content = os.urandom(1024)
    asked = {"filename": "a", "total_size": 1024, "mime_type": "", "chunk_size": 1024}
    for number in range(ROUNDS // 3):
        upload = http.post("/api/v1/upload/init", json=asked).json()["upload_id"]
        path = f"/api/v1/upload/{upload}/chunks/0"
        with Wire(shared_server.port) as cut:
            cut.head("PUT", path, {"Content-Length": "1024"}, content[: 1024 - number % 2])
        missing = http.get(f"/api/v1/upload/status/{upload}").json()["progress"]["missing_chunks"]
        assert missing in ([], [0])
        assert http.put(path, content=content).status_code == 200
        assert http.post("/api/v1/upload/complete", json={"upload_id": upload}).status_code == 200
