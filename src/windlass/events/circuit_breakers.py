"""The table of circuits that all processes share. A change is one conditional UPDATE, its event in the same
transaction."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from windlass.database import rows
from windlass.events.audit.actions import AuditAction
from windlass.events.audit.recording import record_action_of_person
from windlass.events.journal import recording
from windlass.events.models import CircuitBreaker
from windlass.events.types import SYSTEM, EventType
from windlass.events.webhooks.targets import BREAKER_PREFIX
from windlass.kernel.clock import now
from windlass.resilience import circuits
from windlass.resilience.circuit_breaker import policy_of
from windlass.resilience.circuits import TRIAL_LEASE_SECONDS, Circuit, State

_MESSAGES = {
    State.OPEN: "The {name} is unavailable; the next attempt is in {seconds:.0f} s.",
    State.CLOSED: "The {name} is available again.",
}
_RESET_MESSAGE = "The circuit breaker {name} was reset by hand."


def read_circuit(name: str) -> Circuit:
    """Return the circuit of this name; a new one if it never changed."""
    row = rows.find(CircuitBreaker, name=name)
    return _circuit(row) if row else Circuit()


def read_circuits() -> dict[str, Circuit]:
    """Return the circuits that ever changed, by name."""
    return {row.name: _circuit(row) for row in CircuitBreaker.objects.all()}


def change_circuit(name: str, before: Circuit, after: Circuit, message: str = "") -> bool:
    """Replace ``before`` by ``after``, and record an event if an outage begins or ends; return False if the generation
    is no longer that of ``before``. ``message``: the text of the event, instead of the usual one."""
    with recording() as recorder:
        values = _columns(after)
        if before.generation:
            is_changed = rows.update(CircuitBreaker, {"name": name, "generation": before.generation}, values) == 1
        else:
            _, is_changed = CircuitBreaker.objects.get_or_create(name=name, defaults=values)
        if is_changed and is_event(before.state, after.state):
            seconds = after.retry_after(policy_of(name), now().timestamp())
            data = {
                "breaker": name,
                "state": after.state,
                "before": before.state,
                "failures": max(before.failures, after.failures),
                "message": (message or _MESSAGES[after.state]).format(name=name, seconds=seconds),
            }
            recorder.add(EventType.SYSTEM_BREAKER, owner=SYSTEM, data=data)
    return is_changed


def is_event(before: State, after: State) -> bool:
    """Whether a change begins or ends an outage. Trials that fail during one are no events."""
    return after != before and (after is State.CLOSED or (before, after) == (State.CLOSED, State.OPEN))


def reset_circuit(name: str) -> Circuit:
    """Close the circuit of this name, whatever its state, and return it. Other processes read that within a second."""
    while True:
        before = read_circuit(name)
        after = circuits.closed(before)
        if after is before:
            return after
        with recording():
            if change_circuit(name, before, after, _RESET_MESSAGE):
                # The name of a webhook's breaker has a host, which is a text of an owner.
                subject = BREAKER_PREFIX.rstrip(".") if name.startswith(BREAKER_PREFIX) else name
                record_action_of_person(AuditAction.BREAKER_RESET, subject=subject)
                return after


def renew_trial(name: str, generation: int) -> bool:
    """Renew the lease of the trial of this generation; return False if it has ended."""
    until = datetime.fromtimestamp(now().timestamp() + TRIAL_LEASE_SECONDS, UTC)
    is_trial = {"name": name, "generation": generation, "state": State.HALF_OPEN}
    return rows.update(CircuitBreaker, is_trial, {"trial_until": until}) == 1


def _circuit(row: CircuitBreaker) -> Circuit:
    return Circuit(
        State(row.state),
        row.generation,
        row.failures,
        row.successes,
        row.trial_holder,
        row.trial_until.timestamp() if row.trial_until else None,
        row.opened_at.timestamp() if row.opened_at else None,
    )


def _columns(circuit: Circuit) -> dict[str, Any]:
    return {
        "state": circuit.state,
        "generation": circuit.generation,
        "failures": circuit.failures,
        "successes": circuit.successes,
        "trial_holder": circuit.trial_holder,
        "trial_until": _moment(circuit.trial_until),
        "opened_at": _moment(circuit.opened_at),
        "updated_at": now(),
    }


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
