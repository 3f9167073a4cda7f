"""What the benchmark needs to know of a server: how to get it, start it, and talk to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import psutil

from benchmarks.dialects import Dialect
from benchmarks.http1 import Connection, Reply, UnexpectedReplyError
from benchmarks.measure import ProcessTree

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / ".tools"
HERE = Path(__file__).resolve().parent
START_SECONDS = 60
STOP_SECONDS = 20
CALM_SECONDS = 1.0
CALM_SHARE = 0.1  # of one core


class UnavailableError(Exception):
    """The peer cannot be had on this machine; the message says why."""


#: How a server is set up: by itself, over a bucket of an S3 server, or behind a proxy that sends its files.
Setup = Literal["alone", "bucket", "proxied"]


@dataclass(frozen=True)
class Company:
    """What runs beside a server, and what the server must be told of it."""

    port: int
    """Where clients go."""
    environment: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    counted: tuple[int, ...] = ()
    """Processes whose cost is the server's as well."""
    store: ProcessTree | None = None
    """What the server stores in, whose cost is shown apart."""


class Peer(ABC):
    """One server. `dialects` are the ways to send it a file, by name, the usual one first."""

    key: ClassVar[str]
    name: ClassVar[str]
    setup: ClassVar[Setup] = "alone"
    dialects: ClassVar[Mapping[str, Dialect]]
    base: ClassVar[str] = "/files/"
    downloads: ClassVar[bool] = True

    @abstractmethod
    def prepare(self) -> str:
        """Install it if it is not there; gives its version. Raises `UnavailableError`."""

    @abstractmethod
    def command(self, directory: Path, port: int) -> list[str]:
        """What starts it on 127.0.0.1 with everything it stores in `directory`."""

    def environment(self) -> Mapping[str, str]:
        """Variables that it needs beside those of this process."""
        return {}

    @contextlib.contextmanager
    def company(self, directory: Path, port: int) -> Iterator[Company]:
        """Starts what must run beside the server that is about to listen on `port`, and ends it."""
        yield Company(port)

    def download_path(self, connection: Connection, path: str, reply: Reply) -> str:
        """Where the file can be fetched that `path` and `reply` tell of; waits until it can."""
        return path

    def settle(self, connection: Connection) -> None:  # noqa: B027  most servers have nothing left to do
        """Wait until the server has done all that its uploads made it do."""


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    peer: Peer
    port: int
    tree: ProcessTree
    startup_seconds: float
    store: ProcessTree | None = None


#: What a sample writes at most, and some more.
TOUCHED_BYTES = 3 * 1024**3
_BLOCK = bytes(1024 * 1024)


def _touch_memory(directory: Path) -> None:
    """Use as much page cache as a sample will, and free it again.

    A virtual machine's host takes back memory that was idle; the first server to write into it would wait for each
    page to be given anew, which once cut the speed of the same server to a third.
    """
    used = directory / "touched"
    with used.open("wb", buffering=0) as file:
        for _ in range(TOUCHED_BYTES // len(_BLOCK)):
            file.write(_BLOCK)
    used.unlink()


@contextlib.contextmanager
def running(peer: Peer, scratch: Path) -> Iterator[Running]:
    """Start a peer on an empty directory, stop it, and leave nothing of it behind: not a file, not a dirty page."""
    directory = Path(tempfile.mkdtemp(prefix=f"{peer.key}-", dir=scratch))
    port = free_port()
    _touch_memory(directory)
    os.sync()
    try:
        with peer.company(directory, port) as company:
            yield from _running(peer, directory, port, company)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.sync()


def _running(peer: Peer, directory: Path, port: int, company: Company) -> Iterator[Running]:
    started = time.monotonic()
    command = [*peer.command(directory, port), *company.options]
    with process_of(command, directory, "server", {**peer.environment(), **company.environment}) as process:
        wait_for_answer(process, port, directory / "server.log")
        startup_seconds = time.monotonic() - started
        tree = ProcessTree(process.pid, *company.counted)
        _wait_for_calm(tree)
        yield Running(peer, company.port, tree, startup_seconds, company.store)


@contextlib.contextmanager
def process_of(
    command: list[str], directory: Path, name: str, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A program from its start to its orderly end, with all that it started."""
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            cwd=directory,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def run_tool(command: list[str], *, cwd: Path, reason: str, **environment: str) -> str:
    """The output of a package manager; `UnavailableError` with the reason if it fails."""
    result = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines() or [""]
        raise UnavailableError(f"{reason}: {lines[-1][:200]}")
    return result.stdout


def find_tool(name: str) -> str:
    """The path of a program; `UnavailableError` without it."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise UnavailableError(f"{name} is not installed")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_answer(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Raises `UnavailableError` where there is none."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        # Any answer will do: it shows that requests are being read.
        with contextlib.suppress(OSError, UnexpectedReplyError), Connection(port) as connection:
            connection.request("OPTIONS", "/files/", {"Tus-Resumable": "1.0.0"})
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise UnavailableError(f"it did not start: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.02)


def _wait_for_calm(tree: ProcessTree) -> None:
    """Until all processes of the server have started: what they spend on that is not the load's cost."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        before = tree.cpu_seconds()
        time.sleep(CALM_SECONDS)
        if tree.cpu_seconds() - before < CALM_SHARE * CALM_SECONDS:
            return


def _stop(process: subprocess.Popen[bytes]) -> None:
    family = [process.pid]
    with contextlib.suppress(psutil.Error):
        family += [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        for pid in family:
            with contextlib.suppress(psutil.Error):
                psutil.Process(pid).kill()
        process.wait()
