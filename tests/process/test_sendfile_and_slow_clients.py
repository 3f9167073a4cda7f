"""Downloads from a real server: by sendfile, by the proxy in front, to slow clients and to clients that disconnect."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests import services
from tests.conftest import require
from tests.process.conftest import ServerProcess

SIZE = 24 * 1024 * 1024
HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "let-the-proxy-send-files.md"


@pytest.fixture(scope="module")
def shared_server(own_server: ServerProcess) -> ServerProcess:
    """Its descriptors are measured."""
    return own_server


@pytest.fixture(scope="module")
def body() -> bytes:
    return os.urandom(SIZE)


@pytest.fixture(scope="module")
def link(shared_server: ServerProcess, body: bytes) -> str:
    return uploaded(shared_server.url, body)


def uploaded(url: str, body: bytes, name: str = "large.bin") -> str:
    """Store a file and return its download link once it is served."""
    record = httpx.put(f"{url}/files/{name}", content=body, timeout=60).raise_for_status().json()
    link = f"{url}{record['links']['download']}"
    deadline = time.monotonic() + 60
    while httpx.head(link).status_code == 409 and time.monotonic() < deadline:
        time.sleep(0.05)
    return link


def test_a_large_file_is_served_whole_and_in_ranges(link: str, body: bytes) -> None:
    assert httpx.get(link).content == body
    for start, stop in ((0, 1), (5, SIZE), (300_000, 9_000_000), (SIZE - 1, SIZE)):
        part = httpx.get(link, headers={"Range": f"bytes={start}-{stop - 1}"})
        assert part.status_code == 206
        assert part.content == body[start:stop]


def test_one_connection_serves_one_file_after_another(shared_server: ServerProcess, link: str, body: bytes) -> None:
    with httpx.Client() as client:
        for _ in range(3):
            assert hashlib.sha256(client.get(link).content).digest() == hashlib.sha256(body).digest()
            assert client.get(f"{shared_server.url}/livez").status_code == 200


def test_clients_that_read_nothing_do_not_block_others(link: str, body: bytes) -> None:
    """There are more of them than threads for bytes; other requests do not wait."""
    sleepers = [_asking(link) for _ in range(40)]
    try:
        for sleeper in sleepers:
            assert sleeper.recv(1, socket.MSG_PEEK) == b"H"  # the server has begun to reply to each of them
        assert httpx.get(link, timeout=20).content == body
    finally:
        for sleeper in sleepers:
            sleeper.close()
    assert httpx.get(link, timeout=20).content == body


def test_a_slow_client_gets_the_whole_file(link: str, body: bytes) -> None:
    with _asking(link) as client:
        head, received = b"", b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        while len(received) < SIZE:
            if len(received) % 7 == 0:
                time.sleep(0.005)
            received += client.recv(512 * 1024)
    assert received == body


def test_a_client_that_disconnects_leaves_no_descriptor_open(shared_server: ServerProcess, link: str) -> None:
    web = psutil.Process(shared_server.web_pid())
    before = web.num_fds()
    for _ in range(20):
        with _asking(link) as client:
            client.recv(100_000)
    deadline = time.monotonic() + 20
    while web.num_fds() > before + 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert web.num_fds() <= before + 2


def test_concurrent_downloads_get_the_same_bytes(link: str, body: bytes) -> None:
    digest, found = hashlib.sha256(body).hexdigest(), []

    def fetch() -> None:
        found.append(hashlib.sha256(httpx.get(link, timeout=60).content).hexdigest())

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [digest] * 8


def _asking(link: str) -> socket.socket:
    """A connection on which the file was asked for; the window is small, so that little is sent ahead."""
    address = httpx.URL(link)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    client.settimeout(30)
    client.connect((address.host, address.port))
    client.sendall(f"GET {address.raw_path.decode()} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return client


@pytest.fixture
def behind_nginx(make_server: Callable[..., ServerProcess]) -> Iterator[tuple[ServerProcess, str]]:
    """The how-to's location in a real nginx, before a server that was told of it."""
    program = require(services.find_nginx(), "nginx is not installed")
    server = make_server(SENDFILE="x-accel-redirect", TRUSTED_PROXIES="127.0.0.1")
    match = re.search(r"```nginx\n(.*?)```", HOW_TO.read_text(), re.S)
    assert match
    location = match[1].replace("/srv/windlass/media", str(server.home / "media"))
    with services.nginx(program, server.url, location, as_caller=True) as url:
        yield server, url


def test_nginx_sends_the_bytes(behind_nginx: tuple[ServerProcess, str], body: bytes) -> None:
    server, url = behind_nginx
    link = uploaded(url, body)
    direct = httpx.get(link.replace(url, server.url))
    assert direct.content == b""
    whole = httpx.get(link)
    assert whole.content == body
    assert "X-Accel-Redirect" not in whole.headers
    assert whole.headers["ETag"] == f'"{hashlib.sha256(body).hexdigest()}"'
    for name in ("Content-Type", "Content-Disposition", "X-Content-Type-Options", "Content-Security-Policy"):
        assert whole.headers[name] == direct.headers[name]
    part = httpx.get(link, headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, body[1000:2000])
    held = httpx.get(link, headers={"Range": "bytes=1000-1999", "If-Range": whole.headers["ETag"]})
    assert (held.status_code, held.content) == (206, body[1000:2000])
    other = httpx.get(link, headers={"Range": "bytes=1000-1999", "If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, body)
    assert httpx.get(link, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert httpx.head(link).headers["Content-Length"] == str(SIZE)


def test_nginx_serves_no_stored_object_without_windlass(behind_nginx: tuple[ServerProcess, str], body: bytes) -> None:
    server, url = behind_nginx
    link = uploaded(url, body[:1000])
    assert httpx.get(link).content == body[:1000]
    (stored,) = (path for path in (server.home / "media" / "objects").rglob("*") if path.is_file())
    key = stored.relative_to(server.home / "media")
    assert httpx.get(f"{url}/windlass-media/{key}").status_code == 404


def test_x_sendfile_names_the_file(make_server: Callable[..., ServerProcess], body: bytes) -> None:
    server = make_server(SENDFILE="x-sendfile")
    answer = httpx.get(uploaded(server.url, body[:1000]))
    assert Path(answer.headers["X-Sendfile"]).read_bytes() == body[:1000]
    assert answer.content == b""
