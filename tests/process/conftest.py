"""A real server: ``windlass serve`` with its processes, on a free port and with its own home directory."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests import migrated_home
from tests.process.wire import StoredData, Wire, connect

READY = "Windlass is ready at"
START_SECONDS = 90.0


class ServerProcess:
    """One ``windlass serve``. It keeps its home and port when it is stopped and started again."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home, self.port = home, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.with_name(f"{home.name}.log")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WINDLASS_")}
        # A reply that waits for a file waits as long as a busy machine may need to process it.
        # All tests send from one address: those of rate limits set one.
        limits = {"RATE_LIMIT_PER_MINUTE": "0", "WRONG_CREDENTIALS_PER_MINUTE": "0"}
        # Other tests take both cores: a worker of a lower priority would wait for them.
        own = {"PYTHONUNBUFFERED": "1", "MEDIA_WAIT_SECONDS": "120", "WORKER_NICE": "0"} | limits
        self.environment = inherited | own | environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return once it has logged that it is ready. A new home gets a migrated database."""
        if not self.home.exists() and "DATABASE_URL" not in self.environment:
            migrated_home.prepare(self.home)
        command = [sys.executable, "-m", "windlass", "serve", "--port", str(self.port), "--home", str(self.home)]
        with self.log.open("ab") as log:
            begins = log.tell()
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)
        deadline = time.monotonic() + START_SECONDS
        while READY not in self._log_since(begins):
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.kill()
                reason = "ended" if ended else f"was not ready after {START_SECONDS:.0f} s"
                raise AssertionError(f"windlass serve {reason}:\n{self._log_since(begins)}")
            time.sleep(0.05)

    def stop(self) -> int:
        """Stop it with SIGTERM, as a service manager does, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(60)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill all of its processes at once, as if the machine had lost power."""
        if self._process is None:
            return
        victims = self.processes()
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.suspend()  # so that no process has time to react to the death of another
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        psutil.wait_procs(victims, 30)
        self._process.wait(30)
        self._process = None

    def processes(self) -> list[psutil.Process]:
        """Return the supervisor and all of its descendants."""
        assert self._process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(self._process.pid)
            return [top, *top.children(recursive=True)]
        return []

    def web_pid(self) -> int:
        """Return the process that accepts connections."""
        return self.pid_of("web")

    def worker_pid(self) -> int:
        return self.pid_of("worker")

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``windlass …`` on this server's home."""
        return subprocess.run(
            [sys.executable, "-m", "windlass", *arguments],
            env=self.environment | {"WINDLASS_HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def pid_of(self, role: str) -> int:
        """Return the id of the process of a role (web, worker, scheduler). Waits for it: it may just have been forked,
        and the ready line waits for web alone."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for process in self.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if process.cmdline()[1:4] == ["-m", "windlass", role]:
                        return process.pid
            time.sleep(0.02)
        raise AssertionError(f"windlass serve has no {role} process:\n{self._log_since(0)}")

    def _log_since(self, offset: int) -> str:
        with self.log.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start a server with the given settings; all servers of a test are killed at its end."""
    servers: list[ServerProcess] = []

    def make(**environment: str) -> ServerProcess:
        server = ServerProcess(tmp_path / f"home-{len(servers)}", **environment)
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def server(make_server: Callable[..., ServerProcess]) -> ServerProcess:
    """A server of one test, which may kill it."""
    return make_server()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for all tests of a run, which must not stop it and claim nothing about files of other modules."""
    yield from _running(tmp_path_factory)


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Likewise, of one module. A module that measures its server overrides ``shared_server`` with it."""
    yield from _running(tmp_path_factory)


def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("shared") / "home", RATE_LIMIT_PER_MINUTE="")  # the default
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def target_server(shared_server: ServerProcess) -> ServerProcess:
    """The server of the fixtures below. A module overrides this fixture to use a server with other settings."""
    return shared_server


@pytest.fixture(scope="module")
def http(target_server: ServerProcess) -> Iterator[httpx.Client]:
    with connect(target_server) as client:
        yield client


@pytest.fixture
def wire(target_server: ServerProcess) -> Iterator[Wire]:
    with Wire(target_server.port) as connection:
        yield connection


@pytest.fixture
def stored_data(target_server: ServerProcess) -> StoredData:
    return StoredData(target_server)
