"""What the sandbox is worth on this machine: tried, not asked for.

A process closes itself exactly as a child does, and then tries to get out. ``python -m`` of this module is that
process.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from windlass.processing.sandbox import landlock
from windlass.processing.sandbox.hardening import OPEN_FILES, Limits, Mode, harden, user_tasks
from windlass.processing.sandbox.launch import ENVIRONMENT, library_path

#: ``full``: file system, network and system calls are closed; ``partial``: one of Landlock and seccomp is missing;
#: ``basic``: limits only; ``off``: limits only, by the setting; ``none``: not even those, and no step runs.
Name = Literal["full", "partial", "basic", "off", "none"]
NAMES: tuple[Name, ...] = ("full", "partial", "basic", "off", "none")

_PATIENCE_SECONDS = 20.0
_MEMORY = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Level:
    """``landlock``: the version of its interface that closed the file system, 0 where none did."""

    name: Name
    landlock: int = 0
    seccomp: bool = False

    @property
    def gaps(self) -> str:
        """What is missing and why it matters, as a sentence; empty for the full level."""
        match self.name:
            case "full":
                return ""
            case "off":
                return "SANDBOX is off: steps may open and reach whatever the worker's user can."
            case "none":
                return "A child cannot be closed at all on this machine: no step that parses will run."
        files = "" if self.landlock else "Landlock (Linux 5.13 or newer, enabled) does not close the file system"
        calls = "" if self.seccomp else "seccomp does not close the system calls"
        return f"{'; '.join(filter(None, (files, calls)))}."

    def __str__(self) -> str:
        parts = [f"Landlock {self.landlock}"] if self.landlock else []
        parts += ["seccomp"] if self.seccomp else []
        return f"{self.name}: {', '.join([*parts, 'limits'])}" if self.name != "none" else "none"


def measure(mode: Mode) -> Level:
    """Starts a process and waits for it: a blocking call of about a tenth of a second."""
    if mode == "off":
        return Level("off")
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-s", "-m", "windlass.processing.sandbox.level"],
            env={**ENVIRONMENT, "PYTHONPATH": library_path()},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        return _judged(json.loads(tried.stdout), tried.returncode)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return Level("none")


def _judged(found: dict[str, Any], ended: int) -> Level:
    """``ended``: the last thing that the process tried is what it must be killed for."""
    version = int(found["landlock"]) if found["files"] else 0
    seccomp = bool(found["calls"]) and ended == -signal.SIGSYS
    if not found["limits"]:
        return Level("none")
    names: dict[int, Name] = {0: "basic", 1: "partial", 2: "full"}
    return Level(names[bool(version) + seccomp], version, seccomp)


def main() -> None:
    """Close this process, try to get out, say what came of it; then fork, which ends it where seccomp holds."""
    version = landlock.version() if sys.platform == "linux" else 0
    harden(Limits(_MEMORY, 10), os.getppid(), user_tasks())
    found = {
        "landlock": version,
        "files": _refused(lambda: os.listdir("/")),
        "calls": _refused(lambda: socket.socket().close()),
        "limits": resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= OPEN_FILES,
    }
    os.write(sys.stdout.fileno(), json.dumps(found).encode())
    os.fork()
    os._exit(0)


def _refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PermissionError:
        return True
    return False


if __name__ == "__main__":
    main()
