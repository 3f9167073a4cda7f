"""A losable "look now" for readers in this process. Readers elsewhere find the same rows by polling."""

from __future__ import annotations

import threading
from collections.abc import Callable

_lock = threading.Lock()
_listeners: set[Callable[[], None]] = set()


def ring() -> None:
    with _lock:
        listeners = list(_listeners)
    for listener in listeners:
        listener()


def listen(listener: Callable[[], None]) -> Callable[[], None]:
    """Call ``listener`` (from any thread) whenever events were committed here. Returns the way to stop."""
    with _lock:
        _listeners.add(listener)

    def stop() -> None:
        with _lock:
            _listeners.discard(listener)

    return stop
