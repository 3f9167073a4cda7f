"""Several web processes behind one address: each request may be answered by any of them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.process.serving import TIMEOUT, Serve, new_home, until
from tests.process.wire import PATCH, TUS, Wire, eventually

HALF, SIZE = b"first half,", 22
#: The promise is about a second; a busy machine is given more.
TAKEOVER_SECONDS = 5.0


class Served(Serve):
    """``windlass serve`` with two web processes, and connections to a given one of them."""

    def __enter__(self) -> Served:
        return self

    def web_processes(self) -> list[psutil.Process]:
        """In the order of their start, once both run."""
        return until(lambda: found if len(found := self._web()) == 2 else None, "two web processes")

    def _web(self) -> list[psutil.Process]:
        found = []
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.cmdline()[1:4] == ["-m", "windlass", "web"]:
                    found.append(child)
        return sorted(found, key=lambda process: process.pid)

    @contextlib.contextmanager
    def connected_to(self, process: psutil.Process) -> Iterator[httpx.Client]:
        """A client whose connection this process has accepted: the other one is stopped meanwhile."""
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=600)
        with httpx.Client(base_url=self.url, timeout=TIMEOUT, limits=limits, trust_env=False) as client:
            with self.only(process):
                assert client.get("/livez").status_code == 200
            yield client

    @contextlib.contextmanager
    def only(self, process: psutil.Process) -> Iterator[None]:
        """Every connection that is opened meanwhile is accepted by this process."""
        others = [each for each in self.web_processes() if each.pid != process.pid]
        for other in others:
            other.suspend()
            eventually(lambda other=other: other.status() == psutil.STATUS_STOPPED)  # type: ignore[misc]
        try:
            yield
        finally:
            for other in others:
                other.resume()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("several") / "home"
    new_home(home)
    with Served(home, WEB_PROCESSES="2", MAX_CONNECTIONS_PER_ADDRESS="12") as server:
        server.ready()
        for process in server.web_processes():  # the first line says that one is ready; both are soon
            with server.connected_to(process):
                pass
        yield server


@pytest.fixture
def clients(served: Served) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """A connection to each of the two processes."""
    first, second = served.web_processes()
    with served.connected_to(first) as one, served.connected_to(second) as other:
        yield one, other


def create(client: httpx.Client) -> str:
    reply = client.post("/files/", headers=TUS | {"Upload-Length": str(SIZE)})
    assert reply.status_code == 201, reply.text
    return httpx.URL(reply.headers["Location"]).path


def offset(client: httpx.Client, upload: str) -> int:
    return int(client.head(upload, headers=TUS).headers["Upload-Offset"])


def test_an_upload_alternates_between_the_processes(clients: tuple[httpx.Client, httpx.Client]) -> None:
    one, other = clients
    upload = create(one)
    content = bytes(range(65, 65 + SIZE))
    for at in range(SIZE):
        assert offset(one, upload) == at
        reply = other.patch(upload, content=content[at : at + 1], headers=TUS | PATCH | {"Upload-Offset": str(at)})
        assert (reply.status_code, reply.headers["Upload-Offset"]) == (204, str(at + 1))
        one, other = other, one
    file = one.head(upload, headers=TUS).headers["Windlass-File"]
    assert other.get(file).json()["size"] == SIZE


def test_the_other_process_takes_an_upload_over_from_a_dead_connection(
    served: Served, clients: tuple[httpx.Client, httpx.Client]
) -> None:
    one, other = clients
    upload = create(one)
    first, _ = served.web_processes()
    with served.only(first):
        dead = Wire(served.port)
        dead.head("PATCH", upload, TUS | PATCH | {"Upload-Offset": "0", "Content-Length": str(SIZE)}, HALF)
        dead.wait_until_read()
    with contextlib.closing(dead):
        began = time.monotonic()
        assert offset(other, upload) == len(HALF)
        assert time.monotonic() - began < TAKEOVER_SECONDS
        rest = bytes(SIZE - len(HALF))
        reply = other.patch(upload, content=rest, headers=TUS | PATCH | {"Upload-Offset": str(len(HALF))})
        assert reply.status_code == 204


def test_a_cut_request_of_one_process_counts_at_the_other(
    served: Served, clients: tuple[httpx.Client, httpx.Client]
) -> None:
    one, other = clients
    first, _ = served.web_processes()
    for _ in range(5):
        upload = create(one)
        with served.only(first):
            cut = Wire(served.port)
            cut.head("PATCH", upload, TUS | PATCH | {"Upload-Offset": "0", "Content-Length": str(SIZE)}, HALF)
            cut.wait_until_read()
        cut.close()
        at = offset(other, upload)
        reply = other.patch(upload, content=bytes(SIZE - at), headers=TUS | PATCH | {"Upload-Offset": str(at)})
        assert reply.status_code == 204, reply.text


def test_events_of_an_upload_in_one_process_reach_a_reader_of_the_other(
    clients: tuple[httpx.Client, httpx.Client],
) -> None:
    one, other = clients
    upload = create(one)
    with other.stream("GET", f"{upload}/events/") as stream:
        lines = stream.iter_lines()
        assert any("upload.created" in line for line in lines)
        began = time.monotonic()
        reply = one.patch(upload, content=bytes(SIZE), headers=TUS | PATCH | {"Upload-Offset": "0"})
        assert reply.status_code == 204
        assert any("upload.completed" in line for line in lines)
        assert time.monotonic() - began < TAKEOVER_SECONDS


def test_metrics_of_one_process_include_the_other(clients: tuple[httpx.Client, httpx.Client]) -> None:
    one, other = clients

    def counted(client: httpx.Client) -> int:
        found = re.search(
            r'^windlass_requests_total\{dialect="raw",outcome="accepted"\} (\d+)', client.get("/metrics").text, re.M
        )
        assert found
        return int(found[1])

    before = counted(one)
    for client in (one, other, other):
        assert client.post("/files/?filename=a.txt", content=b"text").status_code == 201
    assert counted(one) == counted(other) == before + 3


def test_connections_of_one_address_are_counted_over_both_processes(served: Served) -> None:
    first, second = served.web_processes()
    with contextlib.ExitStack() as stack:
        for process in (first, second):
            with served.only(process):
                for _ in range(6):
                    wire = stack.enter_context(Wire(served.port))
                    wire.head("GET", "/livez")
                    assert wire.read_reply().status == 200
        for process in (first, second):
            with served.only(process), Wire(served.port) as refused:
                refused.head("GET", "/livez")
                assert refused.read_reply().status == 503
    eventually(served.alive)


def test_a_killed_process_is_started_again_while_the_other_one_answers(served: Served) -> None:
    first, second = served.web_processes()
    with served.connected_to(second) as client:
        upload = create(client)
        first.kill()
        for _ in range(20):
            assert offset(client, upload) == 0
            assert served.alive(), "a new connection is accepted by the process that is left, or the next one"
    replaced = until(lambda: [each for each in served.web_processes() if each.pid not in (first.pid, second.pid)], "it")
    with served.connected_to(replaced[0]) as client:
        assert offset(client, upload) == 0


def test_the_counts_of_a_killed_process_end_with_it(served: Served) -> None:
    first, _ = served.web_processes()
    with contextlib.ExitStack() as stack:
        with served.only(first):
            for _ in range(8):
                wire = stack.enter_context(Wire(served.port))
                wire.head("GET", "/livez")
                assert wire.read_reply().status == 200
        first.kill()
        until(lambda: first.pid not in [each.pid for each in served.web_processes()], "another process")

        def fits() -> bool:
            with contextlib.ExitStack() as others:
                wires = [others.enter_context(Wire(served.port)) for _ in range(8)]
                for wire in wires:
                    wire.head("GET", "/livez")
                return all(wire.read_reply().status == 200 for wire in wires)

        eventually(fits, every=0.5)


@pytest.mark.parametrize("requests", [1, 2])
def test_sigterm_ends_both_processes_with_uploads_and_streams_open(tmp_path: Path, requests: int) -> None:
    new_home(tmp_path / "home")
    with Served(tmp_path / "home", WEB_PROCESSES="2") as server:
        server.ready()
        first, second = server.web_processes()
        with (
            server.connected_to(first) as one,
            server.connected_to(second) as other,
            other.stream("GET", "/events/") as stream,
            Wire(server.port) as sending,
        ):
            upload = create(one)
            head = TUS | PATCH | {"Upload-Offset": "0", "Content-Length": str(SIZE)}
            sending.head("PATCH", upload, head, HALF)
            sending.wait_until_read()
            began = time.monotonic()
            for _ in range(requests):
                os.kill(server.process.pid, signal.SIGTERM)
                time.sleep(0.5)
            assert stream.is_closed or list(stream.iter_lines()) is not None
            assert server.process.wait(TIMEOUT) == 0
            assert time.monotonic() - began < 20
        assert not first.is_running()
        assert not second.is_running()
    with Served(tmp_path / "home", server.port, WEB_PROCESSES="2") as again, httpx.Client(timeout=TIMEOUT) as client:
        again.ready()
        at = client.head(f"{again.url.rstrip('/')}{upload}", headers=TUS).headers["Upload-Offset"]
        assert int(at) == len(HALF)
