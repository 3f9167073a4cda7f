"""The pipe between the supervisor and each of its processes.

The supervisor writes one byte when the process may start its work, and never closes its end. End of file on the pipe
therefore means that the supervisor is gone, however it died, on every Unix.
"""

from __future__ import annotations

import os
import signal
import threading

#: Seconds that a process without its supervisor may take to drain. The supervisor gives its processes the same time.
DRAIN_SECONDS = 30.0


class ProcessEnd:
    """The end that a supervised process holds. Without a descriptor the process runs alone, and nothing happens."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def wait_for_start(self) -> None:
        """Block until the supervisor says start. Afterwards the process drains when the supervisor dies."""
        if self._descriptor is None:
            return
        if not os.read(self._descriptor, 1):
            raise SystemExit(0)
        threading.Thread(
            target=self._stop_with_supervisor, args=(self._descriptor,), name="windlass-supervisor-pipe", daemon=True
        ).start()

    @staticmethod
    def _stop_with_supervisor(descriptor: int) -> None:
        os.read(descriptor, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(DRAIN_SECONDS)
        os._exit(1)


class SupervisorEnd:
    """The end that the supervisor holds, one for each process."""

    def __init__(self) -> None:
        #: The descriptor that the process inherits.
        self.descriptor, self._write_end = os.pipe()
        os.set_inheritable(self.descriptor, True)

    def process_started(self) -> None:
        """Close the supervisor's copy of the descriptor that the process has inherited."""
        os.close(self.descriptor)

    def allow_start(self) -> None:
        """Let the process start its work. Does nothing if the process is dead already."""
        try:
            os.write(self._write_end, b".")
        except BrokenPipeError:
            return

    def close(self) -> None:
        os.close(self._write_end)
