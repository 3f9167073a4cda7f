"""Circuit breakers: stop calling a service that fails, so that callers do not wait for its timeouts.

The state is a table of pure transitions; times are seconds of a monotonic clock. Closed, every call is admitted, and
``failure_threshold`` failures in a row open the circuit. Open, no call is admitted for ``recovery_seconds``. Then it is
half open: it admits one trial call at a time; ``success_threshold`` successes in a row close it, a failure opens it.

Each state change starts a new ``generation``. A call carries the generation that admitted it, and its result counts
only while that generation lasts.

Each process has its own breakers, by name. A breaker counts only the failures that its callers name: a damaged file or
a client that gave up says nothing about the service.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

from windlass import conf
from windlass.kernel.clock import monotonic

#: Retry delay for callers while the trial of another caller is under way (seconds).
TRIAL_SECONDS = 2.0


class State(StrEnum):
    CLOSED = "closed"  # admits calls
    OPEN = "open"  # admits no call until the pause ends
    HALF_OPEN = "half_open"  # admits one trial call at a time


@dataclass(frozen=True, slots=True)
class Policy:
    """When a circuit opens and closes."""

    failure_threshold: int
    success_threshold: int
    recovery_seconds: float


@dataclass(frozen=True, slots=True)
class Circuit:
    """The state of a breaker. Counts are in a row since its last change; ``trial``: a trial call is under way."""

    state: State = State.CLOSED
    generation: int = 0
    failures: int = 0
    successes: int = 0
    trial: bool = False
    opened_at: float | None = None

    def retry_after(self, policy: Policy, moment: float) -> float:
        """Return the seconds until a call may be admitted; 0 if one would be admitted now."""
        if self.state == State.OPEN and self.opened_at is not None:
            return max(0.0, self.opened_at + policy.recovery_seconds - moment)
        return TRIAL_SECONDS if self.trial else 0.0


def admitted(circuit: Circuit, policy: Policy, moment: float) -> Circuit | None:
    """Return the circuit with one more call under way; None if the call is refused."""
    if circuit.state == State.CLOSED:
        return circuit
    if circuit.retry_after(policy, moment):
        return None
    if circuit.state == State.OPEN:
        circuit = _changed(circuit, State.HALF_OPEN, opened_at=circuit.opened_at)
    return replace(circuit, trial=True)


def succeeded(circuit: Circuit, policy: Policy, generation: int) -> Circuit:
    if not _is_current(circuit, generation):
        return circuit
    if circuit.state == State.CLOSED:
        return replace(circuit, failures=0)
    if circuit.successes + 1 >= policy.success_threshold:
        return _changed(circuit, State.CLOSED)
    return replace(circuit, successes=circuit.successes + 1, trial=False)


def failed(circuit: Circuit, policy: Policy, generation: int, moment: float) -> Circuit:
    if not _is_current(circuit, generation):
        return circuit
    counted = replace(circuit, failures=circuit.failures + 1)
    if circuit.state == State.CLOSED and counted.failures < policy.failure_threshold:
        return counted
    return _changed(counted, State.OPEN, failures=counted.failures, opened_at=moment)


def abandoned(circuit: Circuit, generation: int) -> Circuit:
    """Return the circuit after a call that ended without a result; the next call may be the trial."""
    return circuit if generation != circuit.generation else replace(circuit, trial=False)


def _is_current(circuit: Circuit, generation: int) -> bool:
    """Whether the result of a call counts: it was admitted in this generation, and the circuit is not open."""
    return generation == circuit.generation and circuit.state != State.OPEN


def _changed(circuit: Circuit, state: State, failures: int = 0, opened_at: float | None = None) -> Circuit:
    return Circuit(state, circuit.generation + 1, failures=failures, opened_at=opened_at)


class BreakerOpen(Exception):
    """The call was refused: the service failed a moment ago. ``retry_after`` is in seconds."""

    def __init__(self, name: str, retry_after: float) -> None:
        super().__init__(f"The {name} is away.")
        self.name, self.retry_after = name, retry_after


@dataclass(frozen=True, slots=True)
class Change:
    """A state change of a breaker, after ``failures`` in a row. ``retry_after``: seconds until the next trial."""

    name: str
    before: State
    after: State
    failures: int
    retry_after: float


class Breaker:
    """The circuit breaker of one service. Thread-safe.

    ``policy`` is called at each use, so that changed settings apply. ``changed`` is called after each state change,
    outside the lock, in the thread that caused it; it must not raise.
    """

    def __init__(
        self,
        name: str,
        policy: Callable[[], Policy],
        clock: Callable[[], float],
        changed: Callable[[Change], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._policy, self._clock, self._changed = policy, clock, changed
        self._lock = threading.Lock()
        self._circuit = Circuit()

    @property
    def circuit(self) -> Circuit:
        """The current state."""
        return self._circuit

    def retry_after(self) -> float:
        """Return the seconds until a call may be admitted; 0 if one would be admitted now."""
        return self._circuit.retry_after(self._policy(), self._clock())

    @contextmanager
    def call(self, *failures: type[BaseException]) -> Iterator[None]:
        """Enter around one call. An exception of ``failures`` counts as a failure, no exception as a success, and any
        other exception not at all. Raises BreakerOpen if the call is refused."""
        generation = self._admit()
        try:
            yield
        except failures:
            self._move(lambda circuit: failed(circuit, self._policy(), generation, self._clock()))
            raise
        except BaseException:
            self._move(lambda circuit: abandoned(circuit, generation))
            raise
        self._move(lambda circuit: succeeded(circuit, self._policy(), generation))

    def _admit(self) -> int:
        policy, moment = self._policy(), self._clock()
        after = self._move(lambda circuit: admitted(circuit, policy, moment))
        if after is None:
            raise BreakerOpen(self.name, self.retry_after())
        return after.generation

    def _move(self, transition: Callable[[Circuit], Circuit | None]) -> Circuit | None:
        with self._lock:
            before = self._circuit
            after = transition(before)
            if after is None:
                return None
            self._circuit = after
        if after.state != before.state:
            failures = max(before.failures, after.failures)
            retry_after = after.retry_after(self._policy(), self._clock())
            self._changed(Change(self.name, before.state, after.state, failures, retry_after))
        return after


_lock = threading.Lock()
_breakers: dict[str, Breaker] = {}
_listeners: list[Callable[[Change], None]] = []


def breaker(name: str) -> Breaker:
    """Return this process's breaker of this name, with the settings ``BREAKER_<NAME>_…`` or ``BREAKER_…``."""
    with _lock:
        if name not in _breakers:
            _breakers[name] = Breaker(name, lambda: Policy(*conf.get().breaker(name)), monotonic, _notify)
        return _breakers[name]


def add_listener(listener: Callable[[Change], None]) -> None:
    """Call ``listener`` after each state change of any breaker, in the thread that caused it. It must not raise."""
    with _lock:
        if listener not in _listeners:
            _listeners.append(listener)


def reset() -> None:
    """Drop every breaker, so that new ones start closed. For tests and forked processes."""
    with _lock:
        _breakers.clear()


def _notify(change: Change) -> None:
    with _lock:
        listeners = list(_listeners)
    for listener in listeners:
        listener(change)
