"""The resident memory of a server's process while a test runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import psutil


class Watch:
    """Samples the resident memory (bytes) of a process continuously."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)
        self._over = threading.Event()
        self.peak = 0

    def now(self) -> int:
        return int(self.process.memory_info().rss)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            self.peak = max(self.peak, self.now())
