"""Start and end what a process tells others of itself: traces and error reports."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from windlass.operations import error_reporting, tracing

#: Seconds that the end of a process waits at most until what is left is sent.
SEND_SECONDS = 2.0

_senders: list[Callable[[], None]] = []


def start(process: str) -> None:
    """Call it after ``logging.configure``, once per process. Raises BadSetting."""
    _senders[:] = [tracing.start(process), error_reporting.start(process)]


def stop() -> None:
    """Send what is left, for SEND_SECONDS at most."""
    threads = [threading.Thread(target=send, name="windlass-telemetry", daemon=True) for send in _senders]
    _senders.clear()
    deadline = monotonic() + SEND_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
