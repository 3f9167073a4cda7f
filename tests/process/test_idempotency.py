"""Requests with an idempotency key to a real server: killed while they run, and large ones repeated."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.process.acknowledgements import GeneratedContent
from tests.process.conftest import ServerProcess
from tests.process.memory_watch import Watch
from tests.process.wire import MB, PATCH, TUS, StoredData, Wire, connect, metadata, patch

SEED = int(os.environ.get("CHAOS_SEED", "1"))
KILLS = int(os.environ.get("CHAOS_ROUNDS", "1")) * 4
SIZE = 3 * MB


@pytest.fixture(scope="module")
def shared_server(own_server: ServerProcess) -> ServerProcess:
    """Its memory is measured."""
    return own_server


def keyed(**headers: str) -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())} | headers


def until_answered(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Repeat a request until it gets another answer than that the first one still runs."""
    deadline = time.monotonic() + 60
    while True:
        try:
            response = send()
            if response.status_code not in (409, 503):
                return response
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Clients:
    """One client of each dialect, which all repeat their request until it is answered."""

    def __init__(self, server: ServerProcess, seed: int) -> None:
        self.content = random.Random(seed).randbytes(SIZE)
        self.references = {dialect: f"{dialect}-{uuid.uuid4()}" for dialect in ("raw", "form", "tus")}
        self.answers: dict[str, httpx.Response] = {}
        self._server = server
        self._threads = [threading.Thread(target=self._run, args=[dialect]) for dialect in self.references]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive()

    def _run(self, dialect: str) -> None:
        key, reference = keyed(), self.references[dialect]
        with connect(self._server) as http:
            self.answers[dialect] = until_answered(lambda: getattr(self, f"_{dialect}")(http, key, reference))

    def _raw(self, http: httpx.Client, key: dict[str, str], reference: str) -> httpx.Response:
        return http.post(f"/files/?reference={reference}", headers=key, content=self.content)

    def _form(self, http: httpx.Client, key: dict[str, str], reference: str) -> httpx.Response:
        parts = {"file": ("large.bin", self.content)}
        return http.post("/files/", headers=key, data={"reference": reference}, files=parts)

    def _tus(self, http: httpx.Client, key: dict[str, str], reference: str) -> httpx.Response:
        headers = PATCH | key | {"Upload-Length": str(SIZE)} | metadata(reference=reference)
        return http.post("/files/", headers=headers, content=self.content)


def test_each_upload_whose_server_is_killed_makes_one_file(server: ServerProcess) -> None:
    stored, chance = StoredData(server), random.Random(SEED)
    for number in range(KILLS):
        clients = Clients(server, SEED + number)
        clients.start()
        time.sleep(chance.uniform(0, 0.15))  # the fault: at any moment
        os.kill(server.web_pid(), signal.SIGKILL)
        clients.join()
        statuses = {dialect: answer.status_code for dialect, answer in clients.answers.items()}
        assert statuses == dict.fromkeys(clients.references, 201)
        tus = clients.answers["tus"]
        begin = int(tus.headers["Upload-Offset"])
        if begin < SIZE:
            with connect(server) as http:
                assert patch(http, tus.headers["Location"], begin, clients.content[begin:]).status_code == 204
        for reference in clients.references.values():
            query = "SELECT count(*) FROM windlass_files_fileasset WHERE size = ? AND reference = ?"
            assert stored.scalar(query, SIZE, reference) == 1, reference


@pytest.fixture
def watch(shared_server: ServerProcess) -> Watch:
    return Watch(shared_server.web_pid())


def test_a_repeated_body_of_300_mb_is_neither_kept_nor_held(shared_server: ServerProcess, watch: Watch) -> None:
    content, stored, key = GeneratedContent(300 * MB, SEED), StoredData(shared_server), keyed()

    def send(http: httpx.Client, wrong_end: bytes = b"") -> httpx.Response:
        def body() -> Iterator[bytes]:
            yield from content.blocks()
            yield wrong_end

        return http.post("/files/?filename=large.bin", headers=key, content=body())

    with connect(shared_server) as http:
        first = send(http)
        assert first.status_code == 201
        before, warm = stored.objects(), watch.now()
        with watch.watching():
            again = send(http)
            other = send(http, b"x")
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
        assert again.json() == first.json()
        assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
        assert stored.objects() <= before
        assert watch.peak - warm < 32 * MB, f"{(watch.peak - warm) / MB:.0f} MB"


def test_a_repeated_body_that_is_longer_than_the_first_is_refused_before_its_end(shared_server: ServerProcess) -> None:
    key = keyed()
    with connect(shared_server) as http, Wire(shared_server.port) as wire:
        assert http.post("/files/", headers=key, content=b"hello").status_code == 201
        wire.head("POST", "/files/", key | {"Content-Length": str(1000 * MB)})
        for _ in range(4):
            wire.send(bytes(MB))
        assert wire.read_reply().status == 422


def test_a_creation_with_a_key_is_continued_where_it_was_cut(shared_server: ServerProcess) -> None:
    """The client was cut off while it sent the first bytes with the creation, and never saw the Location."""
    key, content = keyed(), random.Random(SEED).randbytes(SIZE)
    headers: dict[str, Any] = PATCH | key | {"Upload-Length": str(SIZE)}
    with connect(shared_server) as http:
        with Wire(shared_server.port) as wire:
            wire.head("POST", "/files/", headers | {"Content-Length": str(SIZE)}, content[:MB])
            wire.wait_until_read()
        created = until_answered(lambda: http.post("/files/", headers=headers, content=content))
        assert created.status_code == 201
        path, begin = created.headers["Location"], int(created.headers["Upload-Offset"])
        if begin < SIZE:
            assert created.headers["Idempotency-Replayed"] == "true"
            assert patch(http, path, begin, content[begin:]).status_code == 204
        assert int(http.head(path, headers=TUS).headers["Upload-Offset"]) == SIZE
