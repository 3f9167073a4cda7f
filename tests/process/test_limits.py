"""Limits of a whole server: bodies to unknown paths, upgrades, clients that disconnect, malformed requests."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import psutil
import pytest

from tests.process.conftest import ServerProcess
from tests.process.wire import MB, Reply, Wire, connect, create, eventually, settled_memory

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


@pytest.fixture(scope="module")
def shared_server(own_server: ServerProcess) -> ServerProcess:
    """Its memory and its log are measured."""
    return own_server


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("secured") / "home", AUTH_MODE="required")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module", params=["open", "required"])
def either(request: pytest.FixtureRequest, shared_server: ServerProcess, secured: ServerProcess) -> ServerProcess:
    return shared_server if request.param == "open" else secured


def log_text(server: ServerProcess) -> str:
    return server.log.read_text(errors="replace")


def send_all_then_read(server: ServerProcess, path: str, size: int, *, chunked: bool = False) -> Reply:
    """As urllib does: the reply is read once the whole body has been sent."""
    block = bytes(MB)
    with Wire(server.port) as wire:
        framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(size)}
        wire.head("POST", path, framing)
        for _ in range(size // MB):
            if chunked:
                wire.chunk(block)
            else:
                wire.send(block)
        return wire.read_reply()


@pytest.mark.parametrize(
    ("path", "status", "chunked"),
    [
        ("/nope", 404, False),
        ("/nope", 404, True),
        ("/files/a/b/c", 404, True),
        ("/static/nope.js", 404, False),
        ("/admin/login/", 413, False),
        ("/admin/login/", 413, True),
    ],
)
def test_a_large_body_to_a_path_without_uploads_is_answered_and_discarded(
    either: ServerProcess, path: str, status: int, chunked: bool
) -> None:
    web = psutil.Process(either.web_pid())
    written = web.io_counters().write_bytes
    assert send_all_then_read(either, path, 24 * MB, chunked=chunked).status == status
    assert web.io_counters().write_bytes - written < 8 * MB
    assert web.memory_info().rss < 200 * MB


def test_a_large_json_body_is_refused_by_its_length(shared_server: ServerProcess) -> None:
    for path in ("/api/v1/upload/init", "/files/zip/", "/uploads/grants/"):
        reply = send_all_then_read(shared_server, path, 24 * MB)
        assert reply.status == 413
        assert json.loads(reply.body)["type"] == "/problems/body-too-large"


def test_a_refused_client_that_sends_its_whole_body_first_gets_the_reply(secured: ServerProcess) -> None:
    reply = send_all_then_read(secured, "/files/?filename=a", 60 * MB)
    assert (reply.status, reply.headers["connection"]) == (401, "close")


def test_deeply_nested_json_is_refused_by_every_call(http: httpx.Client) -> None:
    body = b"[" * 60_000
    for path in ("/files/zip/", "/uploads/grants/", *(f"/api/v1/upload/{n}" for n in ("init", "chunk", "complete"))):
        assert http.post(path, content=body).status_code in (400, 422), path
    form = {"metadata": '{"a":' * 10_000}
    assert http.post("/files/", data=form, files={"file": ("a.txt", b"x")}).status_code == 400


@pytest.mark.parametrize("path", ["/", "/ws/nothing", "/ws/files/1", "/files/", "/admin/", "/nope"])
def test_a_websocket_upgrade_on_another_path_is_refused(
    shared_server: ServerProcess, secured: ServerProcess, path: str
) -> None:
    for server, status in ((shared_server, 404), (secured, 401)):
        with Wire(server.port) as wire:
            wire.head("GET", path, UPGRADE)
            reply = wire.read_reply()
            assert (reply.status, json.loads(reply.body)["status"]) == (status, status)
    for fields in ({"Connection": "Upgrade", "Upgrade": "websocket"}, UPGRADE | {"Content-Length": "0"}):
        with Wire(shared_server.port) as wire:
            wire.head("POST", "/nope", fields)
            assert wire.read_reply().status == 404
    assert "Traceback" not in log_text(shared_server) + log_text(secured)


def test_raw_utf_8_in_a_url_is_accepted(shared_server: ServerProcess, http: httpx.Client) -> None:
    with socket.create_connection(("127.0.0.1", shared_server.port)) as client:
        request = "PUT /files/grün.txt?reference=ü HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\nhi"
        client.sendall(request.encode())
        reply = httpx.Response(200, content=client.makefile("rb").read(20_000).split(b"\r\n\r\n", 1)[1])
    record = reply.json()
    assert (record["original_filename"], record["reference"]) == ("grün.txt", "ü")


def test_clients_that_disconnect_are_counted_and_not_logged_as_errors(
    shared_server: ServerProcess, http: httpx.Client
) -> None:
    def disconnects() -> float:
        lines = http.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("windlass_client_disconnects"))

    record = http.put("/files/large.bin", content=os.urandom(20 * MB)).json()
    link, before = record["links"]["download"], disconnects()
    eventually(lambda: http.head(link).status_code == 200)
    for reset in (False, True):
        for method, path, headers, body in (
            ("GET", link, {"Range": "bytes=100-19000000"}, b""),
            ("GET", f"/files/zip/?ids={record['id']}", {}, b""),
            ("PATCH", create(http, 5), {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"}, b"123"),
            ("POST", "/files/?filename=a", {"Content-Length": "10"}, b"123"),
            ("POST", "/api/v1/upload/init", {"Content-Length": "10"}, b"123"),
            ("POST", "/uploads/grants/", {"Content-Length": "10"}, b"123"),
            ("POST", "/files/zip/", {"Content-Length": "10"}, b"123"),
        ):
            with Wire(shared_server.port) as wire:
                more = {"Content-Type": "application/offset+octet-stream", "Transfer-Encoding": "chunked"}
                wire.head(
                    method, path, headers | (more if method == "PATCH" else {}), b"" if method == "PATCH" else body
                )
                if method == "PATCH":
                    wire.chunk(bytes(100_000))
                wire.wait_until_read()
                if reset:
                    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: disconnects() >= before + 8)
    assert "request.failed" not in log_text(shared_server)
    assert "Traceback" not in log_text(shared_server)


def test_stalled_zip_downloads_use_little_memory_and_free_it(shared_server: ServerProcess, http: httpx.Client) -> None:
    """The blocks of clients that read nothing stay within the budget, and freed memory goes back to the system."""
    record = http.put("/files/z.bin", content=os.urandom(20 * MB)).json()
    eventually(lambda: http.head(record["links"]["download"]).status_code == 200)
    web = psutil.Process(shared_server.web_pid())
    before = web.memory_info().rss
    clients = [Wire(shared_server.port) for _ in range(200)]
    for wire in clients:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        wire.head("GET", f"/files/zip/?ids={record['id']}")
    for wire in clients:
        wire.wait_until_read()
    grown = settled_memory(web) - before
    assert http.get("/livez").status_code == 200
    for wire in clients:
        wire.close()
    assert grown < 240 * MB, f"{grown / MB:.0f} MB"
    eventually(lambda: web.memory_info().rss - before < 80 * MB)


def test_unfinished_json_bodies_use_little_memory_and_block_nobody(
    shared_server: ServerProcess, http: httpx.Client
) -> None:
    """20 chunks of 20 MB each, more than the memory budget, and one that is whole beside them."""
    web = psutil.Process(shared_server.web_pid())
    before = web.memory_info().rss
    clients = [Wire(shared_server.port) for _ in range(20)]
    for wire in clients:
        wire.head("POST", "/api/v1/upload/chunk", {"Content-Length": str(20 * MB)}, b'{"chunk_data": "')
        wire.send(b"A" * (19 * MB))
    assert web.memory_info().rss - before < 100 * MB
    fields = {"filename": "a", "total_size": MB, "mime_type": "text/plain", "chunk_size": MB}
    upload = http.post("/api/v1/upload/init", json=fields).raise_for_status().json()["upload_id"]
    chunk = {"upload_id": upload, "chunk_index": 0, "chunk_data": base64.b64encode(bytes(MB)).decode()}
    assert http.post("/api/v1/upload/chunk", json=chunk).status_code == 200
    for wire in clients:
        wire.close()


def test_a_server_at_its_connection_limit_answers_503(make_server: object) -> None:
    """Each of its connections has a running request. One that is silent would make way."""
    with connect(make_server(MAX_CONNECTIONS="20")) as http, ExitStack() as streams:  # type: ignore[operator]
        port = http.base_url.port
        assert port
        for _ in range(20):
            wire = streams.enter_context(Wire(port))
            wire.head("GET", "/events/")
            assert wire.reply_status() == 200
        with Wire(port) as wire:
            wire.head("GET", "/livez")
            assert wire.read_reply().status == 503
        streams.close()
        assert eventually(lambda: http.get("/livez").status_code == 200)
