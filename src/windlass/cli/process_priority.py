"""The priority of workers: below that of the processes that answer clients (docs/decisions/0087-worker-priority.md)."""

from __future__ import annotations

import os
import platform
from contextlib import suppress

from windlass.kernel.scheduler_autogroup import lower_own_session
from windlass.processing.sandbox import linux_calls

# ioprio_set(2)
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_BEST_EFFORT, _IOPRIO_CLASS_SHIFT, _LOWEST = 2, 13, 7


def lower_priority(nice: int) -> None:
    """Add ``nice`` to the niceness of this process, and give its disk accesses the lowest best-effort priority.

    0 changes nothing. Call it before threads and child processes are started: they inherit both. A process that leads
    its session, as one of a service manager does, lowers the session too. Disk priorities exist on Linux, for I/O
    schedulers that know them (such as BFQ).
    """
    if not nice:
        return
    os.nice(nice)
    lower_own_session()
    if platform.machine() in linux_calls.MACHINES and platform.system() == "Linux":
        number = linux_calls.numbers(platform.machine())["ioprio_set"]
        priority = _IOPRIO_CLASS_BEST_EFFORT << _IOPRIO_CLASS_SHIFT | _LOWEST
        with suppress(OSError):  # a container may forbid it
            linux_calls.call(number, _IOPRIO_WHO_PROCESS, 0, priority)
