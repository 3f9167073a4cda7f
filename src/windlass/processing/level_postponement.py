"""Which steps the service level postpones."""

from __future__ import annotations

from windlass.events.api import service_level
from windlass.processing.contract import About
from windlass.processing.registry import installed
from windlass.resilience.service_level import ServiceLevel, level_for_steps


def level_of_steps() -> ServiceLevel:
    """The level that counts for a worker: the pinned one, else the one by components whose absence is not noticed by
    the steps themselves."""
    status = service_level()
    return level_for_steps(status.components) if status.automatic else status.level


def postponed_because_of_level(about: About, level: ServiceLevel) -> str | None:
    """The reason if the step is postponed at this level, for the file's owner; else None."""
    if level.includes(ServiceLevel(about.runs_down_to)):
        return None
    return f"Postponed: the service level is {level}."


def postponed_steps() -> dict[str, str]:
    """The installed steps that are postponed now, each with the reason."""
    level = level_of_steps()
    reasons = {name: postponed_because_of_level(step.about, level) for name, step in installed().items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}
