"""Mixed small files until READY, compared with the libraries alone; the time of each kind; the cost of the sandbox."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.dialects import Dialect
from benchmarks.http1 import Body, Connection, UnexpectedReplyError
from benchmarks.measure import ProcessTree, run_clients
from benchmarks.peers.base import ROOT, Peer, Running
from benchmarks.peers.windlass import Windlass
from benchmarks.workloads.base import Column, Workload

KINDS = ("jpg", "pdf", "mp4", "txt")
CLIENTS = 8
POLL_SECONDS = 0.01


class Mixed(Workload):
    """Compare the server with the libraries alone: receiving, records and the sandbox cost the difference."""

    key = "mixed"
    title = "Mixed small files until READY"
    columns: ClassVar = (
        Column("files_per_second", "files/s", 1),
        Column("worker_cpu_ms_per_file", "worker CPU ms/file", 1),
        Column("server_cpu_ms_per_file", "server CPU ms/file", 1),
        Column("bare_files_per_second", "libraries alone, one core, files/s", 1),
        Column("bare_cpu_ms_per_file", "libraries alone, CPU ms/file", 1),
        Column("cpu_ratio", "libraries' CPU / worker's CPU", 2),
        Column("speed_ratio", "files/s per core, of the libraries'", 2),
    )

    def dialects(self, peer: Peer) -> list[str]:
        return ["raw"] if isinstance(peer, Windlass) else []

    def describe(self) -> str:
        return (
            f"{self.scale.mixed} files, JPEG (1600 x 1200), PDF (3 pages), MP4 (2 s) and text (10 KB) in equal parts, "
            f"from {CLIENTS} clients, until every file is READY; and type, SHA-256, facts, text and thumbnail of the "
            "same files in one loop of one process"
        )

    def run(self, server: Running, dialect: Dialect) -> dict[str, float]:
        files = sample_files(self.source.path.parent, self.scale.mixed, KINDS)
        bare = _library_baseline(files[0].parent)
        worker = _worker(server)
        cpu, worker_cpu, started = server.tree.cpu_seconds(), worker.cpu_seconds(), time.monotonic()
        shares = [files[first::CLIENTS] for first in range(CLIENTS)]
        run_clients(server.tree, [partial(_send, server, dialect, share) for share in shares if share])
        with Connection(server.port) as connection:
            server.peer.wait_until_processed(connection)
            seconds = time.monotonic() - started
            _check(connection, len(files))
        count = len(files)
        spent = worker.cpu_seconds() - worker_cpu
        speed = count / seconds
        return {
            "files_per_second": speed,
            "worker_cpu_ms_per_file": spent * 1000 / count,
            "server_cpu_ms_per_file": (server.tree.cpu_seconds() - cpu) * 1000 / count,
            "bare_files_per_second": count / bare["seconds"],
            "bare_cpu_ms_per_file": bare["cpu_seconds"] * 1000 / count,
            "cpu_ratio": bare["cpu_seconds"] / spent,
            "speed_ratio": speed / (os.cpu_count() or 1) * bare["seconds"] / count,
        }


class EachKind(Workload):
    """The time from the last byte to READY, by kind of file."""

    key = "kinds"
    title = "Last byte to READY, by kind"
    kinds: ClassVar = {
        "jpg": "JPEG 1600 x 1200",
        "pdf": "PDF, 3 pages",
        "mp4": "MP4, 2 s",
        "mp3": "MP3, 30 s",
        "docx": "DOCX",
        "txt": "text, 10 KB",
        "zip": "ZIP of 50",
    }
    columns: ClassVar = tuple(Column(kind, f"{title}, ms", 0) for kind, title in kinds.items())
    more_is_better = False

    def dialects(self, peer: Peer) -> list[str]:
        return ["raw"] if isinstance(peer, Windlass) else []

    def describe(self) -> str:
        return f"{self.scale.each_kind} files of each kind, one after the other; medians"

    def run(self, server: Running, dialect: Dialect) -> dict[str, float]:
        files = sample_files(self.source.path.parent, self.scale.each_kind * len(self.kinds), tuple(self.kinds))
        waits: dict[str, list[float]] = {kind: [] for kind in self.kinds}
        peer = server.peer
        assert isinstance(peer, Windlass)
        with Connection(server.port) as connection:
            for path in files:
                _, reply = dialect(connection, peer.base, _body(path), path.name)
                sent = connection.sent_at
                peer.wait_until_ready(connection, peer.record_path(reply), poll_seconds=POLL_SECONDS)
                waits[path.suffix.lstrip(".")].append(time.monotonic() - sent)
        return {kind: statistics.median(seconds) * 1000 for kind, seconds in waits.items()}


def sample_files(scratch: Path, count: int, kinds: tuple[str, ...]) -> list[Path]:
    """Return files of these kinds, made once for all samples of a run."""
    directory = scratch / f"daily-{count}-{'-'.join(kinds)}"
    if not directory.is_dir():
        _module("benchmarks.sample_files", str(directory), str(count), *kinds)
    return sorted(directory.iterdir())


def _library_baseline(directory: Path) -> dict[str, float]:
    """Return the summed figures of the libraries alone."""
    made = directory.with_name("made")
    made.mkdir()
    try:
        figures = json.loads(_module("benchmarks.library_baseline", str(directory), str(made)))
    finally:
        shutil.rmtree(made)
    return {key: sum(kind[key] for kind in figures.values()) for key in ("seconds", "cpu_seconds")}


def _module(name: str, *arguments: str) -> str:
    command = [sys.executable, "-m", name, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _worker(server: Running) -> ProcessTree:
    """Return the worker with its sandbox, without the web process."""
    for process in server.tree.processes():
        line = process.cmdline()
        if "windlass" in line and line[line.index("windlass") + 1 :][:1] == ["worker"]:
            return ProcessTree(process.pid)
    raise UnexpectedReplyError("the server has no worker process")


def _send(server: Running, dialect: Dialect, files: list[Path]) -> None:
    with Connection(server.port) as connection:
        for path in files:
            dialect(connection, server.peer.base, _body(path), path.name)


def _body(path: Path) -> Body:
    return Body(path=path, count=path.stat().st_size)


def _check(connection: Connection, count: int) -> None:
    """Require that every file is READY: a refused or failed file was not processed, and the figures would be wrong."""
    ready = 0
    target: Any = "/files/?limit=200&status=READY"
    while target:
        page = json.loads(connection.request("GET", target).expect(200).body)
        ready += len(page["results"])
        target = page["next"]
        if target and "://" in target:
            target = "/" + target.split("/", 3)[3]
    if ready != count:
        raise UnexpectedReplyError(f"{ready} of {count} files are READY")


class SandboxCost(Workload):
    """Runs the steps without the server, which is only started."""

    key = "sandbox"
    title = "What the sandbox costs"
    columns: ClassVar = tuple(
        Column(f"{kind}_{way}", f"{kind.upper()}, {label}, ms", 1)
        for kind in KINDS
        for way, label in (("sandboxed", "in the sandbox"), ("here", "without"))
    )
    more_is_better = False

    def dialects(self, peer: Peer) -> list[str]:
        return ["raw"] if isinstance(peer, Windlass) else []

    def describe(self) -> str:
        return (
            f"{self.scale.each_kind} files of each kind: all steps that parse, in a child of the sandbox per file, "
            "and the same steps called in one process; medians"
        )

    def run(self, server: Running, dialect: Dialect) -> dict[str, float]:
        files = sample_files(self.source.path.parent, self.scale.each_kind * len(KINDS), KINDS)
        took = json.loads(_module("benchmarks.sandbox_cost", str(files[0].parent)))
        return {f"{kind}_{way}": milliseconds for kind, ways in took.items() for way, milliseconds in ways.items()}
