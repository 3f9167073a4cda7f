"""Starts a few programs, keeps them running, and ends them together."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from windlass.cli.lifeline import DRAIN_SECONDS, LifelineOf
from windlass.cli.refusal import REFUSED
from windlass.cli.stopping import HASTE_SECONDS, StopRequests

#: A program that ran this long has started well; its next restart is immediate.
STEADY_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 15.0
#: A program that dies this often without ever having run well ends the server, if the server was never ready.
HOPELESS = 3
LOOK_SECONDS = 0.05
#: Requests to stop after which the processes are killed.
KILL_AT = 3
#: What is not needed for the first answer waits for it, so as not to slow it down; but not for ever.
LATE_SECONDS = 3.0


@dataclass
class Program:
    """``windlass <arguments>``. ``handles`` are descriptors it inherits; an ``early`` one starts before its time comes
    and waits at its lifeline, so that its imports overlap with the preparation."""

    name: str
    arguments: Sequence[str]
    handles: tuple[int, ...] = ()
    early: bool = False
    process: subprocess.Popen[bytes] | None = None
    lifeline: LifelineOf | None = None
    started_at: float = 0.0
    deaths: int = 0
    start_at: float = 0.0
    released: bool = False

    def start(self, lock: int, *, release: bool) -> None:
        lifeline = LifelineOf()
        command = [sys.executable, "-m", "windlass", *self.arguments]
        if self.name != "migrate":
            command += ["--lifeline", str(lifeline.descriptor)]
        # A group of its own: Ctrl-C in a terminal reaches the supervisor only, which ends the others in order.
        self.process = subprocess.Popen(command, pass_fds=(lifeline.descriptor, lock, *self.handles), process_group=0)
        lifeline.started()
        self.lifeline, self.started_at, self.released = lifeline, time.monotonic(), False
        if release:
            self.release()

    def release(self) -> None:
        if self.lifeline is not None and not self.released:
            self.released = True
            self.lifeline.begin()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait(self) -> None:
        if self.process is not None:
            self.process.wait()

    def died(self) -> int | None:
        """The exit code of a process that has just ended, else None. Sets when to start it again."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        if self.lifeline is not None:
            self.lifeline.close()
        self.process = self.lifeline = None
        moment = time.monotonic()
        self.deaths = 1 if moment - self.started_at > STEADY_SECONDS else self.deaths + 1
        self.start_at = moment + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self.deaths - 1))
        return code


class Supervisor:
    """``run`` prepares, starts the programs, says when the first answers, and returns the exit code."""

    def __init__(
        self,
        *,
        preparation: Program,
        programs: Sequence[Program],
        url: str,
        door: socket.socket,
        lock: int,
        stopping: StopRequests,
    ) -> None:
        self._preparation = preparation
        self._programs = programs
        self._url = url
        self._door = door
        self._lock = lock
        self._ready = threading.Event()
        #: How often this process was asked to stop.
        self._asked = 0
        self._ending = stopping.requested
        stopping.then(self._ask)

    def run(self) -> int:
        try:
            return self._prepare() or self._keep_running()
        finally:
            self._drain()

    def _ask(self, count: int) -> None:
        self._asked = count

    def _prepare(self) -> int:
        """Run the preparation while early programs start. Its exit code, unless it is told to end meanwhile."""
        self._preparation.start(self._lock, release=True)
        for program in self._programs:
            if program.early:
                program.start(self._lock, release=False)
        while not self._ending.wait(LOOK_SECONDS / 5):
            code = self._preparation.died()
            if code is not None:
                return code
        return 0

    def _keep_running(self) -> int:
        for program in self._programs:
            program.release()
            program.start_at = time.monotonic() + LATE_SECONDS
        threading.Thread(target=self._announce, daemon=True).start()
        while not self._ending.wait(LOOK_SECONDS):
            for program in self._programs:
                code = program.died()
                if code is not None and self._is_final(program, code):
                    return code if code > 0 else 1
                if program.process is None and time.monotonic() >= program.start_at:
                    program.start(self._lock, release=True)
        return 0

    def _is_final(self, program: Program, code: int) -> bool:
        if self._ending.is_set():
            return False
        if code == REFUSED:  # it has said why, and would say it again
            return True
        pause = max(0.0, program.start_at - time.monotonic())
        _log().error("process.died", name=program.name, code=code, again_in=round(pause, 1))
        return program.deaths >= HOPELESS and not self._ready.is_set()

    def _announce(self) -> None:
        """The socket takes connections before the web process does, so one request waits for the first answer."""
        import http.client  # its e-mail parsing may load while the programs do

        where = urlsplit(self._url)
        while not self._ending.is_set():
            connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
            try:
                connection.request("GET", "/livez")
                if connection.getresponse().status == http.client.OK:
                    break
            except (OSError, http.client.HTTPException):
                pass  # it died before it answered; its successor will
            finally:
                connection.close()
            time.sleep(LOOK_SECONDS)
        else:
            return
        self._ready.set()
        for program in self._programs:
            if not program.started_at:
                program.start_at = 0.0
        print(f"Windlass is ready at {self._url}", flush=True)  # noqa: T201  the one line that scripts wait for

    def _drain(self) -> None:
        """End every process: ask and wait. Asked again to stop, pass that on and wait less; the third time, kill."""
        self._ending.set()
        self._door.close()  # or clients would go on connecting to nobody
        running = [p for p in (self._preparation, *self._programs) if p.process is not None]
        for program in running:
            program.release()  # one that still waits for its time cannot hear the signal's reason otherwise
        asked = max(self._asked, 1)
        self._signal(running, signal.SIGTERM)
        deadline = time.monotonic() + DRAIN_SECONDS
        while running := [program for program in running if program.is_running]:
            if self._asked > asked:
                asked = self._asked
                self._signal(running, signal.SIGTERM)
                deadline = min(deadline, time.monotonic() + HASTE_SECONDS)
            if asked >= KILL_AT or time.monotonic() > deadline:
                _log().warning("process.killed", names=", ".join(program.name for program in running))
                self._signal(running, signal.SIGKILL)
                for program in running:
                    program.wait()
                return
            time.sleep(LOOK_SECONDS / 2)

    @staticmethod
    def _signal(programs: Sequence[Program], number: signal.Signals) -> None:
        for program in programs:
            if program.process is not None:
                program.process.send_signal(number)


@lru_cache(maxsize=1)
def _log() -> Any:
    """Loaded when first needed: the programs' start does not wait for it."""
    import structlog

    from windlass.operations import logging

    logging.configure("serve")
    return structlog.get_logger(__name__)
