"""The parent: fork a child per request, kill it when the worker closes its channel, report how it ended.

It holds no secrets, parses nothing but the files of ``warm_up_samples``, and starts no thread, nor lets a library start
one: a fork would copy the threads' locks without the threads. It leads a session without a terminal, in which each
child has a process group. It ends when the worker's end of its socket is closed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, NoReturn

from windlass.kernel.memory_allocator import release_freed_memory
from windlass.kernel.scheduler_autogroup import lower_own_session
from windlass.processing.contract import Prepared
from windlass.processing.registry import installed, missing
from windlass.processing.sandbox import child, linux_calls, lockdown
from windlass.processing.sandbox.channel import Message, Receiver, pack
from windlass.processing.sandbox.lockdown import Limits
from windlass.processing.sandbox.prepared_child import PreparedChild


class Parent:
    """``children``: by process id, the socket to the worker that the child does not have.

    ``usual``: the limits of the child that is prepared ahead of the next file; None: there is none.
    """

    def __init__(self, control: socket.socket, usual: Limits | None = None) -> None:
        self.control = Receiver(control)
        self.children: dict[int, socket.socket] = {}
        self.selector = selectors.DefaultSelector()
        self.pid, self.tasks = os.getpid(), lockdown.user_tasks()
        self.prepared = PreparedChild(usual, self.pid, self.tasks)
        self._watch_children()
        self.selector.register(control, selectors.EVENT_READ, self._take_requests)

    def serve(self) -> None:
        """Serve requests until the worker closes its socket; then kill all children."""
        self.alive = True
        self.prepared.prepare()
        try:
            while self.alive:
                for key, _ in self.selector.select():
                    key.data()
        finally:
            self.prepared.kill()
            for pid in self.children:
                _kill(pid)

    def _watch_children(self) -> None:
        wake, woken = socket.socketpair()
        wake.setblocking(False)
        woken.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wake = wake  # must stay open while the process lives

        def child_ended() -> None:
            with contextlib.suppress(BlockingIOError):
                while woken.recv(4096):
                    pass
            self._reap()

        self.selector.register(woken, selectors.EVENT_READ, child_ended)

    def _take_requests(self) -> None:
        requests = self.control.receive()
        if requests is None:
            self.alive = False
            return
        for request, files in requests:
            self._start_child(request, files)

    def _start_child(self, request: Message, files: list[int]) -> None:
        """``files``: the status socket, and the child's files. The child keeps no copy of the first."""
        status = socket.socket(fileno=files[0])
        try:
            pid = self._child_for(Limits(**request["limits"]), files[1:])
        except OSError as error:
            _report_status(status, {"error": f"fork: {error.strerror}"})
            status.close()
        else:
            self.children[pid] = status
            self.selector.register(status, selectors.EVENT_READ, lambda: self._kill_abandoned(pid, status))
        finally:
            for number in files[1:]:
                os.close(number)

    def _child_for(self, limits: Limits, files: list[int]) -> int:
        """The process id of a child that has these files. Raises OSError."""
        prepared = self.prepared.give(limits, files)
        if prepared is not None:
            return prepared
        pid = os.fork()
        if pid == 0:
            child.run(limits, files, self.pid, self.tasks)
        return pid

    def _kill_abandoned(self, pid: int, status: socket.socket) -> None:
        """The worker sends nothing on the status socket: it is readable because the worker closed it or died."""
        if self.children.get(pid) is not status:
            return  # the child has just ended and been reaped
        self.selector.unregister(status)
        _kill(pid)

    def _reap(self) -> None:
        while True:
            try:
                pid, wait_status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                break
            if pid == self.prepared.pid:
                self.prepared.forget()
            status = self.children.pop(pid, None)
            if status is not None:
                _kill_group(pid)  # its id is not reused while the group has a process
                self._report(status, wait_status, usage)
                # Now, and not when the file came: its steps and the fork would wait for the same processors.
                self.prepared.prepare()
        for pid in own_children():
            if pid not in self.children and pid != self.prepared.pid:  # left behind by a child in another process group
                _kill(pid)

    def _report(self, status: socket.socket, wait_status: int, usage: Any) -> None:
        with contextlib.suppress(KeyError):
            self.selector.unregister(status)
        ending = {
            "exit": os.waitstatus_to_exitcode(wait_status),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 4),
            "peak_memory": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        }
        _report_status(status, ending)
        status.close()


def _report_status(status: socket.socket, message: Message) -> None:
    """The only message on this socket: it fits the socket's buffer, so sending never blocks."""
    with contextlib.suppress(OSError):  # the worker closed it meanwhile
        status.sendall(pack(message))


def _kill(pid: int) -> None:
    """Kill a process that is not yet reaped, and its group: a child may not have its own group yet."""
    _kill_group(pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def own_children() -> list[int]:
    """Process ids of this process's children, zombies included. Linux only; empty elsewhere."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as listed:
            return [int(word) for word in listed.read().split()]
    except OSError:
        return []


def warm_up(unexpected: Collection[str]) -> None:
    """Import the libraries of isolated steps but those ``unexpected``, and let the steps prepare.

    An error here is logged; the step that needs the library fails later, and records the reason.
    """
    expected = [step for name, step in installed().items() if name not in unexpected]
    isolated = [step for step in expected if step.about.isolated and not missing(step.about)]
    for step in isolated:
        for library in step.about.libraries:
            _try(f"{library} cannot be imported", partial(importlib.import_module, library))
    for step in isolated:
        if isinstance(step, Prepared):
            _try(f"{step.about.name} cannot be prepared", step.prepare)
    gc.collect()
    release_freed_memory()
    gc.freeze()  # children share these pages until they write to them


def _try(failure: str, act: Callable[[], object]) -> None:
    try:
        act()
    except Exception as error:  # noqa: BLE001  a plug-in and its library may fail in any way
        print(f"sandbox: {failure}: {error}", file=sys.stderr)  # noqa: T201


def main() -> NoReturn:
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    if sys.platform == "linux":
        linux_calls.prctl(linux_calls.PR_SET_CHILD_SUBREAPER, 1)
    lower_own_session()  # the worker's niceness would not count beside other sessions
    lockdown.prepare()
    usual = json.loads(sys.argv[2])
    warm_up(sys.argv[3:])
    Parent(control, Limits(**usual) if usual else None).serve()
    sys.exit(0)


if __name__ == "__main__":
    main()
