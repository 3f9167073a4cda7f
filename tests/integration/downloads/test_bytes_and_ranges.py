"""Downloads over real HTTP: whole files, ranges and HEAD."""

from __future__ import annotations

import socket
from email.utils import parsedate_to_datetime

import httpx
import pytest

from tests.integration.downloads.served_files import DATA, a_file, etag, path


def test_a_download_has_the_whole_file(client: httpx.Client) -> None:
    asset = a_file()
    reply = client.get(path(asset))
    assert reply.status_code == 200
    assert reply.content == DATA
    assert reply.headers["content-length"] == str(len(DATA))
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["etag"] == etag(asset)
    assert reply.headers["cache-control"] == "private"
    assert parsedate_to_datetime(reply.headers["last-modified"]) == asset.created_at.replace(microsecond=0)


@pytest.mark.parametrize("size", [0, 1, 65_536, 262_143, 262_144, 262_145])
def test_file_sizes_around_the_block_size(client: httpx.Client, size: int) -> None:
    reply = client.get(path(a_file(DATA[:size])))
    assert (reply.status_code, reply.content) == (200, DATA[:size])


def test_head_has_the_headers_and_no_body(client: httpx.Client) -> None:
    asset = a_file()
    reply = client.head(path(asset), headers={"Range": "bytes=0-1"})
    whole = client.get(path(asset))
    assert (reply.status_code, reply.content) == (200, b"")
    assert {k: v for k, v in reply.headers.items() if k != "date"} == {
        k: v for k, v in whole.headers.items() if k != "date"
    }


def test_one_connection_serves_again_after_each_reply(server: tuple[str, int]) -> None:
    asset = a_file()
    with socket.create_connection(server) as line:
        stream = line.makefile("rb")
        for _ in range(2):
            line.sendall(f"GET {path(asset)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            while stream.readline() != b"\r\n":
                pass
            assert stream.read(len(DATA)) == DATA


SIZE = len(DATA)


RANGES = [
    ("bytes=0-0", 0, 1),
    ("bytes=0-99", 0, 100),
    ("bytes=1000000-1999999", 1_000_000, 2_000_000),
    ("bytes=262144-", 262_144, SIZE),
    ("bytes=-5", SIZE - 5, SIZE),
    (f"bytes=-{SIZE * 2}", 0, SIZE),
    (f"bytes={SIZE - 1}-{SIZE * 9}", SIZE - 1, SIZE),
]


@pytest.mark.parametrize(("header", "start", "stop"), RANGES)
def test_a_range_is_206_with_its_bytes(client: httpx.Client, header: str, start: int, stop: int) -> None:
    reply = client.get(path(a_file()), headers={"Range": header})
    assert reply.status_code == 206
    assert reply.content == DATA[start:stop]
    assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert reply.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize(
    "header", [f"bytes={SIZE}-", f"bytes={SIZE + 7}-{SIZE + 9}", "bytes=-0", "bytes=9" + "9" * 90 + "-"]
)
def test_a_range_beyond_the_end_is_416(client: httpx.Client, header: str) -> None:
    reply = client.get(path(a_file()), headers={"Range": header})
    assert reply.status_code == 416
    assert reply.headers["content-range"] == f"bytes */{SIZE}"
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["type"] == "/problems/range-not-satisfiable"


@pytest.mark.parametrize(
    "header", ["bytes=2-1", "bytes=0-1,3-4", "lines=1-2", "bytes=-", "bytes=" + "9" * 5000 + "-", "x"]
)
def test_an_invalid_range_is_ignored(client: httpx.Client, header: str) -> None:
    reply = client.get(path(a_file(b"12345")), headers={"Range": header})
    assert (reply.status_code, reply.content) == (200, b"12345")


def test_a_range_of_an_empty_file_is_ignored(client: httpx.Client) -> None:
    reply = client.get(path(a_file(b"")), headers={"Range": "bytes=0-"})
    assert (reply.status_code, reply.content) == (200, b"")
