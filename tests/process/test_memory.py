"""The memory of uploads: constant for any size, and small for many at once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random

import httpx
import pytest

from tests.process.acknowledgements import GeneratedContent
from tests.process.conftest import ServerProcess
from tests.process.memory_watch import Watch
from tests.process.wire import MB, Wire, connect, settled_memory, wait_until_processed

MAX_MEMORY = 150 * MB
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'
END = b"\r\n--b--\r\n"


@pytest.fixture(scope="module")
def shared_server(own_server: ServerProcess) -> ServerProcess:
    """Its memory is measured."""
    return own_server


@pytest.fixture
def watch(shared_server: ServerProcess) -> Watch:
    return Watch(shared_server.web_pid())


def test_a_form_of_2_gib_fits_into_150_mb(shared_server: ServerProcess, watch: Watch) -> None:
    content, digest = GeneratedContent(2048 * MB, seed=1), hashlib.sha256()
    with Wire(shared_server.port) as wire, connect(shared_server) as http, watch.watching():
        length = len(PART) + content.size + len(END)
        wire.head("POST", "/files/", FORM | {"Content-Length": str(length)}, PART)
        for block in content.blocks():
            wire.send(block)
            digest.update(block)
        wire.send(END)
        reply = wire.read_reply()
        assert reply.status == 201
        file = httpx.Response(200, content=reply.body).json()["id"]
        record = wait_until_processed(http, file)
        assert (record["status"], record["size"]) == ("READY", content.size)
        assert record["checksum"] == digest.hexdigest()
        http.delete(f"/files/{file}/")
    assert 0 < watch.peak < MAX_MEMORY, f"{watch.peak / MB:.0f} MB"


#: What the pools of a process have together, with some to spare; fewer than there are uploads.
MAX_THREADS = 100
#: SLOW_UPLOADS=500 tries more of them.
UPLOADS, ROUNDS, PIECE = int(os.environ.get("SLOW_UPLOADS", "200")), 16, 16 * 1024


def test_many_slow_uploads_at_once_take_little_memory_and_no_threads(
    shared_server: ServerProcess, watch: Watch
) -> None:
    """None of them is waited for with its bytes in memory, or by a thread, and none is confused with another."""
    chance = random.Random(1)
    contents = [chance.randbytes(ROUNDS * PIECE) for _ in range(UPLOADS)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(watch.watching())
        wires = [stack.enter_context(Wire(shared_server.port)) for _ in contents]
        for number, wire in enumerate(wires):
            wire.head("POST", f"/files/?filename={number}", {"Content-Length": str(ROUNDS * PIECE)})
        warm = 0
        for at in range(0, ROUNDS * PIECE, PIECE):
            for wire, content in zip(wires, contents, strict=True):
                wire.send(content[at : at + PIECE])
            for wire in wires:
                wire.wait_until_read()
            if not warm and at >= ROUNDS * PIECE // 4:
                warm = settled_memory(watch.process)  # all are admitted, and what was received so far is written
        assert watch.process.num_threads() <= MAX_THREADS
        grown = watch.now() - warm
        for wire, content in zip(wires, contents, strict=True):
            reply = wire.read_reply()
            assert reply.status == 201
            record = httpx.Response(200, content=reply.body).json()
            assert record["checksum"] == hashlib.sha256(content).hexdigest()
    assert grown < 24 * MB, f"{grown / MB:.0f} MB more after warming up: less than what was sent since"
    assert watch.peak < MAX_MEMORY, f"{watch.peak / MB:.0f} MB"
