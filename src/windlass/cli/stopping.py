"""Commands that work for long, and end when they are asked to: between two blocks, with what has been done by then."""

from __future__ import annotations

import signal
import threading
from types import FrameType

#: The exit code after Ctrl-C, as shells have it.
INTERRUPTED = 130


def stopped_by_signals() -> threading.Event:
    """Set by Ctrl-C or SIGTERM. A second Ctrl-C ends the command where it is."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop
