"""The pipe between a supervisor and each of its processes.

The supervisor writes one byte when the process may begin, and never closes its end: the end of the pipe means that
the supervisor is gone, however it died, on every Unix.
"""

from __future__ import annotations

import os
import signal
import threading

#: How long a process without its supervisor may take to drain. The supervisor allows its processes as much.
DRAIN_SECONDS = 30.0


class Lifeline:
    """A process's end. Without a descriptor the process is on its own, and nothing here does anything."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def hold(self) -> None:
        """Wait for leave to begin; from then on, drain when the supervisor dies."""
        if self._descriptor is None:
            return
        if not os.read(self._descriptor, 1):
            raise SystemExit(0)
        threading.Thread(target=self._watch, args=(self._descriptor,), name="windlass-lifeline", daemon=True).start()

    @staticmethod
    def _watch(descriptor: int) -> None:
        os.read(descriptor, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(DRAIN_SECONDS)
        os._exit(1)


class LifelineOf:
    """The supervisor's end for one process."""

    def __init__(self) -> None:
        self.descriptor, self._ours = os.pipe()
        os.set_inheritable(self.descriptor, True)

    def started(self) -> None:
        """The process has its end; drop ours of it."""
        os.close(self.descriptor)

    def begin(self) -> None:
        """Give leave to begin. A process that is dead already does not mind."""
        try:
            os.write(self._ours, b".")
        except BrokenPipeError:
            return

    def close(self) -> None:
        os.close(self._ours)
