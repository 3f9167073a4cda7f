"""Malformed and ambiguous HTTP, direct and through nginx: nothing in a body is run as a request.

Each attack hides a request that stores a file where one reader of the bytes may see a body and another the next
request. tests/pure/test_request_framing.py has what is refused; this is about two servers that read the same bytes.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests import services
from tests.conftest import require
from tests.process.conftest import ServerProcess
from tests.process.wire import StoredData

#: The request that must not run; each test gives it a file name of its own, of the same length.
HIDDEN = (
    b"POST /files/?filename=hidden-0000 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Length: 8\r\nConnection: close\r\n\r\nsmuggled"
)
#: Ends a connection on which every byte before it belonged to a request.
LAST = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
SECONDS = 20.0


def post(fields: bytes, body: bytes, target: bytes = b"/files/?grant=none", line_end: bytes = b"\r\n") -> bytes:
    """A request that is refused for its grant once its head is read."""
    lines = [b"POST " + target + b" HTTP/1.1", b"Host: 127.0.0.1", *fields.split(b"|"), b"", b""]
    return line_end.join(lines) + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: %d" % len(HIDDEN)
#: What a reader of chunks takes for the end, and a reader of lengths for the body.
ENDED = b"0\r\n\r\n" + HIDDEN
#: What every reader of chunks takes for a body.
WRAPPED = chunk(HIDDEN) + b"0\r\n\r\n"

#: The bytes, and the statuses of a server that is asked directly.
ATTACKS: dict[str, tuple[bytes, set[int]]] = {
    "length and chunked, chunked ends first": (post(LENGTH + b"|" + CHUNKED, ENDED), {400}),
    "chunked and length, length ends first": (
        post(CHUNKED + b"|Content-Length: 4", chunk(HIDDEN) + b"0\r\n\r\n"),
        {400},
    ),
    "length 0 and chunked": (post(b"Content-Length: 0|" + CHUNKED, WRAPPED), {400}),
    "two lengths": (post(b"Content-Length: 0|" + LENGTH, HIDDEN), {400}),
    "two lengths, the other order": (post(LENGTH + b"|Content-Length: 0", HIDDEN), {400}),
    "a list of lengths": (post(b"Content-Length: 0, %d" % len(HIDDEN), HIDDEN), {400}),
    "a signed length": (post(b"Content-Length: +%d" % len(HIDDEN), HIDDEN), {400}),
    "a length with a space before its colon": (post(b"Content-Length : %d" % len(HIDDEN), HIDDEN), {400}),
    "chunked with a space before its colon": (post(b"Transfer-Encoding : chunked|" + LENGTH, ENDED), {400}),
    "chunked after a vertical tab": (post(b"Transfer-Encoding: \x0bchunked|" + LENGTH, ENDED), {400}),
    "an unknown coding": (post(b"Transfer-Encoding: xchunked|" + LENGTH, ENDED), {400}),
    "identity": (post(b"Transfer-Encoding: identity|" + LENGTH, ENDED), {400}),
    "two codings": (post(CHUNKED + b"|Transfer-Encoding: identity|" + LENGTH, ENDED), {400}),
    "chunked on a continued line": (post(b"Transfer-Encoding:| chunked|" + LENGTH, ENDED), {400}),
    "a coding behind a bare CR": (post(b"X: a\r" + CHUNKED + b"|" + LENGTH, ENDED), {400}),
    "a length behind a bare LF": (post(b"X: a\nContent-Length: 0|" + LENGTH, HIDDEN), {400}),
    "LF only": (post(LENGTH, HIDDEN, line_end=b"\n"), {400}),
    "NUL in a field": (post(b"X: a\0b|" + LENGTH, HIDDEN), {400}),
    "NUL in the target": (post(LENGTH, HIDDEN, b"/files/?grant=\0"), {400}),
    "a chunk size with 0x": (post(CHUNKED, b"0x1\r\na\r\n" + WRAPPED), {400, 401}),
    "a negative chunk size": (post(CHUNKED, b"-1\r\n" + WRAPPED), {400, 401}),
    "a chunk size that overflows": (post(CHUNKED, b"10000000000000001\r\na\r\n" + WRAPPED), {400, 401}),
    "a chunk that is longer than its size": (post(CHUNKED, b"1\r\nab\r\n" + WRAPPED), {400, 401}),
    "a chunk line that ends in LF": (post(CHUNKED, b"1\na\r\n" + WRAPPED), {400, 401}),
    "a chunk extension with a line": (post(CHUNKED, b"1;a\nb\r\nc\r\n" + WRAPPED), {400, 401}),
    "a chunk that ends in LF": (post(CHUNKED, b"1\r\na\n" + WRAPPED), {400, 401}),
    "HTTP/1.0 and chunked": (post(CHUNKED, ENDED).replace(b"HTTP/1.1", b"HTTP/1.0", 1), {400}),
    "HTTP/0.9": (b"GET /livez\r\n\0" + HIDDEN, {400}),
    "a head of 1 MB in one field": (post(b"X: " + b"a" * 2**20, HIDDEN), {431}),
    "a head of 1 MB in many fields": (post(b"|".join([b"X: " + b"a" * 1000] * 1000), HIDDEN), {431}),
    "a target of 1 MB": (post(b"X: a", HIDDEN, b"/" + b"a" * 2**20), {414}),
}
#: Well-formed requests with the hidden one as their body. The request after them is answered, if the connection lasts.
BODIES: dict[str, tuple[bytes, int]] = {
    "an early refusal": (post(LENGTH, HIDDEN), 401),
    "an early refusal of chunks": (post(CHUNKED, WRAPPED), 401),
    "an early refusal that need not be waited for": (post(b"Expect: 100-continue|" + LENGTH, HIDDEN), 401),
    "the body of a GET": (post(LENGTH, HIDDEN, b"/livez").replace(b"POST", b"GET", 1), 200),
    "a path that does not exist": (post(LENGTH, HIDDEN, b"/nothing"), 404),
    "a method that is not allowed": (post(LENGTH, HIDDEN, b"/livez"), 405),
    "an offered upgrade": (
        post(b"Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: AAMAAABkAAQAAP__|" + LENGTH, HIDDEN),
        401,
    ),
}


@pytest.fixture(scope="module")
def nginx_port(shared_server: ServerProcess) -> Iterator[int]:
    program = require(services.find_nginx(), "nginx is not installed")
    with services.nginx(program, shared_server.url) as url:
        yield urlsplit(url).port or 0


@pytest.fixture
def file_name() -> bytes:
    """The file that the hidden request of this test would store."""
    return b"hidden-%04d" % next(_numbers)


_numbers = itertools.count(1)


def statuses(port: int, sent: bytes, file_name: bytes) -> list[int]:
    """The statuses of all final replies until the server closes the connection."""
    sent = sent.replace(b"hidden-0000", file_name) + LAST
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        # Reset where the request was refused before its end.
        with contextlib.suppress(ConnectionError):
            client.sendall(sent)
        with contextlib.suppress(ConnectionError):
            while block := client.recv(65536):
                received += block
    found = [int(each) for each in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]
    return [each for each in found if each != 100]


def assert_not_stored(server: ServerProcess, file_name: bytes) -> None:
    assert httpx.get(f"{server.url}/livez", timeout=SECONDS, trust_env=False).status_code == 200
    name = file_name.decode()
    assert StoredData(server).rows("SELECT id FROM windlass_files_fileasset WHERE original_filename = ?", name) == []


@pytest.mark.parametrize("name", ATTACKS)
def test_an_ambiguous_request_is_refused_and_nothing_after_it_is_read(
    shared_server: ServerProcess, name: str, file_name: bytes
) -> None:
    sent, expected = ATTACKS[name]
    found = statuses(shared_server.port, sent, file_name)
    assert len(found) == 1
    assert set(found) <= expected
    assert_not_stored(shared_server, file_name)


@pytest.mark.parametrize("name", ATTACKS)
def test_nginx_and_the_server_agree_about_ambiguous_requests(
    shared_server: ServerProcess, nginx_port: int, name: str, file_name: bytes
) -> None:
    """nginx refuses them, or passes on what it read as a request of one reading. 502 would say that it did not
    understand the server."""
    sent, _ = ATTACKS[name]
    found = statuses(nginx_port, sent, file_name)
    assert all(each < 500 or each == 501 for each in found), found
    assert_not_stored(shared_server, file_name)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("through_nginx", [False, True])
def test_a_body_is_not_read_as_a_request(
    shared_server: ServerProcess, nginx_port: int, name: str, file_name: bytes, through_nginx: bool
) -> None:
    sent, status = BODIES[name]
    found = statuses(nginx_port if through_nginx else shared_server.port, sent, file_name)
    assert found[0] == status
    assert found[1:] in ([], [200])
    assert_not_stored(shared_server, file_name)
