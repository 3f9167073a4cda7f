"""The interface of a peer: how to install, start and use a server."""

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
IDLE_CHECK_SECONDS = 1.0
IDLE_CPU_SHARE = 0.1  # of one core


class UnavailableError(Exception):
    """The peer is not available on this machine; the message says why."""


#: How a server is set up: by itself, over a bucket of an S3 server, or behind a proxy that sends its files.
Setup = Literal["alone", "bucket", "proxied"]


@dataclass(frozen=True)
class Companions:
    """The processes that run beside a server, and the server's settings for them."""

    port: int
    """The port that clients connect to."""
    environment: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    counted: tuple[int, ...] = ()
    """Processes whose cost counts as the server's."""
    store: ProcessTree | None = None
    """The store of the server, whose cost is shown separately."""


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
        """Install the server if necessary; return its version. Raises UnavailableError."""

    @abstractmethod
    def command(self, directory: Path, port: int) -> list[str]:
        """Return the command that starts it on 127.0.0.1 and stores everything in `directory`."""

    def environment(self) -> Mapping[str, str]:
        """Return environment variables to add to those of this process."""
        return {}

    @contextlib.contextmanager
    def companions(self, directory: Path, port: int) -> Iterator[Companions]:
        """Run the processes that the server on `port` needs."""
        yield Companions(port)

    def download_path(self, connection: Connection, path: str, reply: Reply) -> str:
        """Return the download path of the uploaded file, once it can be downloaded."""
        return path

    def wait_until_processed(self, connection: Connection) -> None:  # noqa: B027  most servers have nothing left to do
        """Wait until the server has processed its uploads."""


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    peer: Peer
    port: int
    tree: ProcessTree
    startup_seconds: float
    store: ProcessTree | None = None


_BLOCK = bytes(1024 * 1024)


def _reserve_page_cache(directory: Path, size: int) -> None:
    """Fill so many bytes of the page cache, and free them.

    The host of a virtual machine takes back memory that has been free for some seconds, and whoever uses it next waits
    for every page, for 1 CPU-second a GiB and more. So this comes last before the load: a server that takes long to
    start would otherwise pay for what one that starts at once does not.
    """
    used = directory / "touched"
    with used.open("wb", buffering=0) as file:
        for _ in range(size // len(_BLOCK)):
            file.write(_BLOCK)
    used.unlink()


@contextlib.contextmanager
def running(peer: Peer, scratch: Path, largest_sample: int) -> Iterator[Running]:
    """Run a peer on an empty directory, for a load that writes so many bytes at most. Afterwards delete its files and
    sync, so that no dirty page remains."""
    directory = Path(tempfile.mkdtemp(prefix=f"{peer.key}-", dir=scratch))
    port = free_port()
    os.sync()
    try:
        with peer.companions(directory, port) as companions, _running(peer, directory, port, companions) as server:
            _reserve_page_cache(directory, largest_sample)
            yield server
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.sync()


@contextlib.contextmanager
def _running(peer: Peer, directory: Path, port: int, companions: Companions) -> Iterator[Running]:
    started = time.monotonic()
    command = [*peer.command(directory, port), *companions.options]
    with running_process(command, directory, "server", {**peer.environment(), **companions.environment}) as process:
        wait_for_answer(process, port, directory / "server.log")
        startup_seconds = time.monotonic() - started
        tree = ProcessTree(process.pid, *companions.counted)
        _wait_until_idle(tree)
        yield Running(peer, companions.port, tree, startup_seconds, companions.store)


@contextlib.contextmanager
def running_process(
    command: list[str], directory: Path, name: str, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program; stop it and its descendants at the end."""
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
    """Return the output of a tool. Raises UnavailableError with the reason if it fails."""
    result = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines() or [""]
        raise UnavailableError(f"{reason}: {lines[-1][:200]}")
    return result.stdout


def find_tool(name: str) -> str:
    """Return the path of a program. Raises UnavailableError without it."""
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
    """Wait until the server answers. Raises UnavailableError."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        # Any reply shows that the server reads requests.
        with contextlib.suppress(OSError, UnexpectedReplyError), Connection(port) as connection:
            connection.request("OPTIONS", "/files/", {"Tus-Resumable": "1.0.0"})
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise UnavailableError(f"it did not start: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.02)


def _wait_until_idle(tree: ProcessTree) -> None:
    """Wait until all processes have started: the cost of the start is not that of the load."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        before = tree.cpu_seconds()
        time.sleep(IDLE_CHECK_SECONDS)
        if tree.cpu_seconds() - before < IDLE_CPU_SHARE * IDLE_CHECK_SECONDS:
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
