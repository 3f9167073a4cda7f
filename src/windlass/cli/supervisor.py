"""Start a few programs, restart those that die, and end them together.

A pipe connects the supervisor with each of its processes. It writes one byte when the process may start its work, and
never closes its end. End of file on the pipe therefore means that the supervisor is gone, however it died, on every
Unix.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from windlass.cli.errors import USAGE_ERROR
from windlass.cli.signals import SECOND_REQUEST_SECONDS, StopRequests

#: Seconds that a process without its supervisor may take to drain. The supervisor gives its processes the same time.
DRAIN_SECONDS = 30.0
#: A program that ran for this long has started successfully; its next restart is immediate.
STEADY_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 15.0
#: If the server was never ready, a program that dies this often without becoming steady ends it.
MAX_START_FAILURES = 3
POLL_SECONDS = 0.05
#: Stop requests after which the processes are killed.
KILL_AT_REQUEST = 3
#: Programs that the first response does not need start after it, or after this time, so as not to delay it.
DELAYED_START_SECONDS = 3.0


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
        with suppress(BrokenPipeError):
            os.write(self._write_end, b".")

    def close(self) -> None:
        os.close(self._write_end)


@dataclass
class Program:
    """``windlass <arguments>`` as a child process. Programs of one ``role`` are counted together.

    ``descriptors`` are inherited. A program that ``starts_early`` is started during the preparation and waits at its
    supervisor pipe, so that its imports overlap with the preparation.
    """

    name: str
    role: str
    arguments: Sequence[str]
    descriptors: tuple[int, ...] = ()
    starts_early: bool = False
    process: subprocess.Popen[bytes] | None = None
    pipe: SupervisorEnd | None = None
    started_at: float = 0.0
    failures: int = 0
    restart_at: float = 0.0
    is_allowed_to_start: bool = False

    def start(self, lock: int, *, allow_start: bool) -> None:
        pipe = SupervisorEnd()
        command = [sys.executable, "-m", "windlass", *self.arguments]
        if self.role != "migrate":
            command += ["--supervisor-pipe", str(pipe.descriptor)]
        # In a process group of its own, so that Ctrl-C reaches only the supervisor, which ends the others in order.
        self.process = subprocess.Popen(command, pass_fds=(pipe.descriptor, lock, *self.descriptors), process_group=0)
        pipe.process_started()
        self.pipe, self.started_at, self.is_allowed_to_start = pipe, time.monotonic(), False
        if allow_start:
            self.allow_start()

    def allow_start(self) -> None:
        if self.pipe is not None and not self.is_allowed_to_start:
            self.is_allowed_to_start = True
            self.pipe.allow_start()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def collect_exit(self) -> int | None:
        """Return the exit code if the process has just ended, else None. Sets the time of its restart."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        if self.pipe is not None:
            self.pipe.close()
        self.process = self.pipe = None
        now = time.monotonic()
        self.failures = 1 if now - self.started_at > STEADY_SECONDS else self.failures + 1
        self.restart_at = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self.failures - 1))
        return code


