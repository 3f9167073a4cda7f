"""Whether what earlier steps found in a file is within its profile's rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from windlass.kernel.media_types import ARCHIVES, matches
from windlass.processing.contract import About, Facts, Rejection, StepContext, StepResult
from windlass.processing.formats.archives.survey import LARGEST_INTEGER, RATIO_CHECKED_FROM
from windlass.processing.toolkit.rules import GIVES, Limit, Unmeasured, broken, judge

#: Types whose files have a size in pixels, a duration, pages, and say whether they are locked.
_PICTURED, _LASTING, _PAGED = ("image/*", "video/*"), ("audio/*", "video/*"), ("application/pdf",)
_LOCKABLE = ("application/pdf", *ARCHIVES)


class ContentRules:
    """Reads no byte: it compares facts. The first rule that says no decides, and the file is not served before."""

    about = About(
        name="content_rules",
        stage="describe",
        title="Checking the rules for the content",
        order=50,
        isolated=False,
        wanted_by="content_rules",
        gives=GIVES,
        gate=True,
    )

    def run(self, context: StepContext) -> StepResult:
        return judge(_findings(context.facts, context.profile), context.facts, context.profile, "Within the rules")


class ArchiveRules:
    """Reads no byte: it compares what was found in the archive, so that nobody downloads a bomb. The first rule that
    says no decides, and the file is not served before. What was not looked through whole is refused."""

    about = About(
        name="archive_rules",
        stage="describe",
        title="Checking the rules for archives",
        order=51,
        isolated=False,
        mime_types=ARCHIVES,
        also=True,
        wanted_by="archive_rules",
        gives=GIVES,
        gate=True,
    )

    def run(self, context: StepContext) -> StepResult:
        found = _archive_findings(context.facts, context.profile)
        return judge(found, context.facts, context.profile, "Within the rules")


def _findings(facts: Facts, profile: Mapping[str, Any]) -> Iterator[Rejection | Unmeasured]:
    locked = facts.get("encrypted")
    if not profile["encrypted"] and locked:
        detail = "The file is locked with a password; such files are refused. Remove the password, and send it again."
        yield Rejection("encrypted", detail, False, True)
    elif not profile["encrypted"] and locked is None and matches(facts["mime_type"], _LOCKABLE):
        yield Unmeasured("content-unreadable", "It cannot be told whether the file is locked with a password.", False)
    yield from broken(_limits(facts, profile), _with_pixels(facts), "file", "content-unreadable")


def _limits(facts: Facts, profile: Mapping[str, Any]) -> Iterator[Limit]:
    """0 in a profile sets no limit. What a password locks is not measured: the profile has let it in."""

    def limit(fact: str, rule: str, phrase: str, unit: str, kinds: tuple[str, ...], *, has_least: bool = True) -> Limit:
        name = {"page_count": "pages"}.get(fact, fact)
        least = profile[f"min_{name}"] or None if has_least else None
        needed = matches(facts["mime_type"], kinds) and not facts.get("encrypted")
        said = {"page_count": "number of pages", "pixels": "size in pixels"}.get(fact, fact)
        return Limit(fact, rule, said, phrase, unit, least, profile[f"max_{name}"] or None, needed)

    yield limit("width", "dimensions", "is {} pixels wide", "pixels", _PICTURED)
    yield limit("height", "dimensions", "is {} pixels high", "pixels", _PICTURED)
    yield limit("pixels", "pixels", "has {} pixels", "pixels", _PICTURED, has_least=False)
    yield limit("duration", "duration", "lasts {} s", "seconds", _LASTING)
    yield limit("page_count", "pages", "has {} pages", "pages", _PAGED, has_least=False)


def _with_pixels(facts: Facts) -> Facts:
    sides = facts.get("width"), facts.get("height")
    return facts if None in sides else {**facts, "pixels": min(facts["width"] * facts["height"], LARGEST_INTEGER)}


def _archive_findings(facts: Facts, profile: Mapping[str, Any]) -> Iterator[Rejection | Unmeasured]:
    yield from broken(_archive_limits(facts, profile), _with_inner_archives(facts), "file", "archive-not-measured")
    if contradiction := facts.get("archive_contradiction"):
        yield Unmeasured("archive-contradiction", f"The archive contradicts itself: {contradiction}.")
    if damaged := facts.get("archive_damaged"):
        yield Unmeasured("archive-damaged", f"{damaged} Make the archive anew, and send that.")
    if overlapping := facts.get("overlapping_entries"):
        shared = f"The archive contradicts itself: {overlapping} of its entries share bytes with others."
        yield Unmeasured("archive-contradiction", shared)
    if reason := facts.get("archive_not_measured"):
        yield Unmeasured("archive-not-measured", f"What the archive unpacks to could not be measured: {reason}.")


def _archive_limits(facts: Facts, profile: Mapping[str, Any]) -> Iterator[Limit]:
    """Whoever looked through the archive found its unpacked size: without it, nothing is known."""
    unknown, cut = "unpacked_size" not in facts, facts.get("unpacked_size_is") == "at least"
    more = "at least " if cut else ""

    def limit(fact: str, rule: str, name: str, phrase: str, unit: str) -> Limit:
        most = profile[f"max_{fact}" if fact.startswith(("unpacked", "archive")) else f"max_archive_{fact}"] or None
        return Limit(fact, rule, name, phrase, unit, None, most, unknown, True, cut)

    yield limit("entries", "archive-entries", "number of entries", "has {} entries", "entries")
    yield limit("unpacked_size", "unpacked-size", "size when unpacked", f"unpacks to {more}{{}} bytes", "bytes")
    if unknown or _with_inner_archives(facts)["unpacked_size"] >= RATIO_CHECKED_FROM:
        yield limit("archive_ratio", "archive-ratio", "ratio", f"is packed {more}{{}} to 1", "to 1")


def _with_inner_archives(facts: Facts) -> Facts:
    """With the bytes unpacked at every depth."""
    if "unpacked_size" not in facts:
        return facts
    return {
        **facts,
        "unpacked_size": min(facts["unpacked_size"] + facts.get("inner_unpacked_size", 0), LARGEST_INTEGER),
    }
