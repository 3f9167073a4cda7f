"""The worker's side of the sandbox: its parent process, and sessions in which a child runs the steps of one file."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from windlass.kernel import process_counters
from windlass.kernel.clock import monotonic
from windlass.processing.contract import Cancelled, Facts, TransientError
from windlass.processing.sandbox.channel import ChildChannel, Message, ParentGone, send
from windlass.processing.sandbox.exit_status import StepDied, StepFailed, kill_cause, result_or_raise, timed_out
from windlass.processing.sandbox.lockdown import Limits

#: How glibc's malloc keeps memory, in bytes. A child lives for one file: memory that it returns to the kernel is
#: faulted in again a moment later, page by page. A huge page, where programs may request one, is a single fault.
_MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(4 * 2**20),
    "MALLOC_TOP_PAD_": str(4 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}

#: The parent's whole environment besides PYTHONPATH. libvips refuses loaders that are not meant for hostile files. Its
#: threads and glibc's arenas are few, because both count against a child's address space. ONNX Runtime would send
#: telemetry from its import on.
ENVIRONMENT = _MALLOC | {
    "LANG": "C.UTF-8",
    "VIPS_BLOCK_UNTRUSTED": "1",
    "VIPS_CONCURRENCY": "1",
    "OMP_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}

#: Seconds after which a parent that has not answered, and may have had to start first, counts as dead.
RESPONSE_SECONDS = 30.0
#: Seconds between two checks of whether the result is still wanted.
CHECK_INTERVAL = 0.2
#: Orders that one child runs at most: its CPU time is limited for all of them together.
ORDERS_PER_CHILD = 16
#: Seconds within which a parent whose socket is closed ends by itself.
STOP_SECONDS = 2.0


class Sandbox:
    """One parent process, started at first use and again if it has died. Thread-safe."""

    def __init__(self, unexpected: Collection[str] = (), usual: Limits | None = None) -> None:
        """``unexpected``: steps whose libraries are not imported ahead. They can be run all the same.

        ``usual``: the limits of most sessions, for which a child is prepared ahead of the next one.
        """
        self._unexpected = unexpected
        self._usual = usual
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._closed = False

    def start(self) -> None:
        """Start the parent ahead of the first request; it imports its libraries meanwhile."""
        with self._lock:
            self._running_parent()

    def close(self) -> None:
        """End the parent and its children. Later requests fail. Idempotent."""
        with self._lock:
            self._closed = True
            self._drop()

    def forget(self) -> None:
        """Give up the handle in a process that was forked from the worker: the parent belongs to the worker."""
        self._lock = threading.Lock()  # a thread of the worker may hold the old one
        self._closed = True
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.returncode = 0  # so that subprocess does not wait for the worker's child

    def session(self, file: int, output: int | None, limits: Limits) -> closing[Session]:
        """A context with a session over one file. ``file`` and ``output`` are descriptors that must outlive it.

        The file's descriptor must be read-only. ``limits.seconds`` applies to each step.
        """
        return closing(Session(self, file, output, limits))

    def fork(self, file: int, output: int | None, limits: Limits) -> ChildChannel:
        """Fork a child for this file. Raises ParentGone, TransientError."""
        answer, child_end = socket.socketpair()
        status, parent_end = socket.socketpair()
        with child_end, parent_end:
            files = (parent_end.fileno(), file, child_end.fileno(), *([] if output is None else [output]))
            try:
                process = self._request({"limits": asdict(limits), "files": len(files)}, files)
            except BaseException:
                answer.close()
                status.close()
                raise
        return ChildChannel(process, answer, status)

    def abandon(self, process: subprocess.Popen[bytes]) -> None:
        """Stop this parent, which no longer answers; the next request starts another."""
        with self._lock:
            if self._process is process:
                self._drop()

    def _request(self, request: Message, files: tuple[int, ...]) -> subprocess.Popen[bytes]:
        with self._lock:
            process, control = self._running_parent()
            try:
                send(control, request, files)
            except OSError as error:
                self._drop()
                raise ParentGone from error
            return process

    def _running_parent(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """The caller holds the lock."""
        if self._closed:
            raise TransientError("The worker is stopping.")
        if self._process is not None and self._control is not None and self._process.poll() is None:
            return self._process, self._control
        self._drop()
        self._process, self._control = _start_parent(self._unexpected, self._usual)
        return self._process, self._control

    def _drop(self) -> None:
        """The caller holds the lock. The parent kills its children when its socket is closed."""
        if self._process is not None and self._control is not None:
            _stop_parent(self._process, self._control)
        self._process = self._control = None


def library_path() -> str:
    """This process's module search path, for a process that must find the same modules."""
    return os.pathsep.join(entry for entry in sys.path if entry)


