"""Notifications within one process."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Listeners:
    """Functions to call at each notification. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: set[Callable[[], None]] = set()

    def add(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` at each ``notify``, from any thread. Returns a function that stops that."""
        with self._lock:
            self._listeners.add(listener)

        def stop() -> None:
            with self._lock:
                self._listeners.discard(listener)

        return stop

    def notify(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener()
