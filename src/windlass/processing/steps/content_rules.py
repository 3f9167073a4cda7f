"""The rules for content: compare the facts of earlier steps with the profile's limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from windlass.kernel.media_types import ARCHIVES, matches
from windlass.processing.contract import About, Facts, Rejection, StepContext, StepResult
from windlass.processing.formats.archives.inspection import LARGEST_INTEGER
from windlass.processing.toolkit.fact_limits import GIVES, Limit, Unmeasured, decide, find_violations

#: Types whose files have a size in pixels, a duration, pages; and types that may be encrypted.
_WITH_PIXELS, _WITH_DURATION, _WITH_PAGES = ("image/*", "video/*"), ("audio/*", "video/*"), ("application/pdf",)
_ENCRYPTABLE = ("application/pdf", *ARCHIVES)
#: Fact -> (rule, statement about the file, unit).
_MEDIA_LIMITS = {
    "duration": ("duration", "lasts {} s", "seconds"),
    "width": ("dimensions", "is {} pixels wide", "pixels"),
    "height": ("dimensions", "is {} pixels high", "pixels"),
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
        return decide(
            _content_findings(context.facts, context.profile), context.facts, context.profile, "Within the rules"
        )


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

    def limit(fact: str, rule: str, phrase: str, unit: str, kinds: tuple[str, ...], *, has_least: bool = True) -> Limit:
        name = {"page_count": "pages"}.get(fact, fact)
        least = profile[f"min_{name}"] or None if has_least else None
        needed = matches(facts["mime_type"], kinds) and not facts.get("encrypted")
        label = {"page_count": "number of pages", "pixels": "size in pixels"}.get(fact, fact)
        return Limit(fact, rule, label, phrase, unit, least, profile[f"max_{name}"] or None, needed)

    yield limit("width", "dimensions", "is {} pixels wide", "pixels", _WITH_PIXELS)
    yield limit("height", "dimensions", "is {} pixels high", "pixels", _WITH_PIXELS)
    yield limit("pixels", "pixels", "has {} pixels", "pixels", _WITH_PIXELS, has_least=False)
    yield limit("duration", "duration", "lasts {} s", "seconds", _WITH_DURATION)
    yield limit("page_count", "pages", "has {} pages", "pages", _WITH_PAGES, has_least=False)


def _with_pixels(facts: Facts) -> Facts:
    sides = facts.get("width"), facts.get("height")
    return facts if None in sides else {**facts, "pixels": min(facts["width"] * facts["height"], LARGEST_INTEGER)}


def _media_findings(facts: Facts, rules: Mapping[str, Any]) -> Iterator[Rejection | Unmeasured]:
    kind = rules["kind"]
    declared = facts.get("metadata", {}).get("media_type")
    if declared is not None and declared != kind:
        detail = f"The media type was given as {declared}, but the content is {facts['mime_type']}."
        yield Rejection("media-type", detail, declared, kind)
    most = rules["max_size"]
    if most is not None and facts["size"] > most:
        yield Rejection(
            "size", f"The {kind} has {facts['size']} bytes; at most {most} are allowed.", most, facts["size"]
        )
    limits = (
        Limit(fact, rule, fact, phrase, unit, rules.get(f"min_{fact}"), rules.get(f"max_{fact}"))
        for fact, (rule, phrase, unit) in _MEDIA_LIMITS.items()
    )
    yield from find_violations(limits, facts, kind, "media-unreadable")
