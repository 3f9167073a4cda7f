"""The rules for content: compare the facts of earlier steps with the profile's limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from windlass.kernel.media_types import ARCHIVES, matches
from windlass.processing.contract import About, Facts, Rejection, StepContext, StepResult
from windlass.processing.formats.archives.survey import LARGEST_INTEGER
from windlass.processing.toolkit.fact_limits import GIVES, Limit, Unmeasured, decide, find_violations

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


class ContentRules:
    """Compares facts with limits and reads no bytes. The first broken rule decides; the file is not served before."""

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
        findings = _content_findings(context.facts, context.profile)
        return decide(findings, context.facts, context.profile, "Within the rules")


class MediaRules:
    """Compares facts with the limits of the file's media type and reads no bytes. The first broken rule decides; the
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
        mime_type = context.facts["mime_type"]
        kinds = context.profile["media_types"]
        rules = next((each for each in kinds if matches(mime_type, each["content_types"])), None)
        if rules is None:
            allowed = [name for each in kinds for name in each["content_types"]]
            detail = f"The content is {mime_type}; allowed are {', '.join(allowed)}."
            return StepResult(verdict=Rejection("type-not-allowed", detail, allowed, mime_type))
        passed = f"{rules['kind']}, within its rules"
        return decide(_media_findings(context.facts, rules), context.facts, context.profile, passed)


def _content_findings(facts: Facts, profile: Mapping[str, Any]) -> Iterator[Rejection | Unmeasured]:
    encrypted = facts.get("encrypted")
    if not profile["encrypted"] and encrypted:
        detail = "The file is locked with a password; such files are refused. Remove the password, and send it again."
        yield Rejection("encrypted", detail, False, True)
    elif not profile["encrypted"] and encrypted is None and matches(facts["mime_type"], _ENCRYPTABLE):
        yield Unmeasured("content-unreadable", "It cannot be told whether the file is locked with a password.", False)
    yield from find_violations(_limits(facts, profile), _with_pixels(facts), "file", "content-unreadable")


def _limits(facts: Facts, profile: Mapping[str, Any]) -> Iterator[Limit]:
    """0 in a profile is no limit. Encrypted files are not measured: the profile accepts them."""
    for fact, (rule, name, phrase, unit, kinds) in _LIMITS.items():
        key = "pages" if fact == "page_count" else fact
        least, most = profile.get(f"min_{key}") or None, profile[f"max_{key}"] or None
        needed = matches(facts["mime_type"], kinds) and not facts.get("encrypted")
        yield Limit(fact, rule, name, phrase, unit, least, most, needed)


def _with_pixels(facts: Facts) -> Facts:
    sides = facts.get("width"), facts.get("height")
    return facts if None in sides else {**facts, "pixels": min(facts["width"] * facts["height"], LARGEST_INTEGER)}


def _media_findings(facts: Facts, rules: Mapping[str, Any]) -> Iterator[Rejection | Unmeasured]:
    kind = rules["kind"]
    declared = facts.get("metadata", {}).get("media_type")
    if declared is not None and declared != kind:
        detail = f"The media type was given as {declared}, but the content is {facts['mime_type']}."
        yield Rejection("media-type", detail, declared, kind)
    size, most = facts["size"], rules["max_size"]
    if most is not None and size > most:
        yield Rejection("size", f"The {kind} has {size} bytes; at most {most} are allowed.", most, size)
    limits = (
        Limit(fact, *_LIMITS[fact][:4], rules.get(f"min_{fact}"), rules.get(f"max_{fact}"))
        for fact in ("duration", "width", "height")
    )
    yield from find_violations(limits, facts, kind, "media-unreadable")
