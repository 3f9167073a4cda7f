"""The row with the installation's service level. A change is one conditional UPDATE, its event in the same transaction.

Functions that write raise the database's errors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from windlass.database import rows
from windlass.events.journal import recording
from windlass.events.models import ServiceLevelState
from windlass.events.types import SYSTEM, EventType
from windlass.kernel.clock import now
from windlass.resilience.service_level import (
    ALL_WORK,
    ComponentHealth,
    Observation,
    ServiceLevel,
    level_of,
    observe,
    reason_of,
    states_of,
)

NOT_EVALUATED = "No component has been checked yet."
#: How long the claim of the evaluating process lasts without being renewed.
EVALUATOR_SECONDS = 6.0

_ROW = ServiceLevelState.ROW


@dataclass(frozen=True, slots=True)
class LevelStatus:
    """The service level in force. ``components``: the state that counts, by name. ``reason``: plain sentences, public.

    ``automatic``: it follows the components; else ``pinned_by`` has set it. ``evaluated_at``: None if never.
    """

    level: ServiceLevel = ServiceLevel.FULL
    reason: str = NOT_EVALUATED
    automatic: bool = True
    since: datetime = field(default_factory=now)
    components: Mapping[str, str] = field(default_factory=dict)
    evaluated_at: datetime | None = None
    pinned_by: str = ""


def read_level() -> LevelStatus:
    """Read the row."""
    row = rows.find(ServiceLevelState, id=_ROW)
    return _status(row) if row else LevelStatus()


def pin_level(level: ServiceLevel, reason: str, by: str) -> LevelStatus:
    """Set the level by hand, whatever the components allow, until ``release_level``. Other processes follow within a
    second or two. ``by``: who does it."""

    def pin(row: ServiceLevelState) -> None:
        row.pinned_level, row.pinned_reason, row.pinned_by, row.pinned_at = level.value, reason, by, now()

    return _change(pin)


def release_level() -> LevelStatus:
    """Let the level follow the components again. Harmless if it does."""

    def release(row: ServiceLevelState) -> None:
        row.pinned_level, row.pinned_reason, row.pinned_by, row.pinned_at = "", "", "", None

    return _change(release)


def record_observations(seen: Mapping[str, Observation], unknown: Collection[str] = ()) -> LevelStatus:
    """Record what an evaluation saw; ``unknown`` components stay as they were. Writes nothing if nothing changes."""

    def apply(row: ServiceLevelState) -> None:
        health = observe(_health(row), seen, now().timestamp(), unknown)
        row.health = {name: each.document() for name, each in health.items()}
        row.evaluated_at = now()

    return _change(apply)


def claim_evaluation(holder: str, *, spare: float = 0.0) -> bool:
    """Return whether ``holder`` is the one process that evaluates the level, for the next EVALUATOR_SECONDS.

    Its claim is renewed in the second half of that time. Another's must have lapsed ``spare`` seconds ago.
    """
    moment = now()
    row = rows.find(ServiceLevelState, id=_ROW) or _create()
    if row.evaluator == holder and _seconds_left(row, moment) > EVALUATOR_SECONDS / 2:
        return True
    if row.evaluator != holder and _seconds_left(row, moment) > -spare:
        return False
    free = Q(evaluator_until=None) | Q(evaluator_until__lte=moment - timedelta(seconds=spare))
    # A clock that was set back leaves a claim that would last too long.
    free |= Q(evaluator=holder) | Q(evaluator_until__gt=moment + timedelta(seconds=2 * EVALUATOR_SECONDS))
    until = moment + timedelta(seconds=EVALUATOR_SECONDS)
    claimed = ServiceLevelState.objects.filter(free, id=_ROW)
    return claimed.update(evaluator=holder, evaluator_until=until, evaluated_at=moment) == 1


def release_evaluation(holder: str) -> None:
    """Let another process evaluate at once."""
    rows.update(ServiceLevelState, {"id": _ROW, "evaluator": holder}, {"evaluator_until": now()})


def _seconds_left(row: ServiceLevelState, moment: datetime) -> float:
    left = (row.evaluator_until - moment).total_seconds() if row.evaluator_until else float("-inf")
    return left if left <= 2 * EVALUATOR_SECONDS else float("-inf")


def _create() -> ServiceLevelState:
    values = {"level": ServiceLevel.FULL, "reason": NOT_EVALUATED, "since": now()}
    return ServiceLevelState.objects.get_or_create(id=_ROW, defaults=values)[0]


def _change(apply: Callable[[ServiceLevelState], None]) -> LevelStatus:
    """Apply a change to the row's columns, derive level and reason from them, and write what differs."""
    while True:
        row = rows.find(ServiceLevelState, id=_ROW) or _create()
        before, level_before = _columns(row), row.level
        was_pinned = bool(row.pinned_level)
        apply(row)
        row.level, row.reason = _level(row), _reason(row)
        if row.level != level_before:
            row.since = now()
        if _columns(row) == before or _write(row, level_before, was_pinned):
            return _status(row)


def _write(row: ServiceLevelState, level_before: str, was_pinned: bool) -> bool:
    """Return False if another process changed the row meanwhile."""
    values = _columns(row) | {"generation": row.generation + 1, "evaluated_at": row.evaluated_at}
    with recording() as recorder:
        is_changed = rows.update(ServiceLevelState, {"id": row.id, "generation": row.generation}, values) == 1
        if is_changed and (row.level != level_before or bool(row.pinned_level) != was_pinned):
            data = {
                "level": row.level,
                "before": level_before,
                "automatic": not row.pinned_level,
                "reason": row.reason,
                "message": f"The service level is {row.level}. {row.reason}",
            }
            recorder.add(EventType.SYSTEM_LEVEL, owner=SYSTEM, data=data)
    return is_changed


def _columns(row: ServiceLevelState) -> dict[str, Any]:
    """What is written when it changes."""
    names = ("level", "reason", "since", "pinned_level", "pinned_reason", "pinned_by", "pinned_at", "health")
    return {name: getattr(row, name) for name in names}


def _health(row: ServiceLevelState) -> dict[str, ComponentHealth]:
    return {name: ComponentHealth(**document) for name, document in row.health.items()}


def _allowed(row: ServiceLevelState) -> ServiceLevel:
    """The best level that the components allow."""
    return level_of(states_of(_health(row)))


def _level(row: ServiceLevelState) -> str:
    return row.pinned_level or _allowed(row).value


def _reason(row: ServiceLevelState) -> str:
    health = _health(row)
    of_components = reason_of(health) if health or row.evaluated_at else NOT_EVALUATED
    if not row.pinned_level:
        return of_components
    why = f": {row.pinned_reason.rstrip('.')}" if row.pinned_reason else ""
    pinned = f"Pinned by hand{why}."
    allowed = _allowed(row)
    if allowed.rank > ServiceLevel(row.pinned_level).rank:
        return f"{pinned} The components allow no better than {allowed}: {of_components}"
    return pinned if of_components in (ALL_WORK, NOT_EVALUATED) else f"{pinned} {of_components}"


def _status(row: ServiceLevelState) -> LevelStatus:
    return LevelStatus(
        level=ServiceLevel(row.level),
        reason=row.reason,
        automatic=not row.pinned_level,
        since=row.since,
        components=states_of(_health(row)),
        evaluated_at=row.evaluated_at,
        pinned_by=row.pinned_by,
    )
