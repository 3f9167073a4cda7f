"""Starting and stopping the parent process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterable

#: How glibc's malloc keeps memory, in bytes. A child lives for one file: what it gives back to the kernel is faulted in
#: anew a moment later, page by page, and huge pages (where the system lets programs ask for them) are one fault each.
_MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(4 * 2**20),
    "MALLOC_TOP_PAD_": str(4 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}

#: All that the parent finds in its environment besides PYTHONPATH. libvips refuses loaders that are not meant for
#: hostile files, and its threads and glibc's arenas are few: both count against a child's address space. ONNX Runtime
#: would report to its makers from its import on.
ENVIRONMENT = _MALLOC | {
    "LANG": "C.UTF-8",
    "VIPS_BLOCK_UNTRUSTED": "1",
    "VIPS_CONCURRENCY": "1",
    "OMP_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}

#: Seconds in which a parent whose socket is closed ends by itself.
ENDS_WITHIN = 2.0


def library_path() -> str:
    """Where this process finds its modules, for one that is to find the same."""
    return os.pathsep.join(entry for entry in sys.path if entry)


def launch(patience: float, unready: Iterable[str]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """The process and our end of its socket, on which a send waits ``patience`` seconds at most.

    It gets no descriptor but the other end, no directory of ours, no terminal, and a session of its own. Its errors
    go where ours go: it is our code, and its children have no such descriptor. What the steps named ``unready`` need is
    not imported ahead: every library makes each fork dearer.
    """
    control, theirs = socket.socketpair()
    control.settimeout(patience)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-s", "-m", "windlass.processing.sandbox", str(theirs.fileno()), *unready],
            env={**ENVIRONMENT, "PYTHONPATH": library_path()},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    return process, control


def stop(process: subprocess.Popen[bytes], control: socket.socket) -> None:
    """The parent kills its children when it finds its socket closed, and ends; a parent that hangs is killed."""
    control.close()
    try:
        process.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
