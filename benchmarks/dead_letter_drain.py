"""Measure how long a new file waits to be READY while a thousand retried dead letters drain.

``python -m benchmarks.dead_letter_drain`` runs ``windlass serve`` with SQLite and its embedded broker; with
``--database URL --broker URL`` it uses those services, which must be empty, and a second worker. A plug-in step that
fails makes the dead letters, and its cause is mended before they are retried.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests.process import step_package

CLIENTS = 8
POLL_SECONDS = 0.01
#: Seconds between two new files.
PAUSE_SECONDS = 0.2
IDLE_FILES = 30
DEADLINE_SECONDS = 900


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dead_letter_drain", description=__doc__)
    parser.add_argument("--dead", type=int, default=1000, help="dead letters (default: 1000)")
    parser.add_argument("--rate", type=float, default=60, help="DEAD_RETRY_PER_MINUTE (default: 60)")
    parser.add_argument("--seconds", type=float, default=DEADLINE_SECONDS, help="measure at most so long")
    parser.add_argument("--database", help="DATABASE_URL of an empty database")
    parser.add_argument("--broker", help="CELERY_BROKER_URL of an empty broker")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="windlass-drain-") as directory:
        print(json.dumps(measure(Path(directory), options), indent=2))


def measure(directory: Path, options: argparse.Namespace) -> dict[str, float]:
    mended = directory / "mended"
    settings = {
        "JOB_MAX_ATTEMPTS": "1",
        "DEAD_RETRY_PER_MINUTE": str(options.rate),
        "HAWSER_MENDED": str(mended),
        **step_package.install(directory / "plugins", step_package.STUBBORN),
    }
    if options.database:
        settings |= {"DATABASE_URL": options.database, "CELERY_BROKER_URL": options.broker}
    with server(directory, settings, workers=2 if options.database else 1) as url, client(url) as http:
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda number: upload(http, b"STUBBORN %d" % number), range(options.dead)))
        wait(lambda: dead_letters(http) == options.dead)
        mended.touch()
        idle = [ready_seconds(http, b"idle %d" % number) for number in range(IDLE_FILES)]
        retried = http.post("/error-handling/retry-tasks", json={"all": True}, timeout=120).raise_for_status().json()
        started, busy = time.monotonic(), list[float]()
        while unfinished(http) and time.monotonic() - started < options.seconds:
            busy.append(ready_seconds(http, b"busy %d" % len(busy)))
            time.sleep(PAUSE_SECONDS)
        seconds, left = time.monotonic() - started, unfinished(http)
    return figures(idle, busy) | {"retried": retried["queued"], "drain_seconds": round(seconds, 1), "left": left}


def figures(idle: Sequence[float], busy: Sequence[float]) -> dict[str, float]:
    """Milliseconds, and how much longer the median and the slowest of ten take while the dead letters drain."""

    def milliseconds(seconds: float) -> float:
        return round(seconds * 1000, 1)

    slow = statistics.quantiles(busy, n=10)[-1]
    usual = statistics.median(idle)
    return {
        "idle_ready_ms": milliseconds(usual),
        "idle_worst_ms": milliseconds(max(idle)),
        "busy_files": len(busy),
        "busy_ready_ms": milliseconds(statistics.median(busy)),
        "busy_nine_of_ten_ms": milliseconds(slow),
        "busy_worst_ms": milliseconds(max(busy)),
        "times_idle": round(statistics.median(busy) / usual, 2),
        "times_idle_nine_of_ten": round(slow / usual, 2),
    }


def client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=60, trust_env=False)


def upload(http: httpx.Client, content: bytes) -> str:
    answer = http.post("/files/", params={"filename": "a.txt"}, content=content).raise_for_status()
    return str(answer.json()["id"])


def ready_seconds(http: httpx.Client, content: bytes) -> float:
    """The seconds from the reply to an upload until the file is READY."""
    file = upload(http, content)
    started = time.monotonic()
    wait(lambda: http.get(f"/files/{file}/status/").json()["status"] == "READY")
    return time.monotonic() - started


def dead_letters(http: httpx.Client) -> int:
    answer = http.get("/metrics").raise_for_status().text
    lines = [line for line in answer.splitlines() if line.startswith("windlass_jobs{") and 'state="dead"' in line]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


def unfinished(http: httpx.Client) -> int:
    """How many retried files are not READY yet, at most 100: each page of the list has no more."""
    answer = http.get("/files/", params={"status": "PENDING", "limit": 100}).raise_for_status()
    return len(answer.json()["results"])


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {DEADLINE_SECONDS} s")
        time.sleep(POLL_SECONDS)


@contextmanager
def server(directory: Path, settings: dict[str, str], *, workers: int) -> Iterator[str]:
    """``windlass serve`` with as many workers; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = os.environ | settings | {"WINDLASS_HOME": str(directory / "home")}
    commands = [["serve", "--port", str(port)], *([["worker"]] * (workers - 1))]
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        log = stack.enter_context((directory / "log").open("wb"))
        for command in commands:
            process = subprocess.Popen(
                [sys.executable, "-m", "windlass", *command], env=environment, stdout=log, stderr=subprocess.STDOUT
            )
            stack.callback(process.wait)
            stack.callback(process.send_signal, signal.SIGTERM)
            wait(lambda: answers(url))  # the first one migrates the database
        yield url


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", trust_env=False).is_success
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
