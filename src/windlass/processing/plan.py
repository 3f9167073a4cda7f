"""The processing plan: which steps a file goes through, by its profile and type. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from windlass import conf
from windlass.kernel.media_types import is_plain_text, matches
from windlass.processing.contract import STAGES, About
from windlass.processing.registry import installed, missing

if TYPE_CHECKING:
    from windlass.files.api import Profile

#: Per stage, the file's progress (percent) when it starts and when it ends.
PROGRESS = {"intake": (0, 40), "describe": (40, 60), "derive": (60, 100)}

#: The pattern of a step that takes every plain text.
TEXT = "text/*"

#: The switch of the steps that make vectors: on where the profile has search on and EMBEDDINGS is not off.
EMBEDDINGS = "embeddings"

#: How many types a reason names.
MOST_SHOWN = 4


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """``reason`` says why the step is planned; ``owed``, if not empty, why it would be postponed on this machine.

    ``least_level``: the worst service level at which it is run.
    """

    stage: str
    name: str
    title: str
    isolated: bool
    weight: int
    gate: bool = False
    reason: str = ""
    owed: str = ""
    least_level: str = "maintenance"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A step that is installed and not planned, with the reason."""

    stage: str
    name: str
    title: str
    reason: str


@lru_cache(maxsize=512)
def plan_for(profile: Profile, mime_type: str | None, also: tuple[str, ...] = ()) -> Sequence[PlannedStep]:
    """The plan by the installed steps. Raises BrokenStep."""
    abouts = [step.about for step in installed().values()]
    return tuple(make_plan(abouts, profile_document(profile), mime_type, missing, also))


@lru_cache(maxsize=64)
def profile_document(profile: Profile) -> Mapping[str, Any]:
    """The profile as steps see it."""
    embeddings = profile.search and conf.get().embeddings != "off"
    return MappingProxyType(profile.document() | {EMBEDDINGS: embeddings})


def make_plan(
    steps: Iterable[About],
    profile: Mapping[str, Any],
    mime_type: str | None,
    lacking: Callable[[About], str | None] = lambda _: None,
    also: Sequence[str] = (),
) -> list[PlannedStep]:
    """Return the planned steps in order; only those of intake while ``mime_type`` is None.

    ``also``: further types that the same bytes have. ``lacking`` returns what a step needs that is not installed; the
    step is planned and would be postponed.
    """
    types = _types_of(mime_type, also)
    wanted = _wanted(_in_order(steps), profile, types)
    return [_planned(about, types, lacking(about)) for about in wanted]


def left_out(
    steps: Iterable[About], profile: Mapping[str, Any], mime_type: str | None, also: Sequence[str] = ()
) -> list[LeftOut]:
    """Return the steps that are not in the plan, each with its reason."""
    ordered = _in_order(steps)
    wanted = _wanted(ordered, profile, _types_of(mime_type, also))
    return [
        LeftOut(about.stage, about.name, about.title, _why_not(about, profile, mime_type))
        for about in ordered
        if about not in wanted
    ]


def _wanted(steps: Sequence[About], profile: Mapping[str, Any], types: Sequence[str]) -> list[About]:
    """The steps of a plan, without those that follow none of them."""
    applying = [about for about in steps if applies(about, profile, types)]
    names = {about.name for about in applying}
    return [about for about in applying if not about.follows or names.intersection(about.follows)]


def _types_of(mime_type: str | None, also: Sequence[str]) -> list[str]:
    return [] if mime_type is None else [mime_type, *also]


def _in_order(steps: Iterable[About]) -> list[About]:
    return sorted(steps, key=lambda about: (STAGES.index(about.stage), about.order, about.name))


def _planned(about: About, types: Sequence[str], lacking: str | None) -> PlannedStep:
    gate = about.gate or about.stage == "intake"
    reason = _why(about, types)
    return PlannedStep(
        about.stage,
        about.name,
        about.title,
        about.isolated,
        about.weight,
        gate,
        reason,
        lacking or "",
        about.runs_down_to,
    )


def _why(about: About, types: Sequence[str]) -> str:
    if about.stage == "intake":
        kind = "every file"
    else:
        pattern = next(filter(None, (_pattern_for(about, name) for name in _taken(about, types))))
        kind = "every type" if pattern == "*/*" else f"for {pattern}"
    if about.follows:
        kind = f"after {' or '.join(about.follows)}"
    return f"{kind}; the profile has {about.wanted_by} on" if about.wanted_by else kind


def _why_not(about: About, profile: Mapping[str, Any], mime_type: str | None) -> str:
    if _is_off(about, profile):
        by_setting = about.wanted_by == EMBEDDINGS and profile.get("search")
        return "the setting EMBEDDINGS is off" if by_setting else f"the profile has {about.wanted_by} off"
    if about.follows:
        return f"none of the steps that it follows is planned: {', '.join(about.follows)}"
    shown, more = about.mime_types[:MOST_SHOWN], len(about.mime_types) - MOST_SHOWN
    others = f" and {more} more" if more > 0 else ""
    return f"not for {mime_type or 'a type that is not known yet'}: it takes {', '.join(shown)}{others}"


def _is_off(about: About, profile: Mapping[str, Any]) -> bool:
    return about.wanted_by is not None and not profile.get(about.wanted_by)


def applies(about: About, profile: Mapping[str, Any], types: Sequence[str]) -> bool:
    """Return whether a step is for a file of these types, whatever it follows: its main type first; none before it is
    known."""
    if _is_off(about, profile):
        return False
    if about.stage == "intake":
        return True
    return any(_pattern_for(about, name) is not None for name in _taken(about, types))


def _taken(about: About, types: Sequence[str]) -> Sequence[str]:
    return types if about.also else types[:1]


def _pattern_for(about: About, mime_type: str) -> str | None:
    """Return the step's pattern that takes the type. ``text/*`` takes whatever is text, whatever its type begins with:
    application/yaml, model/gltf+json, application/atom+xml."""
    pattern = next((each for each in about.mime_types if matches(mime_type, [each])), None)
    return pattern or (TEXT if TEXT in about.mime_types and is_plain_text(mime_type) else None)


def next_stage(plan: Sequence[PlannedStep], stage: str) -> str | None:
    """Return the next stage that has steps; None if there is none."""
    later = STAGES[STAGES.index(stage) + 1 :]
    return next((name for name in later if any(step.stage == name for step in plan)), None)


def passes_gate(plan: Sequence[PlannedStep], stage: str) -> bool:
    """Return whether a file may be served after this stage: no later stage has a step that may refuse it."""
    later = STAGES[STAGES.index(stage) + 1 :]
    return not any(step.gate and step.stage in later for step in plan)


def overall(plan: Sequence[PlannedStep], ended: Iterable[str], running: str | None = None, percent: int = 0) -> int:
    """Return the file's progress, 0 to 99, while the step ``running`` is at ``percent`` and ``ended`` are finished.

    Each stage has a fixed share, because the steps after intake are not known while it runs.
    """
    done = set(ended)
    stage = next((step.stage for step in plan if step.name not in done), None)
    if stage is None:  # the steps after intake are not planned before the type is known
        return min(99, PROGRESS[plan[-1].stage][1]) if plan else 99
    steps = [step for step in plan if step.stage == stage]
    points = sum(100 * step.weight for step in steps if step.name in done)
    points += sum(percent * step.weight for step in steps if step.name == running and step.name not in done)
    begins, ends = PROGRESS[stage]
    return min(99, begins + (ends - begins) * points // (100 * sum(step.weight for step in steps)))
