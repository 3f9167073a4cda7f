"""Whether what earlier steps found in a file is within its profile's rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windlass.kernel.media_types import ARCHIVES, MEASURED, matches
from windlass.processing.contract import About, Facts, Rejection, StepContext, StepResult

#: Below this many unpacked bytes no ratio is too high: a small file of one letter is no bomb.
RATIO_COUNTS_FROM = 10 * 1024 * 1024
#: The largest figure that every reader of JSON takes for what it is.
MOST_SAID = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Measure:
    """One fact and the profile's keys that bound it. ``surely``: types whose files have the fact; one of them in which
    it could not be found breaks the rule, for nobody can tell."""

    fact: str
    rule: str
    said: str
    unit: str
    least: str | None
    most: str | None
    surely: tuple[str, ...] = ()


MEASURES = (
    Measure("width", "dimensions", "is {} pixels wide", "pixels", "min_width", "max_width", MEASURED),
    Measure("height", "dimensions", "is {} pixels high", "pixels", "min_height", "max_height", MEASURED),
    Measure("pixels", "pixels", "has {} pixels", "pixels", None, "max_pixels", MEASURED),
    Measure("duration", "duration", "lasts {} s", "s", "min_duration", "max_duration", ("audio/*", "video/*")),
    Measure("page_count", "pages", "has {} pages", "pages", None, "max_pages", ("application/pdf",)),
)
ARCHIVE_MEASURES = (
    Measure("entries", "archive-entries", "has {} entries", "entries", None, "max_archive_entries"),
    Measure("unpacked_size", "unpacked-size", "has {} bytes unpacked", "bytes", None, "max_unpacked_size"),
    Measure("archive_ratio", "archive-ratio", "is packed {} to 1", "to 1", None, "max_archive_ratio"),
)


class ContentRules:
    """Reads no byte: it compares facts. The first rule that says no decides, and the file is not served before."""

    about = About(
        name="content_rules",
        stage="describe",
        title="Checking the rules for the content",
        order=50,
        isolated=False,
        wanted_by="content_rules",
        gate=True,
    )

    def run(self, context: StepContext) -> StepResult:
        locked = _locked(context.facts, context.profile)
        return StepResult(verdict=locked) if locked else _judged(context, MEASURES)


class ArchiveRules:
    """Reads no byte: it compares what the archive says of itself, so that nobody downloads a bomb. The first rule that
    says no decides, and the file is not served before."""

    about = About(
        name="archive_rules",
        stage="describe",
        title="Checking the rules for archives",
        order=51,
        isolated=False,
        mime_types=ARCHIVES,
        wanted_by="archive_rules",
        gate=True,
    )

    def run(self, context: StepContext) -> StepResult:
        return _judged(context, ARCHIVE_MEASURES)


def _judged(context: StepContext, measures: Sequence[Measure]) -> StepResult:
    facts = _with_pixels(context.facts)
    for measure in measures:
        for verdict in _verdicts(measure, facts, context.profile):
            return StepResult(verdict=verdict)
    return StepResult(detail="Within the rules")


def _verdicts(measure: Measure, facts: Facts, profile: Mapping[str, Any]) -> Iterator[Rejection]:
    """0 sets no limit."""
    least = profile[measure.least] if measure.least else 0
    most = profile[measure.most] if measure.most else 0
    actual = facts.get(measure.fact)
    if not least and not most:
        return
    if actual is None:
        if matches(facts["mime_type"], measure.surely) and not facts.get("encrypted"):
            detail = f"The file's {measure.fact.replace('_', ' ')} cannot be read from it."
            yield Rejection("content-unreadable", detail, most or least, None)
    elif least and actual < least:
        yield _rejection(measure, f"at least {least} {measure.unit} needed", least, actual)
    elif most and _exceeds(measure, facts, most) and not _is_harmless(measure, facts):
        yield _rejection(measure, f"at most {most} {measure.unit} allowed", most, actual)


def _rejection(measure: Measure, limit_said: str, limit: float, actual: float) -> Rejection:
    return Rejection(measure.rule, f"The file {measure.said.format(actual)}; {limit_said}.", limit, actual)


def _exceeds(measure: Measure, facts: Facts, most: float) -> bool:
    """Unpacking ends at the limit: what has at least that much has more."""
    actual: float = facts[measure.fact]
    cut = measure.fact == "unpacked_size" and facts.get("unpacked_size_is") == "at least"
    return actual > most or (cut and actual >= most)


def _is_harmless(measure: Measure, facts: Facts) -> bool:
    return measure.fact == "archive_ratio" and facts.get("unpacked_size", RATIO_COUNTS_FROM) < RATIO_COUNTS_FROM


def _locked(facts: Facts, profile: Mapping[str, Any]) -> Rejection | None:
    if profile["encrypted"] or not facts.get("encrypted"):
        return None
    return Rejection("encrypted", "The file is locked with a password; such files are refused.", False, True)


def _with_pixels(facts: Facts) -> Facts:
    sides = facts.get("width"), facts.get("height")
    return facts if None in sides else {**facts, "pixels": min(facts["width"] * facts["height"], MOST_SAID)}
