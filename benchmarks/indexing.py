"""Measure what making a long text searchable costs: speed, memory of the worker, and uploads beside it.

``python -m benchmarks.indexing [MODEL] [--mib 16]`` runs ``windlass serve`` with one worker place and a local model (a
directory), or without one, and uploads small files that are not indexed, first alone, then beside a text of so many
MiB. It prints how long the text took until its words and all of it could be found, the processor time of the worker,
the greatest memory of the worker with its sandbox (proportional set size, Linux only), and the small files per second.
A MiB has about 1,200 passages; each takes about 0.04 CPU-seconds with all-MiniLM-L6-v2.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from benchmarks.dead_letter_drain import client, server

MIB = 1024 * 1024
CLIENTS = 4
SMALL_FILES = 200
SMALL_BYTES = 10 * 1024
SAMPLE_SECONDS = 0.5
DEADLINE_SECONDS = 3 * 3600
#: A word of the end of the long text only.
LAST = "quernstone"


class Worker:
    """The worker of a server on this machine, with its sandbox: processor time so far, and the greatest memory."""

    def __init__(self) -> None:
        own = psutil.Process().children(recursive=True)
        self._root = next(each for each in own if "worker" in each.cmdline())
        self.peak_mb = 0.0

    def cpu_seconds(self) -> float:
        return sum(sum(each.cpu_times()[:4]) for each in self._processes())

    def sample(self) -> None:
        self.peak_mb = max(self.peak_mb, sum(each.memory_full_info().pss for each in self._processes()) / MIB)

    def _processes(self) -> Iterator[psutil.Process]:
        for each in (self._root, *self._root.children(recursive=True)):
            try:
                if each.is_running() and each.status() != psutil.STATUS_ZOMBIE:
                    yield each
            except psutil.NoSuchProcess:
                continue


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.indexing", description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, help="the directory of the model; without it words are indexed")
    parser.add_argument("--mib", type=float, default=1, help="size of the text (default: 1)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="windlass-indexing-") as directory:
        print(json.dumps(measure(Path(directory), given.model, given.mib), indent=2))


def measure(directory: Path, model: Path | None, mib: float) -> dict[str, float]:
    settings = {"WORKER_CONCURRENCY": "1"}
    if model:
        settings |= {"EMBEDDINGS": "local", "EMBEDDINGS_MODEL": str(model.resolve())}
    with server(directory, settings, workers=1) as url, client(url) as http:
        alone = small_files_per_second(http)
        wait(lambda: not unfinished(http))
        worker = Worker()
        before, started = worker.cpu_seconds(), time.monotonic()
        content = text_of(mib).encode()
        answer = http.post("/files/", params={"filename": "long.txt"}, content=content).raise_for_status()
        file = str(answer.json()["id"])
        with sampled(worker):
            time.sleep(1)
            beside = small_files_per_second(http)
            wait(lambda: finds(http))
            words = time.monotonic() - started
            if model:
                wait(lambda: has_vectors(http, file))
        searchable, cpu = time.monotonic() - started, worker.cpu_seconds() - before
        count = passages_of(http, file)
    return {
        "mib": mib,
        "passages": count,
        "words_found_seconds": round(words, 1),
        "searchable_seconds": round(searchable, 1),
        "worker_cpu_seconds": round(cpu, 1),
        "passages_per_second": round(count / searchable, 1),
        "passages_per_worker_cpu_second": round(count / cpu, 1),
        "worker_peak_mb": round(worker.peak_mb),
        "small_files_per_second": round(alone, 1),
        "small_files_per_second_beside": round(beside, 1),
    }


def text_of(mib: float) -> str:
    """Paragraphs of sentences of words by Zipf's law; the last one has a word of its own."""
    chance = random.Random(1)
    syllables = [a + b for a in "bdfgklmnprstv" for b in "aeiou"]
    vocabulary = ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(20_000)]
    parts: list[str] = []
    size = 0
    while size < mib * MIB - 1024:  # the text of a file ends at 16 MiB
        words = [vocabulary[int(20_000 ** chance.random()) - 1] for _ in range(chance.randint(6, 20))]
        end = ".\n\n" if chance.random() < 0.15 else ". "
        parts.append(" ".join(words).capitalize() + end)
        size += len(parts[-1])
    return "".join([*parts, f"The {LAST} is the last word."])


def small_files_per_second(http: httpx.Client) -> float:
    chance = random.Random(2)
    contents = [chance.randbytes(SMALL_BYTES) for _ in range(SMALL_FILES)]
    started = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for answer in pool.map(
            lambda content: http.post("/files/", params={"filename": "small.bin"}, content=content), contents
        ):
            answer.raise_for_status()
    return SMALL_FILES / (time.monotonic() - started)


def finds(http: httpx.Client) -> bool:
    """Whether the end of the text is found by its words."""
    answer = http.get("/search/", params={"q": LAST, "mode": "text"}).raise_for_status().json()
    return bool(answer["results"])


def has_vectors(http: httpx.Client, file: str) -> bool:
    """Whether each passage has a vector. A search by vectors finds the file from its first ones on."""
    steps = http.get(f"/files/{file}/status/").raise_for_status().json()["steps"]
    return any(step["name"] == "embed" and step["state"] == "done" for step in steps)


def unfinished(http: httpx.Client) -> bool:
    return bool(http.get("/files/", params={"status": "PENDING", "limit": 1}).raise_for_status().json()["results"])


def passages_of(http: httpx.Client, file: str) -> int:
    count, params = 0, {"limit": "100"}
    while True:
        page = http.get(f"/files/{file}/passages/", params=params).raise_for_status().json()
        count += len(page["results"])
        if not page["next"]:
            return count
        params = dict(httpx.URL(page["next"]).params)


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {DEADLINE_SECONDS} s")
        time.sleep(SAMPLE_SECONDS)


@contextmanager
def sampled(worker: Worker) -> Iterator[None]:
    """Samples the worker's memory while it is open."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(SAMPLE_SECONDS):
            worker.sample()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    main()
