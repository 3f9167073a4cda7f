"""A child that is forked and locked down before there is a file for it, so that the file does not wait for that.

It is a child like any other: it gets one file, and ends with it (docs/decisions/0135-prepared-child.md).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from windlass.processing.sandbox import child
from windlass.processing.sandbox.lockdown import Limits


@dataclass(slots=True)
class PreparedChild:
    """At most one child that waits for a file. ``pid`` is None while there is none.

    ``limits``: those with which it is locked down; None: no child is ever prepared. ``parent`` and ``tasks`` as in
    ``child.run``.
    """

    limits: Limits | None
    parent: int
    tasks: int
    pid: int | None = None
    _control: socket.socket | None = field(default=None)

    def prepare(self) -> None:
        """Fork one if there is none. If that fails, the next file gets a child of its own as ever."""
        if self.limits is None or self.pid is not None:
            return
        control, child_end = socket.socketpair()
        with child_end:
            try:
                pid = os.fork()
            except OSError:
                control.close()
                return
            if pid == 0:
                child.wait_and_run(self.limits, child_end.fileno(), self.parent, self.tasks)
        self.pid, self._control = pid, control

    def give(self, limits: Limits, files: Sequence[int]) -> int | None:
        """Give the child its files; return its process id, or None if there is none with these limits."""
        pid, control = self.pid, self._control
        if pid is None or control is None or limits != self.limits:
            return None
        self.forget()
        with control:
            return pid if _is_waiting(control) and _send(control, files) else None

    def forget(self) -> None:
        """Give up the handle to a child that has a file now, or has ended."""
        self.pid = self._control = None

    def kill(self) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def _is_waiting(control: socket.socket) -> bool:
    """Whether the child has its end open. It sends nothing."""
    try:
        control.recv(1, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _send(control: socket.socket, files: Sequence[int]) -> bool:
    try:
        socket.send_fds(control, [b"\0"], list(files))
    except OSError:
        return False
    return True
