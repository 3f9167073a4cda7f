"""Measure how much faster two workers are than one, each on a core of its own.

``python -m benchmarks.worker_scaling`` queues mixed small files (JPEG, PDF, MP4, text) while no worker runs. Then it
starts one worker, or two, with WORKER_CONCURRENCY=1, each bound to a core with its sandbox, and measures from the
moment when all of them have claimed a job until the last file is READY. One and two alternate; each run has an empty
home. SQLite and the embedded broker, or with ``--services`` a PostgreSQL and a Redis that it starts. Prints JSON;
``--write`` writes it to ``benchmarks/results``. Linux only: other systems bind no process to a core.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks import machine
from benchmarks.measure import ProcessTree
from benchmarks.workloads.mixed import KINDS, sample_files
from tests import services

RESULTS = Path(__file__).parent / "results"
CLIENTS = 4
POLL_SECONDS = 0.05
DEADLINE_SECONDS = 300.0

CLAIMED = "SELECT count(DISTINCT worker) FROM windlass_jobs_attempt"
READY = "SELECT count(*) FROM windlass_files_fileasset WHERE status = 'READY'"

Query = Callable[[str], int]


@dataclass(frozen=True)
class Speed:
    files_per_second: float
    cpu_ms_per_file: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker_scaling", description=__doc__)
    parser.add_argument("--files", type=int, default=160, help="files of a run (default: 160)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--services", action="store_true", help="PostgreSQL and Redis in place of SQLite")
    parser.add_argument("--write", action="store_true", help="write the figures to benchmarks/results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="windlass-scaling-") as directory, ExitStack() as stack:
        described = machine.describe(Path(directory))
        new_services = _new_services(stack) if options.services else dict[str, str]
        files = sample_files(Path(directory), options.files, KINDS)
        speeds: dict[int, list[Speed]] = {1: [], 2: []}
        for number in range(options.rounds):
            for workers, found in speeds.items():
                home = Path(directory) / f"home-{number}-{workers}"
                found.append(measure(home, files, workers, new_services()))
    figures = summary(speeds) | {"files": options.files, "services": options.services, "machine": described}
    text = json.dumps(figures, indent=2)
    print(text)
    if options.write:
        name = "postgresql" if options.services else "sqlite"
        (RESULTS / f"{date.today():%Y-%m-%d}-worker-scaling-{name}.json").write_text(text + "\n")


def summary(speeds: Mapping[int, Sequence[Speed]]) -> dict[str, Any]:
    """Medians, and how many times as fast two workers were in each round."""
    ratios = [two.files_per_second / one.files_per_second for one, two in zip(speeds[1], speeds[2], strict=True)]
    rates = {number: statistics.median(each.files_per_second for each in found) for number, found in speeds.items()}
    costs = {number: statistics.median(each.cpu_ms_per_file for each in found) for number, found in speeds.items()}
    return {
        "one_worker_files_per_second": round(rates[1], 2),
        "two_workers_files_per_second": round(rates[2], 2),
        "times_as_fast": round(statistics.median(ratios), 2),
        "times_as_fast_in_each_round": [round(ratio, 2) for ratio in ratios],
        "one_worker_cpu_ms_per_file": round(costs[1], 1),
        "two_workers_cpu_ms_per_file": round(costs[2], 1),
    }


def measure(home: Path, files: Sequence[Path], workers: int, services: Mapping[str, str]) -> Speed:
    home.mkdir()
    settings = {**services, "WINDLASS_HOME": str(home), "WORKER_CONCURRENCY": "1", "LOG_LEVEL": "warning"}
    windlass = partial(_windlass, settings=settings)
    # The level is pinned: while there is no worker it falls, and steps would be left out.
    for command in (("migrate", "--quiet"), ("level", "set", "full")):
        with windlass(*command) as process:
            if process.wait():
                sys.exit(f"windlass {' '.join(command)} failed.")
    with ExitStack() as stack:
        _upload_all(windlass, files)
        cores = sorted(os.sched_getaffinity(0))[:workers]
        if len(cores) < workers:
            sys.exit(f"{workers} cores are needed.")
        started = [stack.enter_context(windlass("worker", core=core)) for core in cores]
        query = partial(_count, home, services.get("DATABASE_URL", ""))
        _wait(lambda: query(CLAIMED) == workers)
        tree = ProcessTree(*(process.pid for process in started))
        already, cpu, began = query(READY), tree.cpu_seconds(), time.monotonic()
        _wait(lambda: query(READY) == len(files))
        seconds = time.monotonic() - began
        processed = len(files) - already
        return Speed(processed / seconds, (tree.cpu_seconds() - cpu) * 1000 / processed)


def _upload_all(windlass: Any, files: Sequence[Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        windlass("web", "--port", str(port)),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        _wait(partial(_answers, http))

        def upload(path: Path) -> None:
            http.post("/files/", params={"filename": path.name}, content=path.read_bytes()).raise_for_status()

        list(pool.map(upload, files))


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/livez").is_success
    except httpx.TransportError:
        return False


@contextmanager
def _windlass(
    *arguments: str, settings: Mapping[str, str], core: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A command, ended by SIGTERM with the block. ``core``: the one that its threads and children use."""
    command = [sys.executable, "-m", "windlass", *arguments]
    process = subprocess.Popen(command, env=os.environ | settings, stdout=subprocess.DEVNULL)
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})  # long before it starts a thread or a process
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _count(home: Path, database_url: str, query: str) -> int:
    connection: Any = psycopg.connect(database_url) if database_url else sqlite3.connect(home / "windlass.sqlite3")
    with closing(connection):
        return int(connection.execute(query).fetchone()[0])


def _new_services(stack: ExitStack) -> Callable[[], dict[str, str]]:
    """Start PostgreSQL and Redis; give a function that returns settings with a new database."""
    programs, redis = services.find_postgres(), services.find_redis()
    if programs is None or redis is None:
        sys.exit("PostgreSQL and Redis must be installed.")
    server, broker = stack.enter_context(services.postgres(programs)), stack.enter_context(services.redis(redis))
    return lambda: {"DATABASE_URL": server.new_database(), "CELERY_BROKER_URL": broker.url}


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {DEADLINE_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main()
