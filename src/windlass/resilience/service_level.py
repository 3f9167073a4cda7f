"""Service levels: how much of the server works, computed from the states of its components. Pure.

A component's state counts only once it has lasted: a worse one for its time in FALL_SECONDS, and so in two evaluations;
a better one for RISE_SECONDS. So one failed check lowers nothing, and a component that comes and goes keeps the level
low.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class ServiceLevel(StrEnum):
    """From the best to the worst."""

    FULL = "full"  # nothing is left out
    DEGRADED = "degraded"  # steps that take long, such as OCR and previews, are owed
    BASIC = "basic"  # bytes are received, checked and served; what is derived from them is owed
    MAINTENANCE = "maintenance"  # new uploads are refused; those under way may finish; downloads go on

    @property
    def rank(self) -> int:
        """0 is the best level."""
        return _ORDER.index(self)

    def includes(self, least: ServiceLevel) -> bool:
        """Whether work that needs at least the level ``least`` is done at this one."""
        return self.rank <= least.rank


_ORDER = tuple(ServiceLevel)

OK, IMPAIRED, FAILED, OFF = "ok", "impaired", "failed", "off"

#: How long a worse state must last before it counts (seconds): less than the time between two evaluations, but longer
#: where a disk that is slow for a moment looks like one that is away.
FALL_SECONDS: Mapping[str, float] = MappingProxyType({"database": 3.0, "store": 3.0})
USUAL_FALL_SECONDS = 0.8
#: How long a better state must last before it counts (seconds).
RISE_SECONDS = 10.0

#: The level that a component's state allows. A pair that is not here allows the full level. ``content`` and ``clock``
#: are not here: a damaged file or a wrong clock leaves nothing out for other files, and may last for days.
LEVELS: Mapping[tuple[str, str], ServiceLevel] = MappingProxyType(
    {
        ("database", FAILED): ServiceLevel.MAINTENANCE,
        ("migrations", FAILED): ServiceLevel.MAINTENANCE,
        ("store", FAILED): ServiceLevel.MAINTENANCE,
        ("disk", FAILED): ServiceLevel.MAINTENANCE,
        ("disk", IMPAIRED): ServiceLevel.MAINTENANCE,  # below DISK_RESERVE_MB
        ("broker", FAILED): ServiceLevel.BASIC,
        ("workers.intake", FAILED): ServiceLevel.BASIC,
        ("sandbox", FAILED): ServiceLevel.BASIC,
        ("workers.describe", FAILED): ServiceLevel.DEGRADED,
        ("workers.derive", FAILED): ServiceLevel.DEGRADED,
        ("scanner", FAILED): ServiceLevel.DEGRADED,
        ("other_stores", FAILED): ServiceLevel.DEGRADED,
        ("other_stores", IMPAIRED): ServiceLevel.DEGRADED,
        ("scheduler", FAILED): ServiceLevel.DEGRADED,
        ("queue", IMPAIRED): ServiceLevel.DEGRADED,  # sheds long steps until the backlog is worked off
        ("queue", FAILED): ServiceLevel.DEGRADED,
    }
)

_NAMES = {
    "database": "The database",
    "migrations": "The database's schema",
    "store": "The default store",
    "disk": "The disk",
    "broker": "The broker",
    "workers.intake": "Intake workers",
    "workers.describe": "Describe workers",
    "workers.derive": "Derive workers",
    "sandbox": "The sandbox",
    "scanner": "The malware scanner",
    "other_stores": "Other stores",
    "scheduler": "The scheduler",
    "queue": "The queue",
}

#: While one of these is away, or the disk is full, processing waits by itself. A step that runs nevertheless is not
#: postponed: that it runs proves that what it needs is there.
WAITS_BY_ITSELF = frozenset(
    {"database", "migrations", "store", "disk", "broker", "workers.intake", "workers.describe", "workers.derive"}
)

ALL_WORK = "Every component works."


@dataclass(frozen=True, slots=True)
class Observation:
    """What a check of a component said."""

    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """A component's last observed state, and the one that ``counts``. Times are seconds since the epoch.

    ``detail`` belongs to the observed state when it was first seen.
    """

    observed: str
    since: float
    detail: str
    counts: str
    counts_since: float
    counts_detail: str

    def document(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


Health = Mapping[str, ComponentHealth]


def observe(before: Health, seen: Mapping[str, Observation], at: float, unknown: Collection[str] = ()) -> Health:
    """Return the health after an evaluation at the time ``at`` (seconds since the epoch).

    A component that ``seen`` does not name is forgotten, unless it is ``unknown``: then it stays as it was. Returns
    equal values if nothing changed.
    """
    kept = {name: before[name] for name in unknown if name in before}
    return kept | {name: _observed(name, before.get(name), each, at) for name, each in seen.items()}


def _observed(name: str, before: ComponentHealth | None, seen: Observation, at: float) -> ComponentHealth:
    if before is None:
        before = ComponentHealth(OK, at, "", OK, at, "")
        if _level(name, seen.state) is ServiceLevel.FULL:
            return ComponentHealth(seen.state, at, seen.detail, seen.state, at, seen.detail)
    if seen.state != before.observed or at < before.since:  # a clock that was set back starts the wait anew
        before = replace(before, observed=seen.state, since=at, detail=seen.detail)
    return _counted(before, at) if _must_count(name, before, at) else before


def _must_count(name: str, health: ComponentHealth, at: float) -> bool:
    if health.observed == health.counts:
        return False
    change = _level(name, health.observed).rank - _level(name, health.counts).rank
    if change == 0:
        return True
    fall = FALL_SECONDS.get(name, USUAL_FALL_SECONDS)
    return at - health.since >= (fall if change > 0 else RISE_SECONDS)


def _counted(health: ComponentHealth, at: float) -> ComponentHealth:
    since = health.since if health.observed != OK else at
    return replace(health, counts=health.observed, counts_since=since, counts_detail=health.detail)


def level_of(states: Mapping[str, str]) -> ServiceLevel:
    """The best level that these states, by component, allow."""
    return max((_level(*each) for each in states.items()), key=lambda level: level.rank, default=ServiceLevel.FULL)


def level_for_steps(states: Mapping[str, str]) -> ServiceLevel:
    """The level by which a running worker decides whether to postpone a step."""
    return level_of({name: state for name, state in states.items() if name not in WAITS_BY_ITSELF})


def causes_of(level: ServiceLevel, states: Mapping[str, str]) -> list[str]:
    """Names of the components whose states allow no better than ``level``."""
    return sorted(name for name, state in states.items() if _level(name, state).rank >= max(level.rank, 1))


def states_of(health: Health) -> dict[str, str]:
    """The state that counts, by component."""
    return {name: each.counts for name, each in health.items()}


def reason_of(health: Health) -> str:
    """A sentence for each component that lowers the level, the worst first; never empty."""
    lowering = [(name, each) for name, each in health.items() if _level(name, each.counts) is not ServiceLevel.FULL]
    lowering.sort(key=lambda item: (-_level(item[0], item[1].counts).rank, item[1].counts_since, item[0]))
    return " ".join(_sentence(name, each) for name, each in lowering) or ALL_WORK


def _sentence(name: str, health: ComponentHealth) -> str:
    since = datetime.fromtimestamp(health.counts_since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    detail = f" ({health.counts_detail.rstrip('.')})" if health.counts_detail else ""
    return f"{_NAMES.get(name, name)}: {health.counts} since {since}{detail}."


def _level(name: str, state: str) -> ServiceLevel:
    return LEVELS.get((name, state), ServiceLevel.FULL)


# Features


@dataclass(frozen=True, slots=True)
class Feature:
    """What a user can rely on: ``least`` is the worst level at which it works, ``needs`` are components that must not
    have failed."""

    least: ServiceLevel
    needs: frozenset[str]


_RECORDS = frozenset({"database", "migrations"})
_BYTES = _RECORDS | {"store"}
_INTAKE = _BYTES | {"broker", "workers.intake", "sandbox"}
_DESCRIBE = _INTAKE | {"workers.describe"}
_DERIVE = _DESCRIBE | {"workers.derive"}

#: Components that an installation may do without.
OPTIONAL = frozenset({"scanner", "other_stores"})

#: In the order in which they are listed.
FEATURES: Mapping[str, Feature] = MappingProxyType(
    {
        "uploads": Feature(ServiceLevel.BASIC, _BYTES | {"disk"}),
        "downloads": Feature(ServiceLevel.MAINTENANCE, _BYTES),
        "live_events": Feature(ServiceLevel.MAINTENANCE, _RECORDS),
        "malware_scan": Feature(ServiceLevel.MAINTENANCE, _INTAKE | {"scanner"}),
        "processing": Feature(ServiceLevel.MAINTENANCE, _DESCRIBE),
        "text": Feature(ServiceLevel.MAINTENANCE, _DESCRIBE),
        "thumbnails": Feature(ServiceLevel.DEGRADED, _DERIVE),
        "previews": Feature(ServiceLevel.FULL, _DERIVE),
        "ocr": Feature(ServiceLevel.FULL, _DESCRIBE),
        "other_stores": Feature(ServiceLevel.MAINTENANCE, _RECORDS | {"other_stores"}),
        "webhooks": Feature(ServiceLevel.MAINTENANCE, _RECORDS | {"scheduler"}),
        "scheduled_tasks": Feature(ServiceLevel.MAINTENANCE, _RECORDS | {"scheduler"}),
    }
)


def features_of(level: ServiceLevel, states: Mapping[str, str], left_out: Collection[str] = ()) -> list[str]:
    """Return the features that work at ``level`` with these states of components, in the order of FEATURES.

    A component that ``states`` does not name works. ``left_out``: features that are not set up or not installed.
    """
    unusable = {name for name, state in states.items() if _is_unusable(name, state)}
    return [
        name
        for name, feature in FEATURES.items()
        if name not in left_out and level.includes(feature.least) and not feature.needs & unusable
    ]


def _is_unusable(name: str, state: str) -> bool:
    if state == IMPAIRED:
        return (name, state) in LEVELS and name != "queue"
    return state == FAILED or (state == OFF and name in OPTIONAL)
