"""The sandbox's capability level on this machine, found by trying it.

A process locks itself down exactly as a child does and then tries what is forbidden. ``python -m`` of this module runs
that process.
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
from typing import Any, Literal, get_args

from windlass.processing.sandbox import landlock
from windlass.processing.sandbox.client import ENVIRONMENT, library_path
from windlass.processing.sandbox.lockdown import OPEN_FILES, Limits, Mode, lock_down, user_tasks

#: ``full``: limits, Landlock and seccomp; ``partial``: Landlock or seccomp is missing; ``basic``: limits only; ``off``:
#: limits only, by the setting; ``none``: not even limits, and no step runs.
Name = Literal["full", "partial", "basic", "off", "none"]
NAMES: tuple[Name, ...] = get_args(Name)

_TIMEOUT_SECONDS = 20.0
_MEMORY = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CapabilityLevel:
    """``landlock``: the version that restricts the file system; 0 if none does."""

    name: Name
    landlock: int = 0
    seccomp: bool = False

    @property
    def gaps(self) -> str:
        """A sentence that says what is missing and why it matters; empty for the full level."""
        match self.name:
            case "full":
                return ""
            case "off":
                return "SANDBOX is off: steps may open and reach whatever the worker's user can."
            case "none":
                return "A child cannot be locked down at all on this machine: no step that parses files will run."
        files = "" if self.landlock else "Landlock (Linux 5.13 or newer, enabled) does not close the file system"
        calls = "" if self.seccomp else "seccomp does not close the system calls"
        return f"{'; '.join(filter(None, (files, calls)))}."

    def __str__(self) -> str:
        parts = [f"Landlock {self.landlock}"] if self.landlock else []
        parts += ["seccomp"] if self.seccomp else []
        return f"{self.name}: {', '.join([*parts, 'limits'])}" if self.name != "none" else "none"


def measure(mode: Mode) -> CapabilityLevel:
    """Start a process and wait for it, which blocks for about a tenth of a second."""
    if mode == "off":
        return CapabilityLevel("off")
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-s", "-m", "windlass.processing.sandbox.capability_level"],
            env={**ENVIRONMENT, "PYTHONPATH": library_path()},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        return _level(json.loads(tried.stdout), tried.returncode)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return CapabilityLevel("none")


def _level(results: dict[str, Any], exit_code: int) -> CapabilityLevel:
    """``exit_code``: seccomp must have killed the process for the last thing that it tried."""
    version = int(results["landlock"]) if results["files"] else 0
    seccomp = bool(results["calls"]) and exit_code == -signal.SIGSYS
    if not results["limits"]:
        return CapabilityLevel("none")
    names: dict[int, Name] = {0: "basic", 1: "partial", 2: "full"}
    return CapabilityLevel(names[bool(version) + seccomp], version, seccomp)


def main() -> None:
    """Lock this process down, try what is forbidden, print the results; then fork, for which seccomp must kill it."""
    version = landlock.version() if sys.platform == "linux" else 0
    lock_down(Limits(_MEMORY, 10), os.getppid(), user_tasks())
    results = {
        "landlock": version,
        "files": _refused(lambda: os.listdir("/")),
        "calls": _refused(lambda: socket.socket().close()),
        "limits": resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= OPEN_FILES,
    }
    os.write(sys.stdout.fileno(), json.dumps(results).encode())
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
