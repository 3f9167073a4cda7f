"""Threads that work for coroutines, and report to their event loops.

``concurrent.futures`` makes a future with a condition for each call, which costs more than what a small call does. Here
a call is one future of the event loop, and calls that end together are reported together.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Outcome(NamedTuple):
    result: Any
    failure: BaseException | None


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Work that a coroutine waits for, by a future of its event loop.

    ``pass_on``: what gets the result, in the thread that did the work, instead of the coroutine, which waits for the
    call that is made of it (``continued``). What the work raises is reported to the coroutine.
    """

    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    pass_on: Callable[[Call, Any], None] | None = None

    @classmethod
    def of(cls, work: Callable[[], Any], pass_on: Callable[[Call, Any], None] | None = None) -> Call:
        """Called on the event loop."""
        loop = asyncio.get_running_loop()
        return cls(work, loop, loop.create_future(), pass_on)

    def continued(self, work: Callable[[], Any]) -> Call:
        """The call whose outcome the same coroutine waits for. Called in any thread."""
        return Call(work, self.loop, self.future)

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.cancelled()


def report(calls: Sequence[Call], outcomes: Sequence[Outcome]) -> None:
    """Give the outcomes to those who wait for them, by one wake-up of each event loop. Called in any thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Outcome]]] = {}
    for call, outcome in zip(calls, outcomes, strict=True):
        by_loop.setdefault(call.loop, []).append((call.future, outcome))
    for loop, reports in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(_resolve, reports)


def _resolve(reports: list[tuple[asyncio.Future[Any], Outcome]]) -> None:
    for future, (result, failure) in reports:
        if future.done():  # cancelled
            continue
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)


class LoopThreads:
    """At most ``count`` threads, started as they are needed. What waits when the process ends is done before."""

    def __init__(self, name: str, count: int) -> None:
        self._name, self._count = name, count
        self._waiting: SimpleQueue[Call | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._threads: list[threading.Thread] = []
        atexit.register(self._finish)

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Called on an event loop. Cancelling the future keeps the work from beginning, and does not interrupt it."""
        call = Call.of(work)
        self.put(call)
        return call.future

    def put(self, call: Call) -> None:
        """Called in any thread."""
        with self._lock:
            if self._idle:
                self._idle -= 1  # one of them takes the call
            elif len(self._threads) < self._count:
                name = f"{self._name}_{len(self._threads)}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
            self._waiting.put(call)

    def _run(self) -> None:
        while (call := self._waiting.get()) is not None:
            if not call.is_cancelled:
                _do(call)
            del call  # what it holds must not outlive it while this thread waits
            with self._lock:
                if self._waiting.empty():
                    self._idle += 1

    def _finish(self) -> None:
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()


def _do(call: Call) -> None:
    outcome = _outcome_of(call.work)
    if call.pass_on is not None and outcome.failure is None:
        call.pass_on(call, outcome.result)
    else:
        report([call], [outcome])


def _outcome_of(work: Callable[[], Any]) -> Outcome:
    try:
        return Outcome(work(), None)
    except BaseException as error:  # noqa: BLE001  it is raised where the call was submitted
        return Outcome(None, error)
