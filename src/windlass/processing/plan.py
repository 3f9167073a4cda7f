"""Which steps a file goes through: a pure function of its profile and type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from windlass.kernel.media_types import is_plain_text, matches
from windlass.processing.contract import STAGES, About

#: Where the overall progress stands when a stage begins and when it is done.
PROGRESS = {"intake": (0, 40), "describe": (40, 60), "derive": (60, 100)}


#: How a step says that it takes every text.
TEXT = "text/*"

#: Types that an explanation names.
MOST_SHOWN = 4


def _nothing(_: About) -> str | None:
    """For those who do not ask what can be done here."""
    return None


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One line of the plan. ``reason`` says why it is there; ``owed``, where it is not empty, why it would be left for
    later here. ``windlass plan`` prints it."""

    stage: str
    name: str
    title: str
    isolated: bool
    weight: int
    gate: bool = False
    reason: str = ""
    owed: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A step that is installed and not planned, and why."""

    stage: str
    name: str
    title: str
    reason: str

    def document(self) -> dict[str, Any]:
        return asdict(self)


def make_plan(
    steps: Iterable[About],
    profile: Mapping[str, Any],
    mime_type: str | None,
    lacking: Callable[[About], str | None] = _nothing,
    also: Sequence[str] = (),
) -> list[PlannedStep]:
    """The steps in order. Before the type is known, intake only: what follows it depends on the type.

    ``also`` are further types that the same bytes have. ``lacking`` says what a step needs that is not here: it is
    planned, and owed.
    """
    types = _types_of(mime_type, also)
    wanted = [about for about in _in_order(steps) if applies(about, profile, types)]
    return [_planned(about, types, lacking(about)) for about in wanted]


def left_out(
    steps: Iterable[About], profile: Mapping[str, Any], mime_type: str | None, also: Sequence[str] = ()
) -> list[LeftOut]:
    """The steps that are not in the plan, each with its reason."""
    return [
        LeftOut(about.stage, about.name, about.title, _why_not(about, profile, mime_type))
        for about in _in_order(steps)
        if not applies(about, profile, _types_of(mime_type, also))
    ]


def _types_of(mime_type: str | None, also: Sequence[str]) -> list[str]:
    return [] if mime_type is None else [mime_type, *also]


def _in_order(steps: Iterable[About]) -> list[About]:
    return sorted(steps, key=lambda about: (STAGES.index(about.stage), about.order, about.name))


def _planned(about: About, types: Sequence[str], lacking: str | None) -> PlannedStep:
    gate = about.gate or about.stage == "intake"
    reason = _why(about, types)
    return PlannedStep(about.stage, about.name, about.title, about.isolated, about.weight, gate, reason, lacking or "")


def _why(about: About, types: Sequence[str]) -> str:
    if about.stage == "intake":
        kind = "every file"
    else:
        pattern = next(filter(None, (_pattern_for(about, name) for name in _taken(about, types))))
        kind = "every type" if pattern == "*/*" else f"for {pattern}"
    return f"{kind}; the profile has {about.wanted_by} on" if about.wanted_by else kind


def _why_not(about: About, profile: Mapping[str, Any], mime_type: str | None) -> str:
    if _is_off(about, profile):
        return f"the profile has {about.wanted_by} off"
    shown, more = about.mime_types[:MOST_SHOWN], len(about.mime_types) - MOST_SHOWN
    others = f" and {more} more" if more > 0 else ""
    return f"not for {mime_type or 'a type that is not known yet'}: it takes {', '.join(shown)}{others}"


def _is_off(about: About, profile: Mapping[str, Any]) -> bool:
    return about.wanted_by is not None and not profile.get(about.wanted_by)


def applies(about: About, profile: Mapping[str, Any], types: Sequence[str]) -> bool:
    """Whether a step is for a file of these types, its own first; none before it is known."""
    if _is_off(about, profile):
        return False
    if about.stage == "intake":
        return True
    return any(_pattern_for(about, name) is not None for name in _taken(about, types))


def _taken(about: About, types: Sequence[str]) -> Sequence[str]:
    return types if about.also else types[:1]


def _pattern_for(about: About, mime_type: str) -> str | None:
    """Which of the step's patterns the type is taken by. ``text/*`` takes whatever is text, whatever its type begins
    with: application/yaml, model/gltf+json, application/atom+xml."""
    found = next((each for each in about.mime_types if matches(mime_type, [each])), None)
    return found or (TEXT if TEXT in about.mime_types and is_plain_text(mime_type) else None)


def next_stage(plan: Sequence[PlannedStep], stage: str) -> str | None:
    """The stage after this one that has anything to do; None where the file is ready."""
    later = STAGES[STAGES.index(stage) + 1 :]
    return next((name for name in later if any(step.stage == name for step in plan)), None)


def passes_gate(plan: Sequence[PlannedStep], stage: str) -> bool:
    """Whether a file that is through this stage may be served: no later one has a step that may refuse it."""
    later = STAGES[STAGES.index(stage) + 1 :]
    return not any(step.gate and step.stage in later for step in plan)


def overall(plan: Sequence[PlannedStep], ended: Iterable[str], running: str | None = None, percent: int = 0) -> int:
    """The file's progress, 0 to 99, while the step ``running`` is at ``percent`` and those in ``ended`` are over.

    Each stage has its share, since what follows intake is not known while it runs.
    """
    done = set(ended)
    stage = next((step.stage for step in plan if step.name not in done), None)
    if stage is None:  # what comes after intake is not in the plan before the type is known
        return min(99, PROGRESS[plan[-1].stage][1]) if plan else 99
    steps = [step for step in plan if step.stage == stage]
    points = sum(100 * step.weight for step in steps if step.name in done)
    points += sum(percent * step.weight for step in steps if step.name == running and step.name not in done)
    begins, ends = PROGRESS[stage]
    return min(99, begins + (ends - begins) * points // (100 * sum(step.weight for step in steps)))
