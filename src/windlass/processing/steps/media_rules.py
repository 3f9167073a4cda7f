"""Whether a picture or a video is within its profile's rules for its kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from windlass.kernel.media_types import matches
from windlass.processing.contract import About, Facts, Rejection, StepContext, StepResult
from windlass.processing.toolkit.rules import GIVES, Limit, Unmeasured, broken, judge

#: fact -> (the rule's name, what a file does by it, its unit)
_MEASURES = {
    "duration": ("duration", "lasts {} s", "seconds"),
    "width": ("dimensions", "is {} pixels wide", "pixels"),
    "height": ("dimensions", "is {} pixels high", "pixels"),
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
        gives=GIVES,
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
        well = f"{rules['kind']}, within its rules"
        return judge(_findings(context.facts, rules), context.facts, context.profile, well)


def _findings(facts: Facts, rules: Mapping[str, Any]) -> Iterator[Rejection | Unmeasured]:
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
    limits = (
        Limit(fact, rule, fact, phrase, unit, rules.get(f"min_{fact}"), rules.get(f"max_{fact}"))
        for fact, (rule, phrase, unit) in _MEASURES.items()
    )
    yield from broken(limits, facts, kind, "media-unreadable")
