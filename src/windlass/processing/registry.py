"""The installed steps, found by entry point: those of Windlass and of plug-ins alike.

Loading them imports their modules and none of their libraries, so any process may do it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

from windlass.processing.contract import STAGES, About, Step

GROUP = "windlass.steps"
#: Values of ``About.least_level``: the service levels.
LEVELS = ("full", "degraded", "basic", "maintenance")
OURS = "windlass."

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class BrokenStep(Exception):
    """A step of Windlass cannot be loaded, so nothing may be processed."""


@lru_cache(maxsize=1)
def installed() -> Mapping[str, Step]:
    """Return every usable step by name. Raises BrokenStep."""
    return load(entry_points(group=GROUP))


def step(name: str) -> Step:
    """Raises BrokenStep for a step that was planned and is no longer installed."""
    known = installed().get(name)
    if known is None:
        raise BrokenStep(f"The step {name} is not installed here.")
    return known


def missing(about: About) -> str | None:
    """Return which extra of the package the step lacks; None if its libraries are installed."""
    if about.extra is None or all(_is_installed(library) for library in about.libraries):
        return None
    return f"Needs windlass[{about.extra}]."


@lru_cache(maxsize=256)
def _is_installed(library: str) -> bool:
    return find_spec(library.partition(".")[0]) is not None


def load(points: Iterable[EntryPoint]) -> Mapping[str, Step]:
    """Load the steps of Windlass first. A step of a plug-in that is broken or reuses a name is left out and logged."""
    ordered = sorted(points, key=lambda point: (not _is_ours(point), point.name))
    if not ordered or not _is_ours(ordered[0]):
        raise BrokenStep("The steps of Windlass are not installed: install the package again.")
    steps: dict[str, Step] = {}
    for point in ordered:
        try:
            if point.name in steps:
                raise BrokenStep(f"there is a step {point.name} already")
            steps[point.name] = _load(point)
        except Exception as error:  # a plug-in may fail in any way; the others must still load
            if _is_ours(point):
                raise BrokenStep(f"The step {point.name} cannot be loaded: {error}") from error
            _log_left_out(point, error)
    return steps


def _log_left_out(point: EntryPoint, error: Exception) -> None:
    import structlog  # importing it would make each fork of the sandbox's parent cost more

    structlog.get_logger(__name__).warning("step.left_out", step=point.name, module=point.module, reason=str(error))


def _is_ours(point: EntryPoint) -> bool:
    return point.value.startswith(OURS)


def _load(point: EntryPoint) -> Step:
    loaded: Step = point.load()()
    problem = _problem(loaded.about, point.name)
    if problem:
        raise BrokenStep(problem)
    return loaded


def _problem(about: About, name: str) -> str | None:
    if about.name != name or not _NAME.fullmatch(name):
        return f"its name is {about.name!r}; it must be the name of its entry point and match {_NAME.pattern}"
    if about.stage not in STAGES:
        return f"its stage {about.stage!r} is none of {', '.join(STAGES)}"
    if not all(_NAME.fullmatch(made.name) for made in about.makes):
        return f"its renditions' names must be {_NAME.pattern}"
    if not all(_NAME.fullmatch(service) for service in about.services):
        return f"its services' names must match {_NAME.pattern}"
    if not all(_NAME.fullmatch(followed) for followed in about.follows):
        return f"the steps that it follows must match {_NAME.pattern}"
    if about.services and about.isolated:
        return "it names services, but a step in the sandbox can call none"
    if problem := _level_problem(about):
        return problem
    return None if about.weight > 0 else "its weight must be greater than 0"


def _level_problem(about: About) -> str | None:
    if about.runs_down_to not in LEVELS:
        return f"its least_level {about.least_level!r} is none of {', '.join(LEVELS)}"
    if (about.gate or about.stage == "intake") and about.runs_down_to != "maintenance":
        return "its least_level must be empty or 'maintenance': a file is not served before this step has run"
    return None
