"""What a child gives up before it reads a file: its parent's process group, privileges and limits, then Landlock and
seccomp."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import signal
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

from windlass.processing.sandbox import landlock, linux_calls, seccomp

OPEN_FILES = 64

#: Tasks that this user may have beyond those that exist. The kernel counts a user's tasks, not a process's, so the
#: limit cannot be tight: it ends a fork bomb, and leaves room for the few threads of libraries.
MORE_TASKS = 1024

#: ``require``: no step runs if Landlock or seccomp is missing; ``best-effort``: with what is available; ``off``: with
#: neither.
Mode = Literal["require", "best-effort", "off"]

#: Where the system keeps libraries that are loaded at first use, such as character sets.
_SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64")
#: Entries of ``sys.path`` with other names may be the root of a project, with its settings and data.
_PACKAGE_DIRECTORIES = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one child: address space and output in bytes, time in seconds; and how it is locked down."""

    memory: int
    seconds: float
    output: int = 64 * 1024 * 1024
    mode: Mode = "best-effort"


def prepare() -> None:
    """Compute in the sandbox's parent, before the first fork, what every child needs."""
    readable_directories()
    if sys.platform == "linux":
        linux_calls.libc()
        with contextlib.suppress(OSError):
            seccomp.program(platform.machine())


def lock_down(limits: Limits, parent: int, tasks: int) -> None:
    """Called in the child once its files are in place, before the first step. Raises OSError.

    ``parent``: id of the process to die with. ``tasks``: the user's tasks when the parent started (``user_tasks``).
    Landlock and seccomp come last: nothing can be changed afterwards.
    """
    os.setpgid(0, 0)  # no session: the scheduler would give each as much as all web processes (decision 0134)
    if sys.platform == "linux":
        linux_calls.prctl(linux_calls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            raise ProcessLookupError("the parent died before this process could be bound to it")
        linux_calls.prctl(linux_calls.PR_SET_NO_NEW_PRIVS, 1)
        linux_calls.prctl(linux_calls.PR_SET_DUMPABLE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_FSIZE, limits.output)
    _limit(resource.RLIMIT_NPROC, tasks + MORE_TASKS)
    # The worker ends a step that takes too long; this ends a child whose worker and parent no longer can.
    _limit(resource.RLIMIT_CPU, 2 * int(limits.seconds) + 2)
    _limit(resource.RLIMIT_AS, limits.memory)
    if sys.platform == "linux":
        linux_calls.drop_capabilities()  # root could raise its limits again
    if limits.mode != "off":
        _restrict(strict=limits.mode == "require")


def user_tasks() -> int:
    """How many tasks this user has now, for RLIMIT_NPROC."""
    own_uid, tasks = os.getuid(), 0
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == own_uid:
                tasks += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue  # it ended meanwhile, or may not be read
    return tasks


@lru_cache(maxsize=1)
def readable_directories() -> tuple[str, ...]:
    """The directories of the interpreter's and the system's libraries, none of them below another."""
    directories = {os.path.realpath(directory) for directory in _library_directories()}
    topmost = (path for path in directories if directories.isdisjoint(map(str, Path(path).parents)))
    return tuple(sorted(directory for directory in topmost if os.path.isdir(directory)))


def _restrict(*, strict: bool) -> None:
    """Apply Landlock and seccomp for good. ``strict``: raise OSError if one is not available, else do without it."""
    for restriction in (partial(landlock.restrict, readable_directories()), seccomp.install):
        try:
            if sys.platform != "linux":
                raise OSError(f"there is neither Landlock nor seccomp on {platform.system()}")
            restriction()
        except OSError:
            if strict:
                raise


def _library_directories() -> Iterator[str]:
    yield from _SYSTEM_LIBRARIES
    for base in ({}, {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}):
        for name in ("stdlib", "platstdlib", "purelib", "platlib"):
            yield sysconfig.get_path(name, vars=base)
    yield from (entry for entry in sys.path if os.path.basename(entry) in _PACKAGE_DIRECTORIES)
    # Shared libraries of the interpreter, if it is not installed in /usr.
    yield os.path.join(sys.base_prefix, "lib")
    yield os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))
