"""Standard input as a file object whose reading can be stopped: a producer may send nothing for hours."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Any


class StandardInput(io.RawIOBase):
    """Reads in one thread until another thread calls ``stop``; then reading raises InterruptedError."""

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno()
        self._stopped, self._stop = os.pipe()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        ready, _, _ = select.select([self._descriptor, self._stopped], [], [])
        if self._stopped in ready:
            raise InterruptedError("reading standard input was stopped")
        block = os.read(self._descriptor, len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def stop(self) -> None:
        os.write(self._stop, b".")
