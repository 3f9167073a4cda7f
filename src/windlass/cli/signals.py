"""Stop requests: SIGTERM, SIGINT (Ctrl-C) and SIGHUP.

Python runs a signal handler between two steps of the main thread. The main thread may hold a lock that the handler
would wait for, and a second signal interrupts the handler of the first. So the handler only writes one byte to a pipe;
a thread reads the pipe and acts.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

#: The exit code after Ctrl-C, as shells have it.
INTERRUPTED = 130
#: Signals that arrive within this many seconds are one request: make forwards the signal that its group has received.
SAME_REQUEST_SECONDS = 0.25
#: Seconds that a process may go on flushing after the second request.
SECOND_REQUEST_SECONDS = 3.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

#: Called with the number of stop requests so far.
Action = Callable[[int], None]


def exit_at_once(count: int) -> None:
    """End this process without cleaning up. For a process that has started no work yet."""
    os._exit(0)


class StopRequests:
    """The stop requests that this process has received. Create it in the main thread.

    ``requested`` is set by the first request, ``count`` is their number. ``action`` is called for each request, in a
    thread of its own, and must not block; it may be replaced.
    """

    def __init__(self, action: Action) -> None:
        self.requested = threading.Event()
        self.count = 0
        self.action = action
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        for number in _SIGNALS:
            signal.signal(number, self.handle_signal)
        atexit.register(_ignore_signals)
        threading.Thread(target=self._run, name="windlass-signals", daemon=True).start()

    def handle_signal(self, number: int, frame: FrameType | None) -> None:
        with suppress(BlockingIOError):  # the pipe is full of requests
            os.write(self._write_end, b".")

    def _run(self) -> None:
        last_request_at = float("-inf")
        while os.read(self._read_end, 4096):
            now = time.monotonic()
            if now - last_request_at < SAME_REQUEST_SECONDS:
                continue
            last_request_at = now
            self.count += 1
            self.requested.set()
            self.action(self.count)


def _ignore_signals() -> None:
    """From here on the process ends by itself. Python would put the default actions back, and a second request would
    turn its exit code into that of a killed process."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def drain_action(stop: Callable[[], None], *, within: float | None = None) -> Action:
    """Return the action of a server process.

    The first request calls ``stop`` and lets the process finish, for ``within`` seconds at most. The second request
    ends it after ``SECOND_REQUEST_SECONDS``, the third at once.
    """

    def act(count: int) -> None:
        if count == 1:
            stop()
            if within is not None:
                _exit_after(within, 0)
        elif count == 2:
            _exit_after(SECOND_REQUEST_SECONDS, 1)
        else:
            os._exit(1)

    return act


def _exit_after(seconds: float, code: int) -> None:
    timer = threading.Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()


def stop_event() -> threading.Event:
    """Return an event that Ctrl-C or SIGTERM sets, for a command that checks it between blocks of work.

    A second request ends the command at once.
    """
    return StopRequests(_exit_on_second_request).requested


def _exit_on_second_request(count: int) -> None:
    if count > 1:
        os._exit(INTERRUPTED)
