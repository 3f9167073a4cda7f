"""The circuit of a breaker, as a table of pure transitions. Times are seconds of a clock that never steps.

Closed, every call goes through; ``failure_threshold`` failures in a row open it. Open, none does, until
``recovery_seconds`` are over. Then it is half open: one call at a time goes through to try; ``success_threshold`` in a
row close it, one failure opens it again.

Each change of state begins a new ``turn``. A call carries the turn in which it was admitted: what it tells when it ends
is old news once the state has changed, and counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

#: Seconds after which it is worth asking again while another's trial is under way.
TRIAL_SECONDS = 2.0


class State(StrEnum):
    CLOSED = "closed"  # calls go through
    OPEN = "open"  # none goes through until the pause is over
    HALF_OPEN = "half_open"  # one at a time goes through, to try


@dataclass(frozen=True, slots=True)
class Policy:
    """When a circuit opens and closes."""

    failure_threshold: int
    success_threshold: int
    recovery_seconds: float


@dataclass(frozen=True, slots=True)
class Circuit:
    """``failures`` and ``successes`` are those in a row since the state began; ``trial``: one is under way."""

    state: State = State.CLOSED
    turn: int = 0
    failures: int = 0
    successes: int = 0
    trial: bool = False
    opened_at: float | None = None

    def wait(self, policy: Policy, moment: float) -> float:
        """Seconds until a call that is refused now may be admitted; 0 where one would be admitted."""
        if self.state == State.OPEN and self.opened_at is not None:
            return max(0.0, self.opened_at + policy.recovery_seconds - moment)
        return TRIAL_SECONDS if self.trial else 0.0


def admitted(circuit: Circuit, policy: Policy, moment: float) -> Circuit | None:
    """The circuit with one more call under way; None where it is refused."""
    if circuit.state == State.CLOSED:
        return circuit
    if circuit.wait(policy, moment):
        return None
    if circuit.state == State.OPEN:
        circuit = _turned(circuit, State.HALF_OPEN, opened_at=circuit.opened_at)
    return replace(circuit, trial=True)


def succeeded(circuit: Circuit, policy: Policy, turn: int) -> Circuit:
    if not _counts(circuit, turn):
        return circuit
    if circuit.state == State.CLOSED:
        return replace(circuit, failures=0)
    if circuit.successes + 1 >= policy.success_threshold:
        return _turned(circuit, State.CLOSED)
    return replace(circuit, successes=circuit.successes + 1, trial=False)


def failed(circuit: Circuit, policy: Policy, turn: int, moment: float) -> Circuit:
    if not _counts(circuit, turn):
        return circuit
    counted = replace(circuit, failures=circuit.failures + 1)
    if circuit.state == State.CLOSED and counted.failures < policy.failure_threshold:
        return counted
    return _turned(counted, State.OPEN, failures=counted.failures, opened_at=moment)


def let_go(circuit: Circuit, turn: int) -> Circuit:
    """The call ended and told nothing of the part: the next may try."""
    return circuit if turn != circuit.turn else replace(circuit, trial=False)


def _counts(circuit: Circuit, turn: int) -> bool:
    """Whether a call's end is news: it was admitted in this turn, and an open circuit admits none."""
    return turn == circuit.turn and circuit.state != State.OPEN


def _turned(circuit: Circuit, state: State, failures: int = 0, opened_at: float | None = None) -> Circuit:
    return Circuit(state, circuit.turn + 1, failures=failures, opened_at=opened_at)
