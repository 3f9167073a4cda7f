"""The steps that are installed, found by entry point: ours and those of plug-ins, alike.

Finding them imports their modules and none of their libraries, so that any process may ask.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

from windlass.processing.contract import STAGES, About, Step

GROUP = "windlass.steps"
OURS = "windlass."

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class BrokenStep(Exception):
    """A step that Windlass needs cannot be loaded, so nothing may be processed."""


@lru_cache(maxsize=1)
def installed() -> Mapping[str, Step]:
    """Every usable step by name. Raises BrokenStep."""
    return load(entry_points(group=GROUP))


def step(name: str) -> Step:
    """Raises BrokenStep for a step that was planned and is no longer installed."""
    found = installed().get(name)
    if found is None:
        raise BrokenStep(f"The step {name} is not installed here.")
    return found


def missing(about: About) -> str | None:
    """Why this step cannot be done here, where a library that comes with an extra only is not installed."""
    if about.extra is None or all(_is_there(library) for library in about.libraries):
        return None
    return f"Needs windlass[{about.extra}]."


@lru_cache(maxsize=256)
def _is_there(library: str) -> bool:
    return find_spec(library.partition(".")[0]) is not None


def load(points: Iterable[EntryPoint]) -> Mapping[str, Step]:
    """Ours first, and all of them; a plug-in's that is broken, or takes a name that is taken, is left out."""
    ordered = sorted(points, key=lambda point: (not _is_ours(point), point.name))
    if not ordered or not _is_ours(ordered[0]):
        raise BrokenStep("The steps of Windlass are not installed: install the package again.")
    found: dict[str, Step] = {}
    for point in ordered:
        try:
            if point.name in found:
                raise BrokenStep(f"there is a step {point.name} already")
            found[point.name] = _load(point)
        except Exception as error:  # a plug-in may fail in any way; it must not take the others with it
            if _is_ours(point):
                raise BrokenStep(f"The step {point.name} cannot be loaded: {error}") from error
            _left_out(point, error)
    return found


def _left_out(point: EntryPoint, error: Exception) -> None:
    import structlog  # with all that it imports it would make each fork of the sandbox's parent dearer

    structlog.get_logger(__name__).warning("step.left_out", step=point.name, module=point.module, reason=str(error))


def _is_ours(point: EntryPoint) -> bool:
    return point.value.startswith(OURS)


def _load(point: EntryPoint) -> Step:
    made: Step = point.load()()
    wrong = _wrong(made.about, point.name)
    if wrong:
        raise BrokenStep(wrong)
    return made


def _wrong(about: About, name: str) -> str | None:
    if about.name != name or not _NAME.fullmatch(name):
        return f"it calls itself {about.name!r}, which must be its entry point's name and {_NAME.pattern}"
    if about.stage not in STAGES:
        return f"its stage {about.stage!r} is none of {', '.join(STAGES)}"
    if not all(_NAME.fullmatch(made.name) for made in about.makes):
        return f"its renditions' names must be {_NAME.pattern}"
    return None if about.weight > 0 else "its weight must be greater than 0"