class Supervisor:
    """Runs the preparation and the programs. ``run`` returns the exit code of the server."""

    def __init__(
        self,
        *,
        preparation: Program | None,
        programs: Sequence[Program],
        url: str,
        listener: socket.socket,
        lock: int,
        stop_requests: StopRequests,
        notice: Callable[[], str] = str,
    ) -> None:
        """``preparation`` is None if there is nothing to prepare. ``notice`` returns a text that is printed when the
        server is ready, or an empty one."""
        self._preparation = preparation
        self._programs = programs
        self._url = url
        self._listener = listener
        self._lock = lock
        self._ready = threading.Event()
        self._notice = notice
        self._stop_requests = stop_requests
        self._ending = stop_requests.requested
        stop_requests.action = lambda count: None  # the loops below look at the requests

    def run(self) -> int:
        try:
            return self._prepare() or self._keep_running()
        finally:
            self._drain()

    def _prepare(self) -> int:
        """Run the preparation while early programs start. Return its exit code; 0 after a stop request."""
        if self._preparation is not None:
            self._preparation.start(self._lock, allow_start=True)
        for program in self._programs:
            if program.starts_early:
                program.start(self._lock, allow_start=self._preparation is None)
        while self._preparation is not None and not self._ending.wait(POLL_SECONDS / 5):
            code = self._preparation.collect_exit()
            if code is not None:
                return code
        return 0

    def _keep_running(self) -> int:
        for program in self._programs:
            program.allow_start()
            program.restart_at = time.monotonic() + DELAYED_START_SECONDS
        threading.Thread(target=self._announce, daemon=True).start()
        while not self._ending.wait(POLL_SECONDS):
            for program in self._programs:
                code = program.collect_exit()
                if code is not None and self._is_final(program, code):
                    return code if code > 0 else 1
                if program.process is None and time.monotonic() >= program.restart_at:
                    program.start(self._lock, allow_start=True)
        return 0

    def _is_final(self, program: Program, code: int) -> bool:
        if self._ending.is_set():
            return False
        if code == USAGE_ERROR:  # it has printed the reason, and would fail again
            return True
        _counters().process_restarts.add(1, program.role)
        pause = max(0.0, program.restart_at - time.monotonic())
        _log().error("process.died", name=program.name, code=code, again_in=round(pause, 1))
        return program.failures >= MAX_START_FAILURES and not self._ready.is_set()

    def _announce(self) -> None:
        """Print that the server is ready once it answers one request. The socket accepts connections before that."""
        import http.client  # imported here: it is slow, and loads while the programs do

        where = urlsplit(self._url)
        while not self._ending.is_set():
            connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
            try:
                connection.request("GET", "/livez")
                if connection.getresponse().status == http.client.OK:
                    break
            except (OSError, http.client.HTTPException):
                pass  # the web process died before it answered; it is restarted
            finally:
                connection.close()
            time.sleep(POLL_SECONDS)
        else:
            return
        self._ready.set()
        for program in self._programs:
            if not program.started_at:
                program.restart_at = 0.0
        if notice := self._notice():
            print(notice)  # noqa: T201  for the person who started it
        print(f"Windlass is ready at {self._url}", flush=True)  # noqa: T201  the one line that scripts wait for

    def _drain(self) -> None:
        """Send SIGTERM to every process and wait. A second stop request is passed on and waits less; a third kills."""
        self._ending.set()
        self._listener.close()  # refuse new connections
        programs = [*([self._preparation] if self._preparation is not None else []), *self._programs]
        running = [program for program in programs if program.process is not None]
        for program in running:
            program.allow_start()  # a program that still waits at its pipe does not act on the signal
        handled = max(self._stop_requests.count, 1)
        self._signal(running, signal.SIGTERM)
        deadline = time.monotonic() + DRAIN_SECONDS
        while running := [program for program in running if program.is_running]:
            if self._stop_requests.count > handled:
                handled = self._stop_requests.count
                self._signal(running, signal.SIGTERM)
                deadline = min(deadline, time.monotonic() + SECOND_REQUEST_SECONDS)
            if handled >= KILL_AT_REQUEST or time.monotonic() > deadline:
                _log().warning("process.killed", names=", ".join(program.name for program in running))
                self._signal(running, signal.SIGKILL)
                for program in running:
                    if program.process is not None:
                        program.process.wait()
                return
            time.sleep(POLL_SECONDS / 2)

    @staticmethod
    def _signal(programs: Sequence[Program], number: signal.Signals) -> None:
        for program in programs:
            if program.process is not None:
                program.process.send_signal(number)


@lru_cache(maxsize=1)
def _counters() -> ModuleType:
    """The counters of this process, which others show. Imported when they are first needed, as in ``_log``."""
    from windlass.kernel import process_counters
    from windlass.operations.shared_counters import share_counters

    share_counters("serve")
    return process_counters


@lru_cache(maxsize=1)
def _log() -> Any:
    """Import structlog when it is first needed, so that the programs start without waiting for it."""
    import structlog

    from windlass.operations import logging

    logging.configure("serve")
    return structlog.get_logger(__name__)
