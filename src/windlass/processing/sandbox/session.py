"""A session in the sandbox: one child runs the steps of one file in turn, as they are ordered."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Protocol

from windlass.kernel.clock import monotonic
from windlass.processing.contract import Cancelled, Facts, TransientError
from windlass.processing.sandbox.channel import ChildChannel, Message, ParentGone
from windlass.processing.sandbox.exit_status import StepDied, StepFailed, result_or_raise, timed_out
from windlass.processing.sandbox.lockdown import Limits

#: Seconds after which a parent that has not answered, and may have had to start first, counts as dead.
RESPONSE_SECONDS = 30.0
#: Seconds between two checks of whether the result is still wanted.
CHECK_INTERVAL = 0.2
#: Orders that one child runs at most: its CPU time is limited for all of them together.
ORDERS_PER_CHILD = 16


@dataclass(frozen=True, slots=True)
class Order:
    """One step to run over the session's file. ``makes``: it may write to the session's output."""

    step: str
    facts: Facts
    profile: Mapping[str, Any]
    makes: bool = False

    def message(self) -> Message:
        return {"step": self.step, "facts": dict(self.facts), "profile": dict(self.profile), "makes": self.makes}


class Forks(Protocol):
    """What a session needs of the sandbox (``client.Sandbox``)."""

    def fork(self, file: int, output: int | None, limits: Limits) -> ChildChannel: ...

    def abandon(self, process: subprocess.Popen[bytes]) -> None: ...


def _do_nothing() -> None:
    pass


class Session:
    """A child that crashed, was killed or sent an invalid answer is replaced for the next step. Not thread-safe."""

    def __init__(self, sandbox: Forks, file: int, output: int | None, limits: Limits) -> None:
        self._sandbox, self._file, self._output, self._limits = sandbox, file, output, limits
        self._channel: ChildChannel | None = None
        self._orders = 0

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel, so that the parent kills the child. Idempotent."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def start(self) -> None:
        """Fork the child ahead of the first order, which will report a failure to do so."""
        with contextlib.suppress(ParentGone, TransientError):
            self._child()

    def run(
        self,
        order: Order,
        on_progress: Callable[[int], None],
        cancelled: threading.Event,
        meanwhile: Callable[[], None] = _do_nothing,
    ) -> Message:
        """Run a step; return the child's result unchecked.

        ``meanwhile`` is called at intervals. An exception of it or of ``on_progress`` ends the step. Raises StepDied,
        TransientError, PermanentError, Cancelled.
        """
        for _ in range(2):
            # Another file may have killed the parent. If this file is the cause, the second parent dies too.
            with contextlib.suppress(ParentGone):
                return self._run_once(order, on_progress, cancelled, meanwhile)
        raise StepDied("The sandbox itself ended while the step ran.")

    def _run_once(
        self,
        order: Order,
        on_progress: Callable[[int], None],
        cancelled: threading.Event,
        meanwhile: Callable[[], None],
    ) -> Message:
        channel = self._child()
        self._orders += 1
        reusable = False
        try:
            if self._output is not None and order.makes:
                os.ftruncate(self._output, 0)
            channel.send_order(order.message(), on_progress)
            result = result_or_raise(self._limits, *self._wait(channel, cancelled, meanwhile))
            reusable = True
        except StepFailed:
            reusable = True
            raise
        except ParentGone:
            self._sandbox.abandon(channel.process)
            raise
        finally:
            if not reusable:
                self.close()
        return result

    def _child(self) -> ChildChannel:
        if self._channel is not None and (self._orders >= ORDERS_PER_CHILD or self._channel.has_ended()):
            self.close()
        if self._channel is None:
            # The child's limit of CPU time covers all of its orders; the worker measures the time of each step.
            limits = replace(self._limits, seconds=self._limits.seconds * ORDERS_PER_CHILD)
            self._channel, self._orders = self._sandbox.fork(self._file, self._output, limits), 0
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
