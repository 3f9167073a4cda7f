"""Requests on a connection: their heads, their ends, and the ambiguous ones that are refused."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.http.server.request_framing import END, HeadLimits, RequestEnd, RequestFraming, RequestHead
from windlass.kernel.problem_types import Problem

LIMITS = HeadLimits()
HOST = b"Host: x\r\n"


def read(data: bytes, cuts: tuple[int, ...] = ()) -> list[RequestHead | bytes | RequestEnd]:
    """The events of a connection, the pieces of each body joined; ``data`` comes in pieces that end at ``cuts``."""
    framing, found = RequestFraming(LIMITS), []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, stop in itertools.pairwise(edges):
        piece = data[start:stop]
        while True:
            for event in framing.feed(piece):
                if isinstance(event, bytes) and found and isinstance(found[-1], bytes):
                    found[-1] += event
                else:
                    found.append(event)
            if not framing.has_pending:
                break
            piece = b""
    return found


def head(data: bytes) -> RequestHead:
    found = read(data)[0]
    assert isinstance(found, RequestHead)
    return found


def refused(data: bytes, cuts: tuple[int, ...] = ()) -> int:
    with pytest.raises(Problem) as problem:
        read(data, cuts)
    assert problem.value.detail.endswith(".")
    return problem.value.status


CONVERSATION = (
    b"\r\nPOST /a?b=%20 HTTP/1.1\r\nHost: x:80\r\nContent-Length: 5\r\n\r\nhello"
    b"PATCH /c HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"3\r\nabc\r\n00A;name=value\r\n0123456789\r\n0\r\nTrailer: yes\r\n\r\n"
    b"GET http://y/d HTTP/1.0\r\nHost:x\r\nX: \t a  b \t\r\n\r\n"
)


@given(st.lists(st.integers(min_value=0), max_size=12))
def test_any_split_of_the_bytes_gives_the_same_requests(cuts: list[int]) -> None:
    found = read(CONVERSATION, tuple(cuts))
    heads = [event for event in found if isinstance(event, RequestHead)]
    assert [event for event in found if not isinstance(event, RequestHead)] == [
        *(b"hello", END),
        *(b"abc0123456789", END),
        END,
    ]
    assert [(each.method, each.path, each.query, each.length) for each in heads] == [
        ("POST", "/a", b"b=%20", 5),
        ("PATCH", "/c", b"", None),
        ("GET", "/d", b"", 0),
    ]
    assert heads[2].headers == [(b"host", b"y"), (b"x", b"a  b")]
    assert [each.keep_alive for each in heads] == [True, True, False]


@given(st.binary(max_size=200), st.lists(st.integers(min_value=0), max_size=4))
def test_any_bytes_are_a_request_or_a_refusal(data: bytes, cuts: list[int]) -> None:
    for before in (b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"):
        with contextlib.suppress(Problem):
            read(before + data, tuple(cuts))


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/%C3%A9", "/é", b""),
        ("/é?q=ü".encode(), "/é", b"q=%C3%BC"),
        (b"/\xff?\xff", "/�", b"%FF"),
        (b"HTTP://Host:1/a?b", "/a", b"b"),
        (b"http://host", "/", b""),
        (b"http://host?q", "/", b"q"),
        (b"/a#b", "/a", b""),
        (b"//a", "//a", b""),
        (b"/?a?b", "/", b"a?b"),
    ],
)
def test_targets_are_split_into_path_and_query(target: bytes, path: str, query: bytes) -> None:
    found = head(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (found.path, found.query) == (path, query)


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a:port\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",  # obs-fold
        b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\t2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX(: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET /\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/11\r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"G\0T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        b"\0",
        b"\r\n" * 6,
        b"x" * 60 + b" / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_an_invalid_head_is_400(request_head: bytes) -> None:
    assert refused(request_head) == 400
    assert refused(request_head, tuple(range(len(request_head)))) == 400


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        (b"Content-Length: 5\r\nContent-Length: 6", 400),
        (b"Content-Length: 5\r\nContent-Length: 5", 400),
        (b"Content-Length: 5, 5", 400),
        (b"Content-Length: +5", 400),
        (b"Content-Length: -5", 400),
        (b"Content-Length: 0x5", 400),
        (b"Content-Length: 5 5", 400),
        (b"Content-Length: 5_0", 400),
        ("Content-Length: \u0665".encode(), 400),
        (b"Content-Length:", 400),
        (b"Content-Length: 5\x0b", 400),
        (b"Content-Length: " + b"9" * 30, 413),
        (b"Content-Length: " + b"9" * 10_000, 413),
        (b"Transfer-Encoding: identity", 400),
        (b"Transfer-Encoding: xchunked", 400),
        (b"Transfer-Encoding: chunked, identity", 400),
        (b"Transfer-Encoding: chunked, chunked", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
        (b"Transfer-Encoding: \x0bchunked", 400),
        (b"Transfer-Encoding: chunked;q=1", 400),
        (b"Transfer-Encoding:", 400),
        (b"Transfer-Encoding : chunked", 400),
        (b"Transfer-Encoding: gzip, chunked", 501),
    ],
)
def test_an_ambiguous_body_length_is_refused(fields: bytes, status: int) -> None:
    assert refused(b"POST / HTTP/1.1\r\n" + HOST + fields + b"\r\n\r\n") == status


@pytest.mark.parametrize(
    ("version", "status"), [(b"HTTP/2.0", 505), (b"HTTP/3.0", 505), (b"HTTP/0.9", 505), (b"HTTP/1.1x", 400)]
)
def test_other_http_versions_are_refused(version: bytes, status: int) -> None:
    assert refused(b"GET / " + version + b"\r\n" + HOST + b"\r\n") == status


def test_transfer_encoding_in_http_1_0_is_refused() -> None:
    assert refused(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"\r\n5\r\nhello\r\n",
        b"g\r\n",
        b"5\r\nhelloX\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"11111111111111111\r\n",
        b"5;a\0b\r\nhello\r\n",
        b"5;" + b"x" * 2000,
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nA: b\r\n c\r\n\r\n",
    ],
)
def test_a_malformed_chunk_is_400(body: bytes) -> None:
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert refused(chunked + body) == 400
    assert refused(chunked + body, tuple(range(len(chunked + body)))) == 400


def test_limits_of_lines_and_fields_are_exact() -> None:
    def request(line: int = 40, field: int = 10, lines: int = 1) -> bytes:
        target = b"/" + b"a" * (line - len("GET / HTTP/1.1"))
        fields = b"x: " + b"v" * (field - 3) + b"\r\n"
        return b"GET " + target + b" HTTP/1.1\r\n" + HOST + fields * (lines - 1) + b"\r\n"

    assert head(request(line=LIMITS.request_line))
    assert refused(request(line=LIMITS.request_line + 1)) == 414
    assert head(request(field=LIMITS.line, lines=2))
    assert refused(request(field=LIMITS.line + 1, lines=2)) == 431
    assert head(request(lines=LIMITS.lines))
    assert refused(request(lines=LIMITS.lines + 1)) == 431
    assert head(request(field=15_000, lines=5))
    assert refused(request(field=15_000, lines=6)) == 431
    trailers = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    assert read(trailers + b"a: b\r\n" * LIMITS.lines + b"\r\n")
    assert refused(trailers + b"a: b\r\n" * (LIMITS.lines + 1)) == 431
    assert refused(trailers + b"a: " + b"b" * LIMITS.line) == 431


@pytest.mark.parametrize(
    ("endless", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: ", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX", 431),
        (b"GET /", 414),
        (b"G", 414),
    ],
)
@pytest.mark.parametrize("piece", [1, 1000, 256 * 1024])
def test_an_endless_line_is_refused_at_the_limit(endless: bytes, status: int, piece: int) -> None:
    data = endless + b"a" * (LIMITS.line + piece)
    assert refused(data, tuple(range(len(endless), len(data), piece))) == status


def test_one_byte_chunks_are_joined() -> None:
    framing, data = RequestFraming(LIMITS), b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert list(framing.feed(data + b"1\r\na\r\n" * 20_000))[1:] == [b"a" * 20_000]


def test_only_a_complete_websocket_handshake_is_one() -> None:
    whole = [
        b"GET / HTTP/1.1",
        b"Host: x",
        b"Connection: keep-alive, Upgrade",
        b"Upgrade: WebSocket",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Sec-WebSocket-Version: 13",
    ]
    assert head(b"\r\n".join([*whole, b"", b""])).is_websocket_handshake
    for left_out in (2, 3, 4, 5):
        lines = [line for number, line in enumerate(whole) if number != left_out]
        assert not head(b"\r\n".join([*lines, b"", b""])).is_websocket_handshake
    posted = [whole[0].replace(b"GET", b"POST"), *whole[1:]]
    assert not head(b"\r\n".join([*posted, b"", b""])).is_websocket_handshake
