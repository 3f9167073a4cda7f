"""Run the real ``windlass`` command and wait for its output and its processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import httpx
import psutil

from tests import migrated_home

T = TypeVar("T")

WINDLASS = [sys.executable, "-m", "windlass"]
#: Long enough for a machine that is busy with something else.
TIMEOUT = 90.0


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return this process's environment without variables that point to another server's services."""
    foreign = ("WINDLASS_", "DATABASE_URL", "CELERY_", "AUTH_MODE", "HOST", "PORT", "DJANGO_SETTINGS_MODULE")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    # All tests send from one address: those of rate limits set one.
    limits = {"RATE_LIMIT_PER_MINUTE": "0", "WRONG_CREDENTIALS_PER_MINUTE": "0"}
    return inherited | {"WINDLASS_HOME": str(home)} | limits | more


def run(*arguments: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*WINDLASS, *arguments], env=environment(home, **more), capture_output=True, text=True, timeout=TIMEOUT
    )


def new_home(home: Path, **more: str) -> None:
    """Make a home with a migrated database, which may be another one than its own (DATABASE_URL)."""
    if "DATABASE_URL" in more:
        assert run("migrate", "--quiet", home=home, **more).returncode == 0
    else:
        migrated_home.prepare(home)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def until(condition: Callable[[], T | None], what: str) -> T:
    """Return the first true value of ``condition``. Fails after TIMEOUT seconds."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {TIMEOUT:.0f} s for {what}")


class Running:
    """A command that runs until it is stopped. Its output is in files beside its home."""

    def __init__(self, *arguments: str, home: Path, **more: str) -> None:
        number = len(list(home.parent.glob("*.out")))
        self.output, self.errors = home.with_suffix(f".{number}.out"), home.with_suffix(f".{number}.err")
        with self.output.open("xb") as output, self.errors.open("xb") as errors:
            self.process = subprocess.Popen(
                [*WINDLASS, *arguments], env=environment(home, **more), stdout=output, stderr=errors
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.end()

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT)

    def children(self) -> dict[str, psutil.Process]:
        """The supervised processes by the command they run."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            try:
                line = child.cmdline()
            except psutil.NoSuchProcess:
                continue
            if "windlass" in line:
                found[line[line.index("windlass") + 1]] = child
        return found


class Serve(Running):
    """``windlass serve`` on a free port. ``ready`` waits for its ready line."""

    def __init__(self, home: Path, port: int | None = None, **more: str) -> None:
        self.home, self.port = home, port or free_port()
        super().__init__("serve", "--port", str(self.port), home=home, **more)
        self.url = f"http://127.0.0.1:{self.port}/"

    def ready(self) -> Serve:
        until(self._is_ready, f"the ready line; its errors: {self.errors.read_text()}")
        return self

    def alive(self) -> bool:
        try:
            return httpx.get(f"{self.url}livez", timeout=TIMEOUT).status_code == 200
        except httpx.TransportError:
            return False

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.errors.read_text()
        return f"Windlass is ready at {self.url}\n" in self.output.read_text()
