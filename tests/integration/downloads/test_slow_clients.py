"""Clients that read slowly or disconnect, and replies that end early."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.downloads.served_files import DATA, a_file, path
from windlass.files.api import Blob, FileAsset
from windlass.http.downloads.object_streaming import (
    LARGEST_BLOCK,
    SMALLEST_BLOCK,
    ObjectReader,
    ObjectResponse,
    next_size,
)
from windlass.http.server import zero_copy
from windlass.kernel.byte_ranges import ByteRange
from windlass.storage.registry import store

NO_PROC = not Path("/proc/self/fdinfo").exists()


def _positions(key: str) -> list[int]:
    """How far each open descriptor of the object has been read."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").endswith(key):
                found.append(int(Path(f"/proc/self/fdinfo/{name}").read_text().split()[1]))
        except FileNotFoundError:
            continue
    return found


def _until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def _local(key: str) -> Path:
    path = store().local_path(key)
    assert path is not None
    return path


def a_sparse_file(size: int) -> tuple[FileAsset, str]:
    """A file of zeros that takes no room, and its key."""
    asset = a_file(b"x")
    assert asset.blob
    os.truncate(_local(asset.blob.key), size)
    Blob.objects.filter(id=asset.blob.id).update(size=size)
    return asset, asset.blob.key


@pytest.mark.skipif(NO_PROC, reason="this system has no /proc")
def test_a_file_is_read_no_faster_than_its_client_and_closed_at_its_disconnect(
    server: tuple[str, int],
) -> None:
    asset, key = a_sparse_file(2**42)  # reading on to its end would take an hour
    seen = [0]

    def stands_still() -> bool:
        seen.append(sum(_positions(key)))
        return len(seen) > 25 and seen[-1] == seen[-25] > 0

    with socket.create_connection(server) as line:
        line.sendall(f"GET {path(asset)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        _until(stands_still)
        assert seen[-1] < 64 * 1024 * 1024  # what the kernel's buffers and three blocks hold
    _until(lambda: not _positions(key))


@pytest.mark.skipif(NO_PROC, reason="this system has no /proc")
def test_a_finished_reply_closes_its_file(client: httpx.Client) -> None:
    asset, key = a_sparse_file(64 * 1024 * 1024)
    with client.stream("GET", path(asset)) as reply:
        assert sum(len(block) for block in reply.iter_raw()) == 64 * 1024 * 1024
    assert _positions(key) == []


def test_a_truncated_object_aborts_the_reply(client: httpx.Client) -> None:
    asset, key = a_sparse_file(64 * 1024 * 1024)
    os.truncate(_local(key), 32 * 1024 * 1024)
    with pytest.raises(httpx.RemoteProtocolError), client.stream("GET", path(asset)) as reply:
        for _ in reply.iter_raw():
            pass
    os.truncate(_local(key), 1)
    assert client.get(path(asset)).status_code == 500


def test_the_block_size_adapts_to_the_client() -> None:
    size = 256 * 1024
    for _ in range(10):
        size = next_size(size, 0.001)
    assert size == LARGEST_BLOCK
    assert next_size(size, 0.2) == size
    for _ in range(10):
        size = next_size(size, 3)
    assert size == SMALLEST_BLOCK


def test_zero_copy_send_gets_a_descriptor(database: Path) -> None:
    """ASGI's zero copy send: the first block as it was read, then a descriptor, an offset and a length."""
    asset = a_file()
    assert asset.blob is not None
    reader = ObjectReader.open(asset.blob.store, asset.blob.key, ByteRange(100, len(DATA) - 10))
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        if message["type"] == zero_copy.MESSAGE:
            message["data"] = os.pread(message["file"], message["count"], message["offset"])
        sent.append(dict(message))

    async def receive() -> Any:
        await asyncio.sleep(60)

    scope = {"type": "http", "method": "GET", "extensions": {zero_copy.MESSAGE: {}}}
    asyncio.run(ObjectResponse(reader, 200, {})(scope, receive, send))
    start, first, rest, end = sent
    assert (start["type"], rest["type"]) == ("http.response.start", zero_copy.MESSAGE)
    assert first["body"] + rest["data"] == DATA[100:-10]
    assert (first["more_body"], end["more_body"], end["body"]) == (True, False, b"")
