"""Load a server steadily with clients of every dialect and check that nothing grows. ``make soak`` calls this.

Every client deletes its file once that is processed, so that what a server holds stays the same. After the
warm-up, memory, descriptors, threads, rows and disk are sampled; the medians of the first and the last fifth of the
samples are compared. Rows and disk grow by what is kept for a time on purpose (events, ended sessions, attempts): they
are shown for each file.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.chaos.clients import DIALECTS, Reader, UploadClient
from tests.chaos.ledger import Ledger
from tests.process.conftest import ServerProcess

#: The part of the time before the samples count.
WARM_UP = 0.2
SAMPLE_SECONDS = 5.0
#: How much a figure may grow, and below which difference it counts as noise.
MOST_GROWTH = 0.05
NOISE = {"memory MiB": 8.0, "descriptors": 8.0, "threads": 4.0, "objects": 20.0, "files": 20.0, "open jobs": 20.0}
COUNTED = {
    "files": "SELECT count(*) FROM windlass_files_fileasset",
    "open jobs": "SELECT count(*) FROM windlass_jobs_job WHERE state IN ('queued', 'running')",
    "events": "SELECT count(*) FROM windlass_events_event",
    "sessions": "SELECT count(*) FROM windlass_files_uploadsession",
}
#: What is kept for a time on purpose.
KEPT = ("events", "sessions", "database MiB")
MB = 1024 * 1024
#: Without the one that reads files of others, which are deleted here.
UPLOADING = [kind for kind in DIALECTS if kind is not Reader]

Sample = Mapping[str, float]


def sample(server: ServerProcess) -> Sample:
    found: dict[str, float] = dict.fromkeys(("memory MiB", "descriptors", "threads"), 0.0)
    for process in server.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            memory = process.memory_full_info()
            found["memory MiB"] += getattr(memory, "pss", memory.uss) / MB
            found["descriptors"] += process.num_fds()
            found["threads"] += process.num_threads()
    with contextlib.closing(sqlite3.connect(f"file:{server.home / 'windlass.sqlite3'}?mode=ro", uri=True)) as database:
        for name, sql in COUNTED.items():
            found[name] = float(database.execute(sql).fetchone()[0])
    found["database MiB"] = sum(path.stat().st_size for path in server.home.glob("windlass.sqlite3*")) / MB
    found["objects"] = float(sum(len(names) for _, _, names in os.walk(server.home / "media")))
    return found


def grown(samples: Sequence[Sample]) -> list[str]:
    """The figures that grew by more than MOST_GROWTH."""
    first, last = _ends(samples)
    return [
        name
        for name in first
        if name not in KEPT and last[name] - first[name] > max(first[name] * MOST_GROWTH, NOISE[name])
    ]


def table(samples: Sequence[Sample], uploads: int) -> str:
    first, last = _ends(samples)
    lines = [f"{'':14}{'first fifth':>14}{'last fifth':>14}{'change':>10}"]
    for name in first:
        change = (last[name] - first[name]) / first[name] * 100 if first[name] else 0.0
        kept = f"   kept: {(last[name] - first[name]) / max(uploads, 1):.3f} a file" if name in KEPT else ""
        lines.append(f"{name:14}{first[name]:14.1f}{last[name]:14.1f}{change:9.1f}%{kept}")
    return "\n".join(lines)


def _ends(samples: Sequence[Sample]) -> tuple[Sample, Sample]:
    part = max(1, len(samples) // 5)
    return tuple(  # type: ignore[return-value]
        {name: statistics.median(each[name] for each in some) for name in samples[0]}
        for some in (samples[:part], samples[-part:])
    )


def run(seconds: float) -> int:
    with tempfile.TemporaryDirectory(prefix="windlass-soak-") as directory:
        server, ledger = ServerProcess(Path(directory) / "home"), Ledger()
        server.start()
        clients: list[UploadClient] = [
            kind(server.url, ledger, number, lambda since: False, (b"steady",)) for number, kind in enumerate(UPLOADING)
        ]
        try:
            return _loaded(server, ledger, clients, seconds)
        finally:
            for client in clients:
                client.stop()
            server.kill()


def _loaded(server: ServerProcess, ledger: Ledger, clients: Sequence[UploadClient], seconds: float) -> int:
    for client in clients:
        client.deletes = True
        client.start()
    samples: list[Sample] = []
    began, uploads = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        if passed >= seconds * WARM_UP:
            uploads = uploads or ledger.counts["verified files"]
            samples.append(sample(server))
        time.sleep(min(SAMPLE_SECONDS, seconds / 20))
    more = ledger.counts["verified files"] - uploads
    print(table(samples, round(more * 0.8)))
    print(f"{ledger.counts['verified files']} files, {more} of them after the warm-up")
    print(", ".join(f"{count} {name}" for name, count in sorted(ledger.counts.items())))
    failures = [f"{name} has grown" for name in grown(samples)] + ledger.violations
    for text in failures:
        print(f"FAILED {text}")
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    return run(parser.parse_args().hours * 3600)


if __name__ == "__main__":
    sys.exit(main())
