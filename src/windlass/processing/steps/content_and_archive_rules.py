"""The rules for content, media and archives: compare the facts of earlier steps with the profile's limits.

A limit names the fact that it needs. If the fact is missing or impossible, nobody knows whether the file is within the
limit, so the file is refused, unless its profile accepts unmeasured files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windlass.kernel.media_type_tables import ARCHIVES
from windlass.kernel.media_types import matches
from windlass.processing.contract import About, Facts, Rejection, StepContext, StepResult
from windlass.processing.formats.archives.inspection import LARGEST_INTEGER, RATIO_CHECKED_FROM

#: The fact of an accepted file that lists what could not be measured: sentences, each shown as a check.
NOT_MEASURED = "not_measured"
GIVES = {NOT_MEASURED: "reasons why rules could not be checked, if the profile accepts such files"}
WAY_OUT = 'Send it to a profile with unmeasured = "accept" to have it taken without this check.'

#: Types whose files have a size in pixels, a duration, pages; and types that may be encrypted.
_WITH_PIXELS, _WITH_DURATION, _WITH_PAGES = ("image/*", "video/*"), ("audio/*", "video/*"), ("application/pdf",)
_ENCRYPTABLE = ("application/pdf", *ARCHIVES)
#: Fact -> (rule, name, statement about the file, unit, types whose files have it).
_LIMITS = {
    "width": ("dimensions", "width", "is {} pixels wide", "pixels", _WITH_PIXELS),
    "height": ("dimensions", "height", "is {} pixels high", "pixels", _WITH_PIXELS),
    "pixels": ("pixels", "size in pixels", "has {} pixels", "pixels", _WITH_PIXELS),
    "duration": ("duration", "duration", "lasts {} s", "seconds", _WITH_DURATION),
    "page_count": ("pages", "number of pages", "has {} pages", "pages", _WITH_PAGES),
}


def _about(
    name: str, title: str, wanted_by: str, *, order: int = 50, mime_types: Sequence[str] = ("*/*",), also: bool = False
) -> About:
    return About(
        name=name,
        stage="describe",
        title=title,
        order=order,
        isolated=False,
        mime_types=tuple(mime_types),
        also=also,
        wanted_by=wanted_by,
        gives=GIVES,
        gate=True,
    )


class ContentRules:
    """Compares facts with limits and reads no bytes. The first broken rule decides. The file is not served before."""

    about = _about("content_rules", "Checking the rules for the content", "content_rules")

    def run(self, context: StepContext) -> StepResult:
        findings = _content_findings(context.facts, context.profile)
        return _decide(findings, context.facts, context.profile, "Within the rules")


class PixelRules(ContentRules):
    """Compares the size of an image with the default ``max_pixels``, where the profile has no other limit on its
    content, and reads no bytes. The file is not served before."""

    about = _about("pixel_rules", "Checking the number of pixels", "pixel_rules", mime_types=("image/*",))


class MediaRules:
    """Compares facts with the limits of the file's media type and reads no bytes. The first broken rule decides. The
    file is not served before."""

    about = _about("media_rules", "Checking the media rules", "media_types")

    def run(self, context: StepContext) -> StepResult:
        mime_type = context.facts["mime_type"]
        kinds = context.profile["media_types"]
        rules = next((each for each in kinds if matches(mime_type, each["content_types"])), None)
        if rules is None:
            allowed = [name for each in kinds for name in each["content_types"]]
            detail = f"The content is {mime_type}; allowed are {', '.join(allowed)}."
            return StepResult(verdict=Rejection("type-not-allowed", detail, allowed, mime_type))
        passed = f"{rules['kind']}, within its rules"
        return _decide(_media_findings(context.facts, rules), context.facts, context.profile, passed)


class ArchiveRules:
    """Compares the facts of an archive with the profile's rules, so that nobody downloads a zip bomb.

    It reads no bytes. The first broken rule decides, and the file is not served before. An archive that was not read
    completely is refused.
    """

    about = _about(
        "archive_rules", "Checking the rules for archives", "archive_rules", order=51, mime_types=ARCHIVES, also=True
    )

    def run(self, context: StepContext) -> StepResult:
        findings = _archive_findings(context.facts, context.profile)
        return _decide(findings, context.facts, context.profile, "Within the rules")


@dataclass(frozen=True, slots=True)
class _Limit:
    """One fact and its bounds; a bound of None is no limit.

    ``name`` is the fact in messages, ``phrase`` a statement about the file (``is {} pixels wide``), ``unit`` that of
    the bounds. ``needed``: files of this kind have the fact, so a file without it breaks the rule. ``counts_zero``: 0
    is a value; otherwise 0 means that the fact is unknown. ``is_lower_bound``: the file has this value or more, so a
    file that reaches the upper bound exceeds it.
    """

    fact: str
    rule: str
    name: str
    phrase: str
    unit: str
    least: float | None = None
    most: float | None = None
    needed: bool = True
    counts_zero: bool = False
    is_lower_bound: bool = False


@dataclass(frozen=True, slots=True)
class _Unmeasured:
    """A fact that a rule needs and that is unknown. ``rule`` is the rule of the refusal."""

    rule: str
    reason: str
    limit: Any = None


def _decide(
    findings: Iterable[Rejection | _Unmeasured], facts: Facts, profile: Mapping[str, Any], passed: str
) -> StepResult:
    """The first rejection decides. An unmeasured fact is one, or is noted if the profile accepts unmeasured files.

    ``passed`` is the detail of a file within all limits.
    """
    noted: list[str] = list(facts.get(NOT_MEASURED) or ())
    for finding in findings:
        if isinstance(finding, Rejection):
            return StepResult(verdict=finding)
        if profile.get("unmeasured") != "accept":
            return StepResult(verdict=Rejection(finding.rule, f"{finding.reason} {WAY_OUT}", finding.limit, None))
        noted.append(finding.reason)
    new_facts = {NOT_MEASURED: list(dict.fromkeys(noted))} if noted else {}
    return StepResult(new_facts, detail=f"Not measured: {' '.join(noted)}" if noted else passed)


def _find_violations(
    limits: Iterable[_Limit], facts: Facts, subject: str, unreadable: str
) -> Iterator[Rejection | _Unmeasured]:
    """Yield each broken limit. ``subject`` names the file in messages, ``unreadable`` the rule of unknown facts."""
    for limit in limits:
        bounded = limit.least if limit.least is not None else limit.most
        actual: Any = facts.get(limit.fact)
        if bounded is None:
            continue
        if not _is_known(actual, limit):
            if limit.needed:
                yield _Unmeasured(unreadable, f"The {subject}'s {limit.name} cannot be read from it.", bounded)
        elif limit.least is not None and actual < limit.least:
            detail = f"The {subject} {limit.phrase.format(actual)}; at least {limit.least} {limit.unit} are needed."
            yield Rejection(limit.rule, detail, limit.least, actual)
        elif limit.most is not None and (actual > limit.most or (limit.is_lower_bound and actual == limit.most)):
            detail = f"The {subject} {limit.phrase.format(actual)}; at most {limit.most} {limit.unit} are allowed."
            yield Rejection(limit.rule, detail, limit.most, actual)


def _is_known(actual: Any, limit: _Limit) -> bool:
    if isinstance(actual, bool) or not isinstance(actual, int | float) or not math.isfinite(actual):
        return False
    return actual > 0 or (limit.counts_zero and actual == 0)


def _content_findings(facts: Facts, profile: Mapping[str, Any]) -> Iterator[Rejection | _Unmeasured]:
    encrypted = facts.get("encrypted")
    if not profile["encrypted"] and encrypted:
        detail = "The file is locked with a password; such files are refused. Remove the password, and send it again."
        yield Rejection("encrypted", detail, False, True)
    elif not profile["encrypted"] and encrypted is None and matches(facts["mime_type"], _ENCRYPTABLE):
        yield _Unmeasured("content-unreadable", "It cannot be told whether the file is locked with a password.", False)
    yield from _find_violations(_limits(facts, profile), _with_pixels(facts), "file", "content-unreadable")


def _limits(facts: Facts, profile: Mapping[str, Any]) -> Iterator[_Limit]:
    """0 in a profile is no limit. Encrypted files are not measured: the profile accepts them."""
    for fact, (rule, name, phrase, unit, kinds) in _LIMITS.items():
        key = "pages" if fact == "page_count" else fact
        least, most = profile.get(f"min_{key}") or None, profile[f"max_{key}"] or None
        needed = matches(facts["mime_type"], kinds) and not facts.get("encrypted")
        if fact == "pixels":
            needed = needed and profile.get("pixels_required", True)
        yield _Limit(fact, rule, name, phrase, unit, least, most, needed)


def _with_pixels(facts: Facts) -> Facts:
    sides = facts.get("width"), facts.get("height")
    return facts if None in sides else {**facts, "pixels": min(facts["width"] * facts["height"], LARGEST_INTEGER)}


def _media_findings(facts: Facts, rules: Mapping[str, Any]) -> Iterator[Rejection | _Unmeasured]:
    kind = rules["kind"]
    declared = facts.get("metadata", {}).get("media_type")
    if declared is not None and declared != kind:
        detail = f"The media type was given as {declared}, but the content is {facts['mime_type']}."
        yield Rejection("media-type", detail, declared, kind)
    size, most = facts["size"], rules["max_size"]
    if most is not None and size > most:
        yield Rejection("size", f"The {kind} has {size} bytes; at most {most} are allowed.", most, size)
    limits = (
        _Limit(fact, *_LIMITS[fact][:4], rules.get(f"min_{fact}"), rules.get(f"max_{fact}"))
        for fact in ("duration", "width", "height")
    )
    yield from _find_violations(limits, facts, kind, "media-unreadable")


def _archive_findings(facts: Facts, profile: Mapping[str, Any]) -> Iterator[Rejection | _Unmeasured]:
    yield from _find_violations(
        _archive_limits(facts, profile), _with_inner_archives(facts), "file", "archive-not-measured"
    )
    if not profile["unsafe_names"]:
        yield from _unsafe_name_findings(facts)
    if contradiction := facts.get("archive_contradiction"):
        yield _Unmeasured("archive-contradiction", f"The archive contradicts itself: {contradiction}.")
    if damaged := facts.get("archive_damaged"):
        yield _Unmeasured("archive-damaged", f"{damaged} Make the archive anew, and send that.")
    if overlapping := facts.get("overlapping_entries"):
        shared = f"The archive contradicts itself: {overlapping} of its entries share bytes with others."
        yield _Unmeasured("archive-contradiction", shared)
    if reason := facts.get("archive_not_measured"):
        yield _Unmeasured("archive-not-measured", f"What the archive unpacks to could not be measured: {reason}.")


def _unsafe_name_findings(facts: Facts) -> Iterator[Rejection | _Unmeasured]:
    """Compressed data of one file has no entries, so its facts have a size and no names."""
    unsafe = facts.get("unsafe_names")
    if unsafe is None and "unpacked_size" not in facts:
        yield _Unmeasured(
            "archive-not-measured", "It cannot be told where the entries of the archive would be unpacked."
        )
    elif unsafe:
        detail = (
            f"Of the archive's entries {unsafe} could be unpacked outside their directory: absolute paths, `..`, links "
            "or devices. Make the archive anew without them, or send it to a profile with unsafe_names = true."
        )
        yield Rejection("unsafe-names", detail, 0, unsafe)


def _archive_limits(facts: Facts, profile: Mapping[str, Any]) -> Iterator[_Limit]:
    """Every archive that was read has an unpacked size: without that fact nothing is known."""
    is_unknown, is_minimum = "unpacked_size" not in facts, facts.get("unpacked_size_is") == "at least"
    at_least = "at least " if is_minimum else ""

    def limit(fact: str, rule: str, name: str, phrase: str, unit: str) -> _Limit:
        most = profile[f"max_{fact}" if fact.startswith(("unpacked", "archive")) else f"max_archive_{fact}"] or None
        return _Limit(fact, rule, name, phrase, unit, None, most, is_unknown, True, is_minimum)

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
