"""What all writers of a process together hold in memory. Nobody waits for it: who gets none puts its bytes away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Memory:
    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._lock = threading.Lock()
        self._gathered = 0
        self._room = threading.Condition()

    def take(self, size: int) -> bool:
        with self._lock:
            if size > self._free:
                return False
            self._free -= size
            return True

    def give(self, size: int) -> None:
        with self._lock:
            self._free += size

    @property
    def taken(self) -> int:
        return self.size - self._free

    @contextmanager
    def gathering(self, size: int) -> Iterator[None]:
        """Room besides for bytes that are read again, as much as for all others, or for one part if that is larger.

        Waited for, and held for a few requests only, which wait for nobody."""
        with self._room:
            self._room.wait_for(lambda: self._gathered == 0 or self._gathered + size <= self.size)
            self._gathered += size
        try:
            yield
        finally:
            with self._room:
                self._gathered -= size
                self._room.notify_all()
