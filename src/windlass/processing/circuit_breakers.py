"""Every circuit breaker that this installation can have, by name, with its thresholds; also before its first call: of
the services that the settings name, and of the targets of webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from windlass import conf
from windlass.accounts.api import jwks_breaker_names
from windlass.events import api as events
from windlass.files.api import entity_graph, store_breaker_names, text_index
from windlass.jobs.api import broker_breaker_names
from windlass.processing.scanners.configured_scanner import BREAKER
from windlass.processing.step_services import service_breaker_names
from windlass.resilience.circuit_breaker import breaker, policy_of
from windlass.resilience.circuits import Circuit, State
from windlass.resilience.rate_limits.policies import BREAKER as RATE_LIMITS_BREAKER


class UnknownBreaker(LookupError):
    """There is no service or target with a breaker of this name. The message says which there are."""


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    """The circuit that all processes share. ``failure_count``: failures in a row when it opened, 0 if it is closed.

    ``retry_at``: when an open one admits the next call.
    """

    name: str
    state: State
    failure_count: int
    success_count: int
    failure_threshold: int
    success_threshold: int
    recovery_seconds: float
    opened_at: datetime | None
    retry_at: datetime | None


def breaker_statuses() -> list[BreakerStatus]:
    """Return the status of the breaker of each service that the settings name. Reads the database."""
    return _statuses(_service_names())


def all_breaker_statuses() -> list[BreakerStatus]:
    """Return the status of each breaker, with those of the targets of webhooks. For staff: the names are hosts that
    users have entered."""
    return _statuses(_names())


def local_breaker_statuses() -> list[BreakerStatus]:
    """Return the status of each service's breaker as this process knows it. Reads no database."""
    return [_status(name, breaker(name).circuit) for name in _service_names()]


def breaker_status(name: str) -> BreakerStatus:
    """Raises UnknownBreaker."""
    _require(name)
    return _status(name, events.read_circuit(name))


def reset_breaker(name: str) -> BreakerStatus:
    """Close the breaker in every process, within a second. Raises UnknownBreaker."""
    _require(name)
    return _status(name, events.reset_circuit(name))


def _statuses(names: Sequence[str]) -> list[BreakerStatus]:
    known = events.read_circuits()
    return [_status(name, known.get(name, Circuit())) for name in names]


def _names() -> list[str]:
    return [*_service_names(), *events.webhook_breaker_names()]


def _service_names() -> list[str]:
    scanner = [BREAKER] if conf.get().scanner_name else []
    rates = [RATE_LIMITS_BREAKER] if conf.get().rate_limit_redis and conf.get().calls_per_minute else []
    brokers, readers = broker_breaker_names(), (text_index(), entity_graph())
    services = {*service_breaker_names(), *(name for each in readers if each for name in each.breaker_names())}
    return [*scanner, *rates, *store_breaker_names(), *brokers, *jwks_breaker_names(), *sorted(services)]


def _require(name: str) -> None:
    names = _names()
    if name not in names:
        there = f"There are: {', '.join(names)}." if names else "No service over a network is set up."
        raise UnknownBreaker(f"There is no circuit breaker {name!r}. {there}")


def _status(name: str, circuit: Circuit) -> BreakerStatus:
    policy = policy_of(name)
    opened_at = None if circuit.opened_at is None else datetime.fromtimestamp(circuit.opened_at, UTC)
    is_open = circuit.state is State.OPEN and opened_at is not None
    return BreakerStatus(
        name=name,
        state=circuit.state,
        failure_count=circuit.failures,
        success_count=circuit.successes,
        failure_threshold=policy.failure_threshold,
        success_threshold=policy.success_threshold,
        recovery_seconds=policy.recovery_seconds,
        opened_at=opened_at,
        retry_at=opened_at + timedelta(seconds=policy.recovery_seconds) if is_open and opened_at else None,
    )
