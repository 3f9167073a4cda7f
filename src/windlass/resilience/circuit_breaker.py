"""Circuit breakers: stop calling a service that fails, so that callers do not wait for its timeouts.

``resilience.circuits`` has the states and transitions. A breaker counts only the failures that its callers name: a
damaged file or a client that gave up says nothing about the service.

All processes share the circuit of a name, if ``share`` has been called: each change is written there first, and the
circuit is read at most once a second, when a call asks. Failures below the threshold are counted in each process. While
the shared circuits are unavailable, each process uses its own; what it changed meanwhile is written afterwards,
unless another process has changed the circuit.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from windlass import conf
from windlass.kernel.clock import monotonic, now
from windlass.resilience.circuits import (
    Circuit,
    CircuitsUnavailable,
    Policy,
    SharedCircuits,
    State,
    abandoned,
    admitted,
    failed,
    succeeded,
)

#: A process reads the shared circuit of a name at most this often.
READ_SECONDS = 1.0
#: How often a change is tried again after another process made one first.
_ATTEMPTS = 5


class BreakerOpen(Exception):
    """The call was refused: the service failed a moment ago. ``retry_after`` is in seconds."""

    def __init__(self, name: str, retry_after: float) -> None:
        super().__init__(f"The {name} is away.")
        self.name, self.retry_after = name, retry_after


@dataclass(frozen=True, slots=True)
class Change:
    """A state change that this process made, after ``failures`` in a row. ``retry_after``: seconds until the next
    trial."""

    name: str
    before: State
    after: State
    failures: int
    retry_after: float


class Breaker:
    """The circuit breaker of one service. Thread-safe.

    ``policy`` is called at each use, so that changed settings apply. ``changed`` is called after each state change that
    this process made, outside the lock, in the thread that caused it; it must not raise. ``shared`` returns the shared
    circuits, or None. ``clock`` is a wall clock, ``ticks`` a monotonic one.
    """

    def __init__(
        self,
        name: str,
        policy: Callable[[], Policy],
        clock: Callable[[], float],
        changed: Callable[[Change], None] = lambda _: None,
        shared: Callable[[], SharedCircuits | None] = lambda: None,
        ticks: Callable[[], float] = monotonic,
    ) -> None:
        self.name = name
        self._policy, self._clock, self._changed = policy, clock, changed
        self._shared, self._ticks = shared, ticks
        self._lock, self._read_lock = threading.Lock(), threading.Lock()
        self._circuit = Circuit()
        #: The shared circuit as it was last read or written; behind ``_circuit`` while changes wait to be written.
        self._known = Circuit()
        self._read_at: float | None = None

    @property
    def circuit(self) -> Circuit:
        """The current state, as this process knows it."""
        return self._circuit

    def retry_after(self) -> float:
        """Return the seconds until a call may be admitted; 0 if one would be admitted now."""
        return self._circuit.retry_after(self._policy(), self._clock())

    def admits_calls(self) -> bool:
        """Return whether a call would be admitted now, as all processes know it a second ago."""
        self._read_if_due()
        return not self.retry_after()

    @contextmanager
    def call(
        self, *failures: type[BaseException], counts: Callable[[BaseException], bool] = lambda _: True
    ) -> Iterator[None]:
        """Enter around one call. An exception of ``failures`` that ``counts`` is a failure, no exception a success, and
        any other exception neither. Raises BreakerOpen if the call is refused."""
        generation = self._admit()
        try:
            yield
        except BaseException as error:
            if isinstance(error, failures) and counts(error):
                self._move(lambda circuit: failed(circuit, self._policy(), generation, self._clock()))
            else:
                self._move(lambda circuit: abandoned(circuit, generation))
            raise
        self._move(lambda circuit: succeeded(circuit, self._policy(), generation))

    def _admit(self) -> int:
        self._read_if_due()
        policy = self._policy()
        after = self._move(lambda circuit: admitted(circuit, policy, self._clock(), _holder()))
        if after is None:
            raise BreakerOpen(self.name, self.retry_after())
        return after.generation

    def _move(self, transition: Callable[[Circuit], Circuit | None]) -> Circuit | None:
        """Make the transition, and return the circuit after it; None if the transition refuses."""
        for _ in range(_ATTEMPTS):
            with self._lock:
                before, known = self._circuit, self._known
                after = transition(before)
                if after is None or after.generation == before.generation:  # refused, or only counts
                    self._circuit = after or before
                    return after
            written = self._write(known, after)
            if written is False:
                self._read()
                continue
            with self._lock:
                if self._circuit.generation == before.generation:
                    self._circuit = after
                    self._known = after if written else self._known
                elif not written:
                    continue  # another thread of this process made a change first
            self._report(before, after)
            return after
        return None

    def _write(self, known: Circuit, after: Circuit) -> bool | None:
        """Return whether the shared circuit was changed; None if there is none, or it is unavailable."""
        shared = self._shared()
        try:
            return shared.change(self.name, known, after) if shared else None
        except CircuitsUnavailable:
            return None

    def _read_if_due(self) -> None:
        """Read the shared circuit if the last read is too old. Callers wait for one another's read, which is bounded,
        so that the first calls of a process know the state; an event loop never waits."""
        if _runs_event_loop():
            return
        with self._read_lock:
            if self._read_at is None or self._ticks() >= self._read_at + READ_SECONDS:
                self._read()
                self._read_at = self._ticks()

    def _read(self) -> None:
        """Take over the shared circuit if another process changed it; else write what waits to be written."""
        shared = self._shared()
        if shared is None:
            return
        try:
            row = shared.read(self.name)
            with self._lock:
                mine, known = self._circuit, self._known
            is_behind = row.generation == known.generation and mine.generation != known.generation
            if is_behind and not shared.change(self.name, row, mine):
                row = shared.read(self.name)
                is_behind = False
        except CircuitsUnavailable:
            return
        with self._lock:
            if is_behind:
                self._known = mine
            elif self._known.generation == known.generation:  # no other thread has read or written meanwhile
                has_counts = row.state == self._circuit.state == State.CLOSED  # of this process alone
                if self._circuit.generation != row.generation or not has_counts:
                    self._circuit = row
                self._known = row

    def _report(self, before: Circuit, after: Circuit) -> None:
        if after.state != before.state:
            failures = max(before.failures, after.failures)
            retry_after = after.retry_after(self._policy(), self._clock())
            self._changed(Change(self.name, before.state, after.state, failures, retry_after))


_lock = threading.Lock()
_breakers: dict[str, Breaker] = {}
_listeners: list[Callable[[Change], None]] = []
_shared: SharedCircuits | None = None


def breaker(name: str) -> Breaker:
    """Return this process's breaker of this name, with the settings ``BREAKER_<NAME>_…`` or ``BREAKER_…``."""
    with _lock:
        if name not in _breakers:
            _breakers[name] = Breaker(
                name, lambda: policy_of(name), lambda: now().timestamp(), _notify, lambda: _shared
            )
        return _breakers[name]


def policy_of(name: str) -> Policy:
    """The thresholds of the breaker of this name."""
    return Policy(*conf.breaker_thresholds(conf.get(), name))


def share(circuits: SharedCircuits | None) -> None:
    """Share the circuits of all breakers of this process. A higher layer provides them, because it has the database."""
    global _shared
    _shared = circuits


def add_listener(listener: Callable[[Change], None]) -> None:
    """Call ``listener`` after each state change that this process made, in the thread that caused it. It must not
    raise."""
    with _lock:
        if listener not in _listeners:
            _listeners.append(listener)


def reset() -> None:
    """Drop every breaker, so that new ones start with the shared circuits. For tests and forked processes."""
    with _lock:
        _breakers.clear()


def _runs_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _holder() -> str:
    """This process, as the record of a trial names it."""
    return f"{socket.gethostname()}-{os.getpid()}"


def _notify(change: Change) -> None:
    with _lock:
        listeners = list(_listeners)
    for listener in listeners:
        listener(change)