def _start_parent(unexpected: Iterable[str], usual: Limits | None) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a parent; return it with our end of its socket, on which a send times out after RESPONSE_SECONDS.

    It gets no descriptor but the other end, no directory and no terminal of ours, and a session of its own, which its
    children share. It writes errors to our standard error: it runs our code, and its children do not have that
    descriptor.
    """
    control, parent_end = socket.socketpair()
    control.settimeout(RESPONSE_SECONDS)
    prepared = json.dumps(asdict(_of_child(usual)) if usual else None)
    module = "windlass.processing.sandbox.parent"
    with parent_end:
        process = subprocess.Popen(
            [sys.executable, "-P", "-s", "-m", module, str(parent_end.fileno()), prepared, *unexpected],
            env={**ENVIRONMENT, "PYTHONPATH": library_path()},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[parent_end.fileno()],
            start_new_session=True,
        )
    return process, control


def _of_child(limits: Limits) -> Limits:
    """A child's limit of CPU time covers all of its orders; the worker measures the time of each step."""
    return replace(limits, seconds=limits.seconds * ORDERS_PER_CHILD)


def _stop_parent(process: subprocess.Popen[bytes], control: socket.socket) -> None:
    """A parent that does not end by itself is killed."""
    control.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass(frozen=True, slots=True)
class Order:
    """One step to run over the session's file. ``makes``: it may write to the session's output."""

    step: str
    facts: Facts
    profile: Mapping[str, Any]
    makes: bool = False

    def message(self) -> Message:
        return {"step": self.step, "facts": dict(self.facts), "profile": dict(self.profile), "makes": self.makes}


class Session:
    """A child that crashed, was killed or sent an invalid answer is replaced for the next step. Not thread-safe."""

    def __init__(self, sandbox: Sandbox, file: int, output: int | None, limits: Limits) -> None:
        self._sandbox, self._file, self._output, self._limits = sandbox, file, output, limits
        self._channel: ChildChannel | None = None
        self._orders = 0

    def close(self) -> None:
        """Close the channel, so that the parent kills the child. Idempotent."""
        if self._channel is not None:
            self._channel.close()
        self._channel = None

    def start(self) -> None:
        """Fork the child ahead of the first order, which will report a failure to do so."""
        with suppress(ParentGone, TransientError):
            self._child()

    def run(
        self,
        order: Order,
        on_progress: Callable[[int], None],
        cancelled: threading.Event,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Message:
        """Run a step; return the child's result unchecked.

        ``meanwhile`` is called at intervals. An exception of it or of ``on_progress`` ends the step. Raises StepDied,
        TransientError, PermanentError, Cancelled.
        """
        for _ in range(2):
            # Another file may have killed the parent. If this file is the cause, the second parent dies too.
            with suppress(ParentGone):
                return self._run_once(order, on_progress, cancelled, meanwhile)
        process_counters.sandbox_kills.add(1, "sandbox")
        raise StepDied("The sandbox itself ended while the step ran.", "sandbox")

    def _run_once(
        self,
        order: Order,
        on_progress: Callable[[int], None],
        cancelled: threading.Event,
        meanwhile: Callable[[], None],
    ) -> Message:
        channel = self._child()
        self._orders += 1
        try:
            if self._output is not None and order.makes:
                os.ftruncate(self._output, 0)
            channel.send_order(order.message(), on_progress)
            return result_or_raise(self._limits, *self._wait(channel, cancelled, meanwhile))
        except StepFailed:
            raise  # the child may run the next step
        except BaseException as error:  # also if the caller is interrupted: the child may still run the step
            if (cause := kill_cause(error)) is not None:
                process_counters.sandbox_kills.add(1, cause)
            if isinstance(error, ParentGone):
                self._sandbox.abandon(channel.process)
            self.close()
            raise

    def _child(self) -> ChildChannel:
        if self._channel is not None and (self._orders >= ORDERS_PER_CHILD or self._channel.has_ended()):
            self.close()
        if self._channel is None:
            self._channel, self._orders = self._sandbox.fork(self._file, self._output, _of_child(self._limits)), 0
        return self._channel

    def _wait(
        self, channel: ChildChannel, cancelled: threading.Event, meanwhile: Callable[[], None]
    ) -> tuple[Message | None, Message | None]:
        """Return how the child ended, as its parent reports it, and what it answered; at least one is not None.

        The step's time starts once the child is locked down, not while its parent still starts.
        """
        deadline, started = monotonic() + RESPONSE_SECONDS, False
        with selectors.DefaultSelector() as selector:
            channel.register(selector)
            while True:
                if channel.locked_down and not started:
                    deadline, started = monotonic() + self._limits.seconds, True
                if cancelled.is_set():
                    raise Cancelled
                if monotonic() > deadline:
                    raise timed_out(self._limits) if started else ParentGone
                ended, answer = channel.wait(selector, min(CHECK_INTERVAL, max(0.0, deadline - monotonic())))
                if ended is not None or answer is not None:
                    return ended, answer
                meanwhile()
