"""The states of a circuit breaker as a table of pure transitions; times are seconds since the epoch.

Closed, every call is admitted, and ``failure_threshold`` failures in a row open the circuit. Open, no call is admitted
for ``recovery_seconds``. Then it is half open: it admits one trial call at a time; ``success_threshold`` successes in a
row close it, a failure opens it.

Each change but the counts of a closed circuit starts a new ``generation``. A call carries the generation that admitted
it, and its result counts only while that generation lasts; so the result of a trial counts only for that trial.

A trial is a lease: where its process is killed, another trial is admitted after ``TRIAL_LEASE_SECONDS``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

#: Retry delay for callers while the trial of another caller is under way (seconds).
TRIAL_SECONDS = 2.0
#: How long a trial is exclusive (seconds). Whoever shares circuits between processes renews it during a longer call.
TRIAL_LEASE_SECONDS = 15.0


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
    """The state of a breaker. Counts are in a row since its last change of state.

    ``trial_until``: the end of the lease of the trial that ``trial_holder`` makes; None if no trial is under way.
    """

    state: State = State.CLOSED
    generation: int = 0
    failures: int = 0
    successes: int = 0
    trial_holder: str = ""
    trial_until: float | None = None
    opened_at: float | None = None

    def retry_after(self, policy: Policy, moment: float) -> float:
        """Return the seconds until a call may be admitted; 0 if one would be admitted now."""
        if self.state == State.OPEN and self.opened_at is not None:
            return _remaining(self.opened_at + policy.recovery_seconds, policy.recovery_seconds, moment)
        if self.trial_until is not None:
            return min(TRIAL_SECONDS, _remaining(self.trial_until, TRIAL_LEASE_SECONDS, moment))
        return 0.0


def admitted(circuit: Circuit, policy: Policy, moment: float, holder: str = "") -> Circuit | None:
    """Return the circuit with one more call under way; None if the call is refused. ``holder`` makes the trial."""
    if circuit.state == State.CLOSED:
        return circuit
    if circuit.retry_after(policy, moment):
        return None
    if circuit.state == State.OPEN:
        circuit = _changed(circuit, State.HALF_OPEN, opened_at=circuit.opened_at)
    else:
        circuit = _next(circuit)
    return replace(circuit, trial_holder=holder, trial_until=moment + TRIAL_LEASE_SECONDS)


def succeeded(circuit: Circuit, policy: Policy, generation: int) -> Circuit:
    if not _is_current(circuit, generation):
        return circuit
    if circuit.state == State.CLOSED:
        return replace(circuit, failures=0)
    if circuit.successes + 1 >= policy.success_threshold:
        return _changed(circuit, State.CLOSED)
    return replace(_next(circuit), successes=circuit.successes + 1)


def failed(circuit: Circuit, policy: Policy, generation: int, moment: float) -> Circuit:
    if not _is_current(circuit, generation):
        return circuit
    failures = circuit.failures + 1
    if circuit.state == State.CLOSED and failures < policy.failure_threshold:
        return replace(circuit, failures=failures)
    return _changed(circuit, State.OPEN, failures=failures, opened_at=moment)


def abandoned(circuit: Circuit, generation: int) -> Circuit:
    """Return the circuit after a call that ended without a result; the next call may be the trial."""
    if generation != circuit.generation or circuit.trial_until is None:
        return circuit
    return _next(circuit)


def closed(circuit: Circuit) -> Circuit:
    """Return the circuit closed by hand; itself if it is closed."""
    return circuit if circuit.state == State.CLOSED else _changed(circuit, State.CLOSED)


def _is_current(circuit: Circuit, generation: int) -> bool:
    """Whether the result of a call counts: it was admitted in this generation, and the circuit is not open."""
    return generation == circuit.generation and circuit.state != State.OPEN


def _changed(circuit: Circuit, state: State, failures: int = 0, opened_at: float | None = None) -> Circuit:
    return Circuit(state, circuit.generation + 1, failures=failures, opened_at=opened_at)


def _next(circuit: Circuit) -> Circuit:
    """The next generation of the same state, without a trial."""
    return replace(circuit, generation=circuit.generation + 1, trial_holder="", trial_until=None)


def _remaining(end: float, length: float, moment: float) -> float:
    """Seconds from ``moment`` to ``end``. A pause that would last more than twice its ``length``, because the clock was
    set back, is over."""
    remaining = end - moment
    return max(0.0, remaining) if remaining <= 2 * length else 0.0


class CircuitsUnavailable(Exception):
    """The shared circuits cannot be read or changed now."""


class SharedCircuits(Protocol):
    """Circuits by name that all processes of an installation share, and that survive a restart. Thread-safe.

    Both methods may wait for a moment, but raise CircuitsUnavailable instead in a thread that runs an event loop.
    """

    def read(self, name: str) -> Circuit:
        """Return the circuit; a new one if it never changed. Raises CircuitsUnavailable."""
        ...

    def change(self, name: str, before: Circuit, after: Circuit) -> bool:
        """Replace ``before`` by ``after``; return False if the generation is no longer that of ``before``.

        A trial that ``after`` admits is renewed until the caller changes the circuit again. Raises
        CircuitsUnavailable.
        """
        ...
