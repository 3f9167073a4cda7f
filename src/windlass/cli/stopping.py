"""Requests to stop: SIGTERM, Ctrl-C, and the end of a terminal.

Python runs a signal's handler between two steps of the main thread, which may hold a lock that the handler would wait
for; a second signal interrupts the first one's handler. So the handler writes one byte to a pipe and does nothing
else. A thread reads the pipe and acts.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

#: The exit code after Ctrl-C, as shells have it.
INTERRUPTED = 130
#: Signals this close together are one request: make passes on the signal that its whole process group got.
TOGETHER_SECONDS = 0.25
#: How long a process that was asked a second time goes on flushing.
HASTE_SECONDS = 3.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Action = Callable[[int], None]


def leave_at_once(count: int) -> None:
    """End this process where it is. For one that has begun nothing yet."""
    os._exit(0)


class StopRequests:
    """The requests to stop that this process has got. Make one in the main thread.

    ``requested`` is set by the first request. ``then`` says what to do for each; it is called with the number of
    requests so far, in a thread of its own, and must not block.
    """

    def __init__(self, then: Action) -> None:
        self.requested = threading.Event()
        self._count = 0
        self._then = then
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        for number in _SIGNALS:
            signal.signal(number, self.note)
        threading.Thread(target=self._run, name="windlass-signals", daemon=True).start()

    def then(self, act: Action) -> None:
        """Act like this from now on."""
        self._then = act

    def note(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        with suppress(BlockingIOError):  # full of requests
            os.write(self._write, b".")

    def _run(self) -> None:
        latest = float("-inf")
        while os.read(self._read, 4096):
            moment = time.monotonic()
            if moment - latest < TOGETHER_SECONDS:
                continue
            latest = moment
            self._count += 1
            self.requested.set()
            self._then(self._count)


def drain(stop: Callable[[], None], *, within: float | None = None) -> Action:
    """For a server's process: ``stop`` it and let it finish, for ``within`` seconds at most; asked again, end it soon;
    the third time, at once."""

    def act(count: int) -> None:
        if count == 1:
            stop()
            if within is not None:
                _end_after(within, 0)
        elif count == 2:
            _end_after(HASTE_SECONDS, 1)
        else:
            os._exit(1)

    return act


def _end_after(seconds: float, code: int) -> None:
    timer = threading.Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()


def stopped_by_signals() -> threading.Event:
    """Set by Ctrl-C or SIGTERM, for a command that then ends by itself between two blocks. A second request ends the
    command where it is."""
    return StopRequests(_end_when_asked_again).requested


def _end_when_asked_again(count: int) -> None:
    if count > 1:
        os._exit(INTERRUPTED)
