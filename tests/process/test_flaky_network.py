"""The client behind a proxy that breaks connections at random: every file arrives whole, once, and comes back whole.

``make flaky-network ROUNDS=100 SEED=1`` runs more rounds.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.process.conftest import ServerProcess
from tests.process.flaky_proxy import FlakyProxy
from windlass.client import AsyncClient, Client, Event, File

MB = 1024 * 1024
SEED = int(os.environ.get("FLAKY_SEED", "1"))
ROUNDS = int(os.environ.get("FLAKY_ROUNDS", "10"))
#: Rounds at the same time: most of their time is spent on pauses and time-outs.
CONCURRENT_ROUNDS = 5
#: Shorter than the proxy's stalls.
TIMEOUT = httpx.Timeout(2.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    running = ServerProcess(tmp_path_factory.mktemp("flaky") / "home")
    running.start()
    yield running
    running.kill()


def send_and_fetch(url: str, source: Path, target: Path, reference: str, parts: int) -> tuple[File, list[File]]:
    """Return the record, and every file that the upload has made."""
    with (
        httpx.Client(timeout=TIMEOUT) as http,
        Client(url, http=http, state=target.parent / "state") as client,
    ):
        file = client.upload(source, reference=reference, parallel_parts=parts)
        file = client.wait(file.id, timeout=120)
        client.download(file.id, target)
        return file, list(client.files(reference=reference))


async def send_and_fetch_async(
    url: str, source: Path, target: Path, reference: str, parts: int
) -> tuple[File, list[File]]:
    async with (
        httpx.AsyncClient(timeout=TIMEOUT) as http,
        AsyncClient(url, http=http, state=target.parent / "state") as client,
    ):
        file = await client.upload(source, reference=reference, parallel_parts=parts)
        file = await client.wait(file.id, timeout=120)
        await client.download(file.id, target)
        return file, [each async for each in client.files(reference=reference)]


def play_round(number: int, server: ServerProcess, directory: Path) -> Counter[str]:
    """Upload and download one file; return the faults that happened. Two rounds of four send parallel parts."""
    directory.mkdir()
    parts = 1 + number // 2 % 2
    content = random.Random(SEED * 1000 + number).randbytes(parts * 8 * MB + 12_345)
    source, target = directory / "source.bin", directory / "fetched.bin"
    source.write_bytes(content)
    reference = f"round-{SEED}-{number}"
    with FlakyProxy(server.port, SEED * 1000 + number) as proxy:
        if number % 2:
            file, made = asyncio.run(send_and_fetch_async(proxy.url, source, target, reference, parts))
        else:
            file, made = send_and_fetch(proxy.url, source, target, reference, parts)
        faults = proxy.faults.copy()
    digest = hashlib.sha256(content).hexdigest()
    assert (file.status, file.checksum) == ("READY", digest)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == digest
    assert [each.id for each in made] == [file.id], "one upload makes one file"
    source.unlink()
    target.unlink()
    return faults


@pytest.mark.timeout(60 + 20 * ROUNDS)
def test_every_file_arrives_whole_and_once(server: ServerProcess, tmp_path: Path) -> None:
    faults: Counter[str] = Counter()
    with ThreadPoolExecutor(CONCURRENT_ROUNDS) as pool:
        for happened in pool.map(lambda n: play_round(n, server, tmp_path / str(n)), range(ROUNDS)):
            faults += happened
    print(f"{ROUNDS} rounds, faults: {dict(faults)}")
    assert sum(faults.values()) >= ROUNDS, "the network was not flaky"
    assert {"reset", "cut", "answer"} <= set(faults)


def test_events_arrive_once_and_in_order(server: ServerProcess, tmp_path: Path) -> None:
    """The streams break within and between events; what the proxy lets through is what the journal has."""

    def followed(url: str, since: int, until: int) -> list[Event]:
        events: list[Event] = []
        with httpx.Client(timeout=TIMEOUT) as http, Client(url, http=http) as client:
            for event in client.events(since=since):
                if event.id is not None:
                    events.append(event)
                    if event.id >= until:
                        break
        return events

    with Client(server.url, state=tmp_path / "state") as client:
        files = [client.upload(io.BytesIO(b"A note.\n"), filename="note.txt") for _ in range(5)]
        numbers = [event.id for file in files for event in read_until_ready(client, file.id) if event.id is not None]
        first, last = min(numbers), max(numbers)
        expected = followed(server.url, first - 1, last)
        assert len(expected) >= 50
    often = {"reset": 1, "cut": 1}
    with FlakyProxy(server.port, SEED, least_bytes=3_000, most_bytes=6_000, kinds=often) as proxy:
        events = followed(proxy.url, first - 1, last)
        assert sum(proxy.faults.values()) > 1
    assert [event.id for event in events] == [event.id for event in expected]
    assert events == expected


def read_until_ready(client: Client, file_id: str) -> Iterator[Event]:
    for event in client.events(file_id):
        yield event
        if event.type == "file.ready":
            return
