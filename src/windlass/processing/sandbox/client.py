"""The worker's side: a parent process, and sessions in which children of it serve one file each."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import Any

from windlass.kernel.clock import monotonic
from windlass.processing.contract import Cancelled, Facts, TransientError
from windlass.processing.sandbox.hardening import Limits
from windlass.processing.sandbox.judge import StepDied, StillFit, judge, took_too_long
from windlass.processing.sandbox.launch import launch, stop
from windlass.processing.sandbox.line import Line, ParentGone
from windlass.processing.sandbox.messages import Message, send

#: Seconds that a parent may be late (it may have to start first) before it is taken for dead.
GRACE = 30.0
#: Seconds between two looks at whether the result is still wanted.
LOOK_EVERY = 0.2
#: So many orders one child serves at most: its CPU time is bounded for all of them together.
ORDERS_PER_CHILD = 16


@dataclass(frozen=True, slots=True)
class Order:
    """One step to be done over the session's file. ``makes``: it may write to the session's output."""

    step: str
    facts: Facts
    profile: Mapping[str, Any]
    makes: bool = False

    def message(self) -> Message:
        return {"step": self.step, "facts": dict(self.facts), "profile": dict(self.profile), "makes": self.makes}


class Sandbox:
    """One parent process, started when it is first needed and again when it has died. Any thread may call."""

    def __init__(self, unready: Collection[str] = ()) -> None:
        """``unready``: steps that are not expected, for which nothing is made ready. They can be done all the same."""
        self._unready = unready
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._closed = False

    def start(self) -> None:
        """Start the parent ahead of the first request; it imports its libraries meanwhile."""
        with self._lock:
            self._ready()

    def close(self) -> None:
        """End the parent and whatever it runs. Afterwards every request fails. Idempotent."""
        with self._lock:
            self._closed = True
            self._drop()

    def forget(self) -> None:
        """In a process that was forked from the worker: the parent is the worker's, not ours."""
        self._lock = threading.Lock()  # a thread that is not here may hold the old one
        self._closed = True
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.returncode = 0  # so that subprocess does not wait for another's child

    def session(self, file: int, output: int | None, limits: Limits) -> Session:
        """Steps over one file, in a child of their own. ``file`` and ``output`` are descriptors that outlive the
        session; the file's must not be writable. ``limits.seconds`` are those of one step."""
        return Session(self, file, output, limits)

    def fork(self, file: int, output: int | None, limits: Limits) -> Line:
        """A child for this file. Raises ParentGone, TransientError."""
        answer, child_end = socket.socketpair()
        status, parent_end = socket.socketpair()
        with child_end, parent_end:
            files = (parent_end.fileno(), file, child_end.fileno(), *([] if output is None else [output]))
            try:
                process = self._ask({"limits": asdict(limits), "files": len(files)}, files)
            except BaseException:
                answer.close()
                status.close()
                raise
        return Line(process, answer, status)

    def abandon(self, process: subprocess.Popen[bytes]) -> None:
        """This parent is no longer to be trusted to answer; the next request starts another."""
        with self._lock:
            if self._process is process:
                self._drop()

    def _ask(self, request: Message, files: tuple[int, ...]) -> subprocess.Popen[bytes]:
        with self._lock:
            process, control = self._ready()
            try:
                send(control, request, files)
            except OSError as error:
                self._drop()
                raise ParentGone from error
            return process

    def _ready(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """A living parent. The caller holds the lock."""
        if self._closed:
            raise TransientError("The worker is stopping.")
        if self._process is not None and self._control is not None and self._process.poll() is None:
            return self._process, self._control
        self._drop()
        self._process, self._control = launch(GRACE, self._unready)
        return self._process, self._control

    def _drop(self) -> None:
        """The caller holds the lock. The parent kills its children when it finds its socket closed."""
        if self._process is not None and self._control is not None:
            stop(self._process, self._control)
        self._process = self._control = None


def _nothing() -> None:
    """For those who have nothing to do meanwhile."""


class Session:
    """A file's turn in the sandbox: one child serves its steps in turn. A child that crashed, was killed or behaved
    oddly is not used again: the next step gets a fresh one. One thread at a time."""

    def __init__(self, sandbox: Sandbox, file: int, output: int | None, limits: Limits) -> None:
        self._sandbox, self._file, self._output, self._limits = sandbox, file, output, limits
        self._line: Line | None = None
        self._served = 0

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the child: its parent kills it. Idempotent."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def begin(self) -> None:
        """Have the child made ahead of the first step. What hinders it will be told by that."""
        with contextlib.suppress(ParentGone, TransientError):
            self._child()

    def run(
        self,
        order: Order,
        on_progress: Callable[[int], None],
        cancelled: threading.Event,
        meanwhile: Callable[[], None] = _nothing,
    ) -> Message:
        """The child's result, unchecked. ``meanwhile`` is called now and then while it lasts. What that and
        ``on_progress`` raise ends the step. Raises StepDied, TransientError, PermanentError, Cancelled."""
        for _ in range(2):
            # A parent may die through another file's fault. Should this file be the cause, the second one dies too.
            with contextlib.suppress(ParentGone):
                return self._once(order, on_progress, cancelled, meanwhile)
        raise StepDied("The sandbox itself ended while the step ran.")

    def _once(
        self,
        order: Order,
        on_progress: Callable[[int], None],
        cancelled: threading.Event,
        meanwhile: Callable[[], None],
    ) -> Message:
        line = self._child()
        self._served += 1
        fit = False
        try:
            if self._output is not None and order.makes:
                os.ftruncate(self._output, 0)
            line.order(order.message(), on_progress)
            said = judge(self._limits, *self._follow(line, cancelled, meanwhile))
            fit = True
        except StillFit:
            fit = True
            raise
        except ParentGone:
            self._sandbox.abandon(line.process)
            raise
        finally:
            if not fit:
                self.close()
        return said

    def _child(self) -> Line:
        if self._line is not None and (self._served >= ORDERS_PER_CHILD or self._line.has_ended()):
            self.close()
        if self._line is None:
            # The parent's bound on CPU time is for all that the child does; the wall clock is kept here, step by step.
            limits = replace(self._limits, seconds=self._limits.seconds * ORDERS_PER_CHILD)
            self._line, self._served = self._sandbox.fork(self._file, self._output, limits), 0
        return self._line

    def _follow(
        self, line: Line, cancelled: threading.Event, meanwhile: Callable[[], None]
    ) -> tuple[Message | None, Message | None]:
        """How the child ended, in the parent's words, and what it answered; one of them is None only if the other is
        not. The step's time begins once the child is bound, not while its parent still starts."""
        late, bound = monotonic() + GRACE, False
        with selectors.DefaultSelector() as selector:
            line.watch(selector)
            while True:
                if line.is_bound and not bound:
                    late, bound = monotonic() + self._limits.seconds, True
                if cancelled.is_set():
                    raise Cancelled
                if monotonic() > late:
                    raise took_too_long(self._limits) if bound else ParentGone
                ended, answer = line.listen(selector, min(LOOK_EVERY, max(0.0, late - monotonic())))
                if ended is not None or answer is not None:
                    return ended, answer
                meanwhile()
