"""Measure what thousands of slow connections do to one normal client.

``python -m benchmarks.slow_clients`` runs ``windlass serve`` with its defaults. Slow clients at several addresses of
loopback send heads byte by byte, and some of them bodies; each connects again a second after it was closed. A normal
client at another address meanwhile uploads files of 1 MiB, each over a new connection. Prints the seconds of an upload,
and memory and threads of the web process before and with the slow clients, as JSON; ``--write`` writes it to
``benchmarks/results``. Linux only: other systems have one loopback address.

``--connections 500 --bodies 500 --body-bytes 2048`` is 500 slow uploads that go on, fast enough not to be closed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks import machine
from windlass.http.server.connections import raise_file_limit

RESULTS = Path(__file__).parent / "results"
UPLOAD = bytes(1024 * 1024)
#: Connections of one address: below MAX_CONNECTIONS_PER_ADDRESS, so that all of them count.
PER_ADDRESS = 500
#: Seconds between two bytes of a slow client, and before it connects again.
BYTE_SECONDS, AGAIN_SECONDS = 3.0, 1.0
#: Connections that are opened at once while the number rises.
AT_ONCE = 200
START_SECONDS = 90.0

HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
BODY = b"POST /files/?filename=slow.bin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


@dataclass(frozen=True)
class Options:
    connections: int
    #: How many of them send a body slowly; the others send a head slowly.
    bodies: int
    uploads: int
    #: Bytes of a body that are sent every BYTE_SECONDS.
    body_bytes: int = 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slow_clients", description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000, help="slow connections (default: 10000)")
    parser.add_argument("--bodies", type=int, default=500, help="those of them that send bodies (default: 500)")
    parser.add_argument("--uploads", type=int, default=60, help="uploads of the normal client (default: 60)")
    parser.add_argument("--body-bytes", type=int, default=1, help="bytes of a body at a time (default: 1)")
    parser.add_argument("--write", action="store_true", help="write the figures to benchmarks/results")
    given = parser.parse_args()
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="windlass-slow-") as directory, server(Path(directory)) as (port, web):
        described = machine.describe(Path(directory))
        options = Options(given.connections, given.bodies, given.uploads, given.body_bytes)
        text = json.dumps(measure(port, psutil.Process(web), options) | {"machine": described}, indent=2)
    print(text)
    if given.write:
        (RESULTS / f"{date.today():%Y-%m-%d}-slow-clients.json").write_text(text + "\n")


def measure(port: int, web: psutil.Process, options: Options) -> dict[str, Any]:
    """Times in seconds, memory in MiB, the part of one processor that the web process took; ``slow``: what happened to
    the slow connections."""
    alone = upload_times(port, max(5, options.uploads // 3))
    memory_alone, threads_alone = mebibytes(web), web.num_threads()
    with slow_clients(port, options) as ended:
        began, used = time.monotonic(), processor_seconds(web)
        first = upload_times(port, options.uploads // 2)
        memory, threads = mebibytes(web), web.num_threads()
        second = upload_times(port, options.uploads - options.uploads // 2)
        grown, threads_later = mebibytes(web) - memory, web.num_threads()
        held = sum(1 for each in web.net_connections("tcp") if each.status == "ESTABLISHED")
        load = (processor_seconds(web) - used) / (time.monotonic() - began)
        counts = ended()
    times = sorted(first + second)
    return {
        "connections": options.connections,
        "bodies": options.bodies,
        "body_bytes": options.body_bytes,
        "held_by_the_server": held,
        "slow": counts,
        "upload_alone_median": round(statistics.median(alone), 4),
        "upload_median": round(statistics.median(times), 4),
        "upload_slowest": round(times[-1], 4),
        "web_processor": round(load, 2),
        "web_mib_before": round(memory_alone, 1),
        "web_mib": round(memory, 1),
        "web_mib_growth": round(grown, 1),
        "web_threads_before": threads_alone,
        "web_threads": max(threads, threads_later),
    }


def processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def mebibytes(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 2**20


def upload_times(port: int, count: int) -> list[float]:
    """Seconds of each upload. A refused one counts with the time until a repetition succeeds."""
    times = []
    for number in range(count):
        began = time.monotonic()
        while not _upload(port, number):
            time.sleep(0.05)
        times.append(time.monotonic() - began)
        time.sleep(0.05)
    return times


def _upload(port: int, number: int) -> bool:
    url = f"http://127.0.0.1:{port}/files/?filename={number}.bin"
    try:
        return httpx.post(url, content=UPLOAD, timeout=30, trust_env=False).status_code == 201
    except httpx.TransportError:
        return False


@contextmanager
def slow_clients(port: int, options: Options) -> Iterator[Any]:
    """Slow connections in a process of their own, all of which have connected once. Yields a function that ends them
    and returns what happened to them."""
    context = multiprocessing.get_context("spawn")
    ready, stop, counts = context.Event(), context.Event(), context.Queue()
    process = context.Process(target=_run_slow_clients, args=(port, options, ready, stop, counts), daemon=True)
    process.start()
    try:
        assert ready.wait(START_SECONDS * 2), "the slow clients did not connect"

        def end() -> dict[str, int]:
            stop.set()
            found: dict[str, int] = counts.get(timeout=30)
            return found

        yield end
    finally:
        process.terminate()
        process.join()


def _run_slow_clients(port: int, options: Options, ready: Event, stop: Event, counts: Any) -> None:
    raise_file_limit()
    counts.put(asyncio.run(_hold_all(port, options, ready, stop)))


async def _hold_all(port: int, options: Options, ready: Event, stop: Event) -> dict[str, int]:
    happened: Counter[str] = Counter()
    limit = asyncio.Semaphore(AT_ONCE)
    connected: set[int] = set()

    async def hold(number: int) -> None:
        address = f"127.0.{1 + number // PER_ADDRESS}.1"
        begin, piece = (BODY, b"x" * options.body_bytes) if number < options.bodies else (HEAD, b"x")
        while True:
            with suppress(OSError):
                async with limit:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
                happened["connected"] += 1
                connected.add(number)
                happened[await _be_slow(reader, writer, begin, piece)] += 1
            await asyncio.sleep(AGAIN_SECONDS)

    tasks = [asyncio.create_task(hold(number)) for number in range(options.connections)]
    while not stop.is_set():
        if len(connected) == options.connections:
            ready.set()
        await asyncio.sleep(0.2)
    for task in tasks:
        task.cancel()
    return dict(happened)


async def _be_slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, begin: bytes, piece: bytes) -> str:
    """Send a piece at a time until the server answers or closes; return what it did."""
    try:
        writer.write(begin)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(BYTE_SECONDS):
                    reply = await reader.read(1000)
                    return reply.split(b"\r\n")[0].decode() or "closed"
            writer.write(piece)
    except ConnectionError:
        return "reset"
    finally:
        writer.close()


@contextmanager
def server(directory: Path) -> Iterator[tuple[int, int]]:
    """``windlass serve``. Yields its port and the process id of its web process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    command = [sys.executable, "-m", "windlass", "serve", "--port", str(port), "--home", str(directory / "home")]
    with (directory / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        deadline = time.monotonic() + START_SECONDS
        while b"Windlass is ready" not in (directory / "serve.log").read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((directory / "serve.log").read_text())
            time.sleep(0.05)
        web = next(each for each in psutil.Process(process.pid).children(recursive=True) if "web" in each.cmdline())
        yield port, web.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


if __name__ == "__main__":
    main()
