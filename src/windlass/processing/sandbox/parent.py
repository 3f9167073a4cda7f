"""The parent: warm, without secrets, single-threaded. It forks a child per request, kills it when the worker lets go of
it, and tells how it ended.

It parses nothing but samples of ours and starts no thread, nor lets a library start one: a fork would copy the
threads' locks without the threads. It lives as long as the worker's end of its socket is open.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from windlass.processing.contract import Prepared
from windlass.processing.registry import installed, missing
from windlass.processing.sandbox import child, walls
from windlass.processing.sandbox.hardening import adopt_orphans, own_children, user_tasks
from windlass.processing.sandbox.messages import Message, Receiver, pack


@dataclass(slots=True)
class Running:
    """One child. ``status`` is the channel to the worker that the child does not have."""

    pid: int
    status: socket.socket


class Parent:
    def __init__(self, control: socket.socket) -> None:
        self.control = Receiver(control)
        self.children: dict[int, Running] = {}
        self.selector = selectors.DefaultSelector()
        self.pid, self.tasks = os.getpid(), user_tasks()
        self._watch_for_ends()
        self.selector.register(control, selectors.EVENT_READ, self._take_requests)

    def serve(self) -> None:
        """Until the worker is gone; then nothing of it is left."""
        self.alive = True
        try:
            while self.alive:
                for key, _ in self.selector.select():
                    key.data()
        finally:
            for running in self.children.values():
                _kill(running.pid)

    def _watch_for_ends(self) -> None:
        wake, woken = socket.socketpair()
        wake.setblocking(False)
        woken.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wake = wake  # closed with the process: without it nobody would be woken

        def ended() -> None:
            with contextlib.suppress(BlockingIOError):
                while woken.recv(4096):
                    pass
            self._reap()

        self.selector.register(woken, selectors.EVENT_READ, ended)

    def _take_requests(self) -> None:
        requests = self.control.receive()
        if requests is None:
            self.alive = False
            return
        for request, files in requests:
            self._begin(request, files)

    def _begin(self, request: Message, files: list[int]) -> None:
        """``files``: the status channel, and what goes to the child. The child keeps no copy of the first."""
        status = socket.socket(fileno=files[0])
        try:
            pid = os.fork()
        except OSError as error:
            _tell(status, {"error": f"fork: {error.strerror}"})
            status.close()
        else:
            if pid == 0:
                child.run(request, files[1:], self.pid, self.tasks)
            running = Running(pid, status)
            self.children[pid] = running
            self.selector.register(status, selectors.EVENT_READ, lambda: self._hang_up(running))
        finally:
            for number in files[1:]:
                os.close(number)

    def _hang_up(self, running: Running) -> None:
        """The worker says nothing on this channel: it is readable because the worker let go, or died."""
        if running.pid not in self.children:
            return  # it ended in the same moment, and has just been reaped
        self.selector.unregister(running.status)
        _kill(running.pid)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                break
            running = self.children.pop(pid, None)
            if running is not None:
                _kill_group(pid)  # its number stays taken while anything of the group lives
                self._report(running, status, usage)
        for pid in own_children():
            if pid not in self.children:  # left behind by a child, in a session of its own
                _kill(pid)

    def _report(self, running: Running, status: int, usage: Any) -> None:
        with contextlib.suppress(KeyError):
            self.selector.unregister(running.status)
        _tell(
            running.status,
            {
                "exit": os.waitstatus_to_exitcode(status),
                "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 4),
                "peak_memory": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            },
        )
        running.status.close()


def _tell(status: socket.socket, message: Message) -> None:
    """The only message ever sent here: it fits the socket's buffer, so this never waits."""
    with contextlib.suppress(OSError):  # the worker let go meanwhile
        status.sendall(pack(message))


def _kill(pid: int) -> None:
    """A process that has not been reaped, and its group: a child may not have got to its own yet."""
    _kill_group(pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def preload(unready: Collection[str]) -> None:
    """Import what isolated steps use, but for those named, and let them prepare. What fails here fails in its step,
    where the reason is recorded; a step that is owed for want of its library is not tried at all."""
    ready = [step for name, step in installed().items() if name not in unready]
    isolated = [step for step in ready if step.about.isolated and not missing(step.about)]
    for step in isolated:
        for library in step.about.libraries:
            _try(f"{library} cannot be imported", partial(importlib.import_module, library))
    for step in isolated:
        if isinstance(step, Prepared):
            _try(f"{step.about.name} cannot be prepared", step.prepare)
    gc.collect()
    gc.freeze()  # children share these pages until they write to them


def _try(failure: str, act: Callable[[], object]) -> None:
    try:
        act()
    except Exception as error:  # noqa: BLE001  a plug-in and its library may fail in any way
        print(f"sandbox: {failure}: {error}", file=sys.stderr)  # noqa: T201


def main() -> NoReturn:
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    adopt_orphans()
    walls.prepare()
    preload(sys.argv[2:])
    Parent(control).serve()
    sys.exit(0)
