"""What a child gives up before it looks at a file: the one place where its powers are taken away."""

from __future__ import annotations

import os
import resource
import signal
import sys
from dataclasses import dataclass
from typing import Literal

from windlass.processing.sandbox import system, walls

OPEN_FILES = 64

#: Tasks that this user may have beyond those there are already. The kernel counts a user's tasks, not a process's, so
#: this cannot be tight: it ends a fork bomb, and leaves room for the libraries' own few threads.
MORE_TASKS = 1024

#: ``require``: no step runs where a wall is missing; ``best-effort``: with the walls that can be had; ``off``: without.
Mode = Literal["require", "best-effort", "off"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one child: address space and output in bytes, time in seconds; and the walls around it."""

    memory: int
    seconds: float
    output: int = 64 * 1024 * 1024
    mode: Mode = "best-effort"


def harden(limits: Limits, parent: int, tasks: int) -> None:
    """Called in the child, after its files are in place (the one to look at is descriptor 3) and before the step.

    Raises OSError. ``parent`` is the process to die with; ``tasks``: see ``user_tasks``. Session, privileges and
    limits first; then the file system and the system calls, which leave no way to change anything of it.
    """
    os.setsid()
    if sys.platform == "linux":
        system.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            raise ProcessLookupError("the parent died before this could be bound to it")
        system.forgo_new_privileges()
        system.refuse_tracing()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_FSIZE, limits.output)
    _limit(resource.RLIMIT_NPROC, tasks + MORE_TASKS)
    # The worker's clock ends a step that takes too long; this ends one that nobody can end any more.
    _limit(resource.RLIMIT_CPU, 2 * int(limits.seconds) + 2)
    _limit(resource.RLIMIT_AS, limits.memory)
    if sys.platform == "linux":
        system.drop_capabilities()  # root could raise its limits again
    if limits.mode != "off":
        walls.close(strict=limits.mode == "require")


def adopt_orphans() -> None:
    """What a child leaves behind becomes the caller's own child, so that it can be found and killed."""
    if sys.platform == "linux":
        system.adopt_orphans()


def own_children() -> list[int]:
    """Process ids of the caller's children, dead ones included. Linux only; elsewhere nothing."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as listed:
            return [int(word) for word in listed.read().split()]
    except OSError:
        return []


def user_tasks() -> int:
    """How many tasks this user has now, for RLIMIT_NPROC."""
    me, tasks = os.getuid(), 0
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == me:
                tasks += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue  # it ended meanwhile, or is not ours to look into
    return tasks


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))
