"""Measure thousands of idle watchers of one web process, and how soon an event of a worker reaches a watcher.

``python -m benchmarks.live_watchers`` runs ``windlass serve`` with SQLite and its embedded broker; with ``--services``
on a PostgreSQL and a Redis that it starts. Ten users hold WebSockets from several addresses of loopback, each on one of
their files, within the default limits of connections. Meanwhile another user uploads small files and follows all
events. Prints the memory and the processor time of the web process, and milliseconds from an event's time to its
arrival, as JSON. Linux only: other systems have one loopback address.

``--watchers 1 --seconds 1`` measures the way from a worker to a watcher alone, in about a minute.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import httpx
import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests import services
from windlass.http.server.connections import raise_file_limit

USERS, FILES_PER_USER = 10, 5
#: Connections of one address: below MAX_CONNECTIONS_PER_ADDRESS.
PER_ADDRESS = 400
#: Handshakes at once.
AT_ONCE = 100
#: Seconds for the memory to settle once all are connected, and between two uploads.
SETTLE_SECONDS, PAUSE_SECONDS = 5.0, 0.2
START_SECONDS = 90.0
#: Milliseconds from an event of a worker to its arrival that are promised at the median.
PROMISED_EMBEDDED, PROMISED_WITH_SERVICES = 300, 100


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_watchers", description=__doc__)
    parser.add_argument("--watchers", type=int, default=2000, help="idle watchers (default: 2000)")
    parser.add_argument("--seconds", type=float, default=60, help="seconds in which they are idle (default: 60)")
    parser.add_argument("--uploads", type=int, default=40, help="uploads whose events are timed (default: 40)")
    parser.add_argument("--services", action="store_true", help="on PostgreSQL and Redis")
    options = parser.parse_args()
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="windlass-live-") as directory, ExitStack() as stack:
        settings = service_settings(stack) if options.services else {}
        server = stack.enter_context(Server.running(Path(directory), settings))
        print(json.dumps(measure(server, options), indent=2))


def service_settings(stack: ExitStack) -> dict[str, str]:
    programs, program = services.find_postgres(), services.find_redis()
    if programs is None or program is None:
        raise SystemExit("PostgreSQL and Redis must be installed for --services.")
    database = stack.enter_context(services.postgres(programs)).new_database()
    return {"DATABASE_URL": database, "CELERY_BROKER_URL": stack.enter_context(services.redis(program)).url}


class Server:
    def __init__(self, port: int, web: psutil.Process, environment: Mapping[str, str]) -> None:
        self.port, self.web = port, web
        self._environment = environment

    @classmethod
    @contextmanager
    def running(cls, directory: Path, settings: Mapping[str, str]) -> Iterator[Server]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        limits = {"AUTH_MODE": "required", "RATE_LIMIT_PER_MINUTE": "0", "PYTHONUNBUFFERED": "1"}
        environment = os.environ | limits | settings | {"WINDLASS_HOME": str(directory / "home")}
        command = [sys.executable, "-m", "windlass", "serve", "--port", str(port)]
        with (directory / "serve.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            deadline = time.monotonic() + START_SECONDS
            while b"Windlass is ready" not in (directory / "serve.log").read_bytes():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((directory / "serve.log").read_text())
                time.sleep(0.05)
            children = psutil.Process(process.pid).children(recursive=True)
            yield cls(port, next(each for each in children if "web" in each.cmdline()), environment)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def new_token(self, user: str) -> str:
        command = [sys.executable, "-m", "windlass", "token", "create", "--user", user]
        run = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True)
        return next(word for word in run.stdout.split() if word.startswith("wl"))

    def upload(self, token: str, name: str) -> str:
        url = f"http://127.0.0.1:{self.port}/files/?filename={name}.txt"
        headers = {"Authorization": f"Bearer {token}"}
        reply = httpx.post(url, content=os.urandom(1000).hex(), headers=headers, timeout=60, trust_env=False)
        return str(reply.raise_for_status().json()["id"])

    def mebibytes(self) -> float:
        return float(self.web.memory_info().rss) / 2**20

    def processor_seconds(self) -> float:
        times = self.web.cpu_times()
        return float(times.user + times.system)


def measure(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """Memory in MiB, the part of one processor that the web process took, times in milliseconds."""
    tokens = [server.new_token(f"watcher-{number}") for number in range(USERS)]
    watched = [(token, server.upload(token, f"{each}")) for token in tokens for each in range(FILES_PER_USER)]
    uploader = server.new_token("uploader")
    alone = asyncio.run(timed_events(server, uploader, options.uploads))
    before = server.mebibytes()
    with watchers(server.port, watched, options.watchers):
        time.sleep(SETTLE_SECONDS)
        opened, used = server.mebibytes(), server.processor_seconds()
        time.sleep(options.seconds)
        load = (server.processor_seconds() - used) / options.seconds
        idle = server.mebibytes()
        beside = asyncio.run(timed_events(server, uploader, options.uploads))
        after = server.mebibytes()
    return {
        "watchers": options.watchers,
        "mib_before": round(before, 1),
        "mib_with_all": round(opened, 1),
        "mib_after_idling": round(idle, 1),
        "mib_after_the_uploads": round(after, 1),
        "kib_per_watcher": round((opened - before) * 1024 / options.watchers, 1),
        "processor_while_idle": round(load, 3),
        "worker_to_watcher_promised_median": PROMISED_WITH_SERVICES if options.services else PROMISED_EMBEDDED,
        "worker_to_watcher_alone": quantiles(alone),
        "worker_to_watcher_beside_them": quantiles(beside),
    }


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    nine_of_ten = statistics.quantiles(seconds, n=10)[-1]
    return {
        "events": len(seconds),
        "median": round(statistics.median(seconds) * 1000, 1),
        "nine_of_ten": round(nine_of_ten * 1000, 1),
        "slowest": round(max(seconds) * 1000, 1),
    }


async def timed_events(server: Server, token: str, uploads: int) -> list[float]:
    """Seconds from the time of each event of a worker until it has arrived."""
    headers = {"Authorization": f"Bearer {token}"}
    seconds: list[float] = []
    async with connect(f"ws://127.0.0.1:{server.port}/ws/events", additional_headers=headers, proxy=None) as live:
        for number in range(uploads):
            upload = asyncio.create_task(asyncio.to_thread(server.upload, token, str(number)))
            while True:
                event = json.loads(await live.recv())
                if event["type"] in ("file.stage", "file.step", "file.ready"):
                    seconds.append(time.time() - datetime.fromisoformat(event["at"]).timestamp())
                if event["type"] == "file.ready":
                    break
            await upload
            await asyncio.sleep(PAUSE_SECONDS)
    return seconds


@contextmanager
def watchers(port: int, watched: Sequence[tuple[str, str]], count: int) -> Iterator[None]:
    """WebSockets in a process of their own. Fails if one of them ends."""
    context = multiprocessing.get_context("spawn")
    ready, stop, lost = context.Event(), context.Event(), context.Queue()
    process = context.Process(target=_run_watchers, args=(port, watched, count, ready, stop, lost), daemon=True)
    process.start()
    try:
        if not ready.wait(START_SECONDS * 2):
            raise RuntimeError("the watchers did not connect")
        yield
        stop.set()
        ended = lost.get(timeout=30)
        if ended:
            raise RuntimeError(f"{ended} watchers were closed")
    finally:
        process.terminate()
        process.join()


def _run_watchers(
    port: int, watched: Sequence[tuple[str, str]], count: int, ready: Event, stop: Event, lost: Any
) -> None:
    raise_file_limit()
    lost.put(asyncio.run(_watch(port, watched, count, ready, stop)))


async def _watch(port: int, watched: Sequence[tuple[str, str]], count: int, ready: Event, stop: Event) -> int:
    limit = asyncio.Semaphore(AT_ONCE)
    opened: list[ClientConnection] = []

    async def hold(number: int) -> None:
        token, file_id = watched[number % len(watched)]
        async with limit:
            live = await connect(
                f"ws://127.0.0.1:{port}/ws/files/{file_id}",
                additional_headers={"Authorization": f"Bearer {token}"},
                local_addr=(f"127.0.{1 + number // PER_ADDRESS}.1", 0),
                open_timeout=START_SECONDS,
                ping_interval=None,
                compression=None,
                proxy=None,
            )
            opened.append(live)
        with suppress(ConnectionClosed):
            async for _ in live:
                """The file's past."""

    tasks = [asyncio.create_task(hold(number)) for number in range(count)]
    while not stop.is_set():
        if len(opened) == count:
            ready.set()
        await asyncio.sleep(0.2)
    ended = sum(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    return ended


if __name__ == "__main__":
    main()
