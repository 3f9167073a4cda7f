"""The worker's side: ask for a step, follow it, and judge how it ended."""

from __future__ import annotations

import contextlib
import selectors
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from windlass.kernel.clock import monotonic
from windlass.processing.contract import Cancelled, Facts, PermanentError, TransientError
from windlass.processing.sandbox.hardening import Limits
from windlass.processing.sandbox.judge import StepDied, judge
from windlass.processing.sandbox.launch import launch, stop
from windlass.processing.sandbox.messages import Garbled, Message, Unpacker, send

#: Seconds that a parent may be late (it may have to start first) before it is taken for dead.
GRACE = 30.0
#: Seconds between two looks at whether the result is still wanted.
LOOK_EVERY = 0.2
#: Bytes that a child may say in all.
MOST_SAID = 4 * 1024 * 1024


class ParentGone(Exception):
    """The parent died under a request, or no longer answers; whatever it was running dies with it."""


@dataclass(frozen=True, slots=True)
class Order:
    """One step over one file. ``file`` and ``output`` are descriptors; the file's must not be writable."""

    step: str
    facts: Facts
    profile: Mapping[str, Any]
    limits: Limits
    file: int
    output: int | None = None


@dataclass(slots=True)
class _Heard:
    """What the child has said so far."""

    on_progress: Callable[[int], None]
    answer: Message | None = None
    unpacker: Unpacker = field(default_factory=Unpacker)
    size: int = 0

    def hear(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > MOST_SAID:
            raise PermanentError("The step said too much.")
        for message in self.unpacker.feed(data):
            percent = message.get("percent")
            if message.get("kind") != "progress":
                self.answer = message
            elif type(percent) is int:
                self.on_progress(max(0, min(percent, 100)))


class Sandbox:
    """One parent process, started when it is first needed and again when it has died. Any thread may call."""

    def __init__(self) -> None:
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

    def run(self, order: Order, on_progress: Callable[[int], None], cancelled: threading.Event) -> Message:
        """The child's result, unchecked. Raises StepDied, TransientError, PermanentError, Cancelled."""
        try:
            return self._once(order, on_progress, cancelled)
        except ParentGone:
            # Perhaps through another file's fault. Should this file be the cause, the second parent dies too.
            with contextlib.suppress(ParentGone):
                return self._once(order, on_progress, cancelled)
        raise StepDied("The sandbox itself ended while the step ran.")

    def _once(self, order: Order, on_progress: Callable[[int], None], cancelled: threading.Event) -> Message:
        heard = _Heard(on_progress)
        answer, child_end = socket.socketpair()
        status, parent_end = socket.socketpair()
        with answer, status:
            with child_end, parent_end:
                asked = self._ask(order, parent_end.fileno(), child_end.fileno())
            try:
                ended = self._follow(order, answer, status, heard, cancelled)
            except ParentGone:
                self._abandon(asked)
                raise
            except Garbled as error:
                raise PermanentError(f"The step's answer is not usable: {error}.") from error
        return judge(order.limits, ended, heard.answer)

    def _ask(self, order: Order, status: int, answer: int) -> subprocess.Popen[bytes]:
        files = (status, order.file, answer, *([] if order.output is None else [order.output]))
        request = {
            "step": order.step,
            "facts": dict(order.facts),
            "profile": dict(order.profile),
            "limits": asdict(order.limits),
            "files": len(files),
        }
        with self._lock:
            process, control = self._ready()
            try:
                send(control, request, files)
            except OSError as error:
                self._drop()
                raise ParentGone from error
            return process

    def _follow(
        self,
        order: Order,
        answer: socket.socket,
        status: socket.socket,
        heard: _Heard,
        cancelled: threading.Event,
    ) -> Message:
        """How it ended, in the parent's words. Leaving early hangs up, upon which the parent kills the child."""
        late, told = monotonic() + order.limits.seconds + GRACE, Unpacker()
        with selectors.DefaultSelector() as selector:
            selector.register(answer, selectors.EVENT_READ)
            selector.register(status, selectors.EVENT_READ)
            while True:
                if cancelled.is_set():
                    raise Cancelled
                if monotonic() > late:
                    raise ParentGone
                readable = {key.fileobj for key, _ in selector.select(LOOK_EVERY)}
                if answer in readable and not _read(answer, heard):
                    selector.unregister(answer)
                if status in readable:
                    ended = told.feed(_received(status) or _gone())
                    if ended:
                        _read_rest(answer, heard)
                        return ended[0]

    def _ready(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """A living parent. The caller holds the lock."""
        if self._closed:
            raise TransientError("The worker is stopping.")
        if self._process is not None and self._control is not None and self._process.poll() is None:
            return self._process, self._control
        self._drop()
        self._process, self._control = launch(GRACE)
        return self._process, self._control

    def _abandon(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            if self._process is process:
                self._drop()

    def _drop(self) -> None:
        """The caller holds the lock. The parent kills its children when it finds its socket closed."""
        if self._process is not None and self._control is not None:
            stop(self._process, self._control)
        self._process = self._control = None


def _received(channel: socket.socket) -> bytes:
    try:
        return channel.recv(65536)
    except ConnectionError:
        return b""


def _gone() -> bytes:
    raise ParentGone


def _read(answer: socket.socket, heard: _Heard) -> bool:
    data = _received(answer)
    heard.hear(data)
    return bool(data)


def _read_rest(answer: socket.socket, heard: _Heard) -> None:
    """What the child said before it ended; without waiting, for something it left behind may hold the channel open."""
    answer.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while _read(answer, heard):
            pass
