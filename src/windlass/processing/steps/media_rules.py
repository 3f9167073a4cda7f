"""Whether a picture or a video is within its profile's rules for its kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from windlass.kernel.media_types import matches
from windlass.processing.contract import About, Facts, Rejection, StepContext, StepResult

#: fact -> (the rule's name, what it is called, its unit)
_MEASURES = {
    "duration": ("duration", "lasts", "s"),
    "width": ("dimensions", "is", "pixels wide"),
    "height": ("dimensions", "is", "pixels high"),
}


class MediaRules:
    """Reads no byte: it compares what earlier steps found. The first rule that says no decides, and the
    file is not served before."""

    about = About(
        name="media_rules",
        stage="describe",
        title="Checking the media rules",
        order=50,
        isolated=False,
        wanted_by="media_types",
        gate=True,
    )

    def run(self, context: StepContext) -> StepResult:
        found = context.facts["mime_type"]
        kinds = context.profile["media_types"]
        rules = next((each for each in kinds if matches(found, each["content_types"])), None)
        if rules is None:
            taken = [name for each in kinds for name in each["content_types"]]
            detail = f"The content is {found}; allowed are {', '.join(taken)}."
            return StepResult(verdict=Rejection("type-not-allowed", detail, taken, found))
        for verdict in _verdicts(context.facts, rules):
            return StepResult(verdict=verdict)
        return StepResult(detail=f"{rules['kind']}, within its rules")


def _verdicts(facts: Facts, rules: Mapping[str, Any]) -> Iterator[Rejection]:
    kind = rules["kind"]
    claimed = facts.get("metadata", {}).get("media_type")
    if claimed is not None and claimed != kind:
        detail = f"The media type was given as {claimed}, but the content is {facts['mime_type']}."
        yield Rejection("media-type", detail, claimed, kind)
    most = rules["max_size"]
    if most is not None and facts["size"] > most:
        yield Rejection(
            "size", f"The {kind} has {facts['size']} bytes; at most {most} are allowed.", most, facts["size"]
        )
    for fact in _MEASURES:
        yield from _measured(facts, rules, fact)


def _measured(facts: Facts, rules: Mapping[str, Any], fact: str) -> Iterator[Rejection]:
    rule, verb, unit = _MEASURES[fact]
    least, most = rules.get(f"min_{fact}"), rules.get(f"max_{fact}")
    actual = facts.get(fact)
    if least is None and most is None:
        return
    if actual is None:
        yield Rejection(
            "media-unreadable", f"The {rules['kind']}'s {fact} cannot be read from it.", least or most, None
        )
    elif least is not None and actual < least:
        yield Rejection(
            rule, f"The {rules['kind']} {verb} {actual} {unit}; at least {least} {unit} needed.", least, actual
        )
    elif most is not None and actual > most:
        yield Rejection(
            rule, f"The {rules['kind']} {verb} {actual} {unit}; at most {most} {unit} allowed.", most, actual
        )
