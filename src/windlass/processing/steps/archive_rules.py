"""The rules for archives: number of entries, unpacked size, ratio, and archives that cannot be measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from windlass.kernel.media_types import ARCHIVES
from windlass.processing.contract import About, Facts, Rejection, StepContext, StepResult
from windlass.processing.formats.archives.inspection import LARGEST_INTEGER, RATIO_CHECKED_FROM
from windlass.processing.toolkit.fact_limits import GIVES, Limit, Unmeasured, decide, find_violations


class ArchiveRules:
    """Compares the facts of an archive with the profile's rules, so that nobody downloads a zip bomb.

    It reads no bytes. The first broken rule decides, and the file is not served before. An archive that was not read
    completely is refused.
    """

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
        findings = _archive_findings(context.facts, context.profile)
        return decide(findings, context.facts, context.profile, "Within the rules")


def _archive_findings(facts: Facts, profile: Mapping[str, Any]) -> Iterator[Rejection | Unmeasured]:
    yield from find_violations(
        _archive_limits(facts, profile), _with_inner_archives(facts), "file", "archive-not-measured"
    )
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
    """Every archive that was read has an unpacked size: without that fact nothing is known."""
    is_unknown, is_minimum = "unpacked_size" not in facts, facts.get("unpacked_size_is") == "at least"
    at_least = "at least " if is_minimum else ""

    def limit(fact: str, rule: str, name: str, phrase: str, unit: str) -> Limit:
        most = profile[f"max_{fact}" if fact.startswith(("unpacked", "archive")) else f"max_archive_{fact}"] or None
        return Limit(fact, rule, name, phrase, unit, None, most, is_unknown, True, is_minimum)

    yield limit("entries", "archive-entries", "number of entries", "has {} entries", "entries")
    yield limit("unpacked_size", "unpacked-size", "size when unpacked", f"unpacks to {at_least}{{}} bytes", "bytes")
    if is_unknown or _with_inner_archives(facts)["unpacked_size"] >= RATIO_CHECKED_FROM:
        yield limit("archive_ratio", "archive-ratio", "ratio", f"is packed {at_least}{{}} to 1", "to 1")


def _with_inner_archives(facts: Facts) -> Facts:
    """Return the facts with the unpacked size of all nested archives included."""
    if "unpacked_size" not in facts:
        return facts
    return {
        **facts,
        "unpacked_size": min(facts["unpacked_size"] + facts.get("inner_unpacked_size", 0), LARGEST_INTEGER),
    }
