"""The profile's rules for types and extensions; name and declared type must agree with the content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from windlass.kernel.filenames import extension, is_placeholder
from windlass.kernel.media_type_tables import NO_CLAIM
from windlass.kernel.media_types import contradicts, declaration_contradicts, matches, of_filename, usual_extension
from windlass.processing.contract import About, Facts, Rejection, StepContext, StepResult

Rule = Callable[[Facts, Mapping[str, Any]], Rejection | None]


class TypeRules:
    """The first rule that rejects the file decides."""

    about = About(name="type_rules", stage="intake", title="Checking the type rules", order=50, isolated=False)

    def run(self, context: StepContext) -> StepResult:
        for rule in RULES:
            verdict = rule(context.facts, context.profile)
            if verdict is not None:
                return StepResult(verdict=verdict)
        return StepResult(detail=f"{context.facts['mime_type']} may come in")


def check_blocked(facts: Facts, profile: Mapping[str, Any]) -> Rejection | None:
    refused = profile["blocked_mime_types"]
    for content_type in _types(facts):
        if matches(content_type, refused) or matches(_ALSO_READ_AS.get(content_type, content_type), refused):
            return Rejection("type-blocked", f"Files of type {content_type} are refused.", list(refused), content_type)
    return None


#: Types that browsers also read as another type, which a list of refused types may name.
_ALSO_READ_AS = {"application/xhtml+xml": "text/html"}


def check_allowed(facts: Facts, profile: Mapping[str, Any]) -> Rejection | None:
    allowed = profile["allowed_mime_types"]
    for content_type in _types(facts):
        if allowed and not matches(content_type, allowed):
            other = "" if content_type == facts["mime_type"] else f"{facts['mime_type']}, and also "
            detail = f"The content is {other}{content_type}; allowed are {', '.join(allowed)}."
            return Rejection("type-not-allowed", detail, list(allowed), content_type)
    return None


def _types(facts: Facts) -> list[str]:
    """Return every type of the content: a picture with a zip file behind it has two."""
    return [facts["mime_type"], *(facts.get("also") or ())]


def check_extension(facts: Facts, profile: Mapping[str, Any]) -> Rejection | None:
    allowed = [name.lower().lstrip(".") for name in profile["allowed_extensions"]]
    ending = extension(facts["filename"])
    if not allowed or ending in allowed or _is_of_their_types(facts, allowed):
        return None
    phrase = f"ends in .{ending}" if ending else "has no extension"
    return Rejection("extension-not-allowed", f"The name {phrase}; allowed are {', '.join(allowed)}.", allowed, ending)


def _is_of_their_types(facts: Facts, extensions: list[str]) -> bool:
    """For an upload without a name but with a declared type: whether the content's type has an allowed extension."""
    types = [name for each in extensions if (name := of_filename(f"a.{each}")) is not None]
    named = not is_placeholder(facts["filename"]) or not facts.get("declared_mime_type")
    return not named and matches(facts["mime_type"], types)


def check_name(facts: Facts, profile: Mapping[str, Any]) -> Rejection | None:
    claimed, content_type = of_filename(facts["filename"]), facts["mime_type"]
    if not profile["check_mismatch"] or claimed is None or not contradicts(claimed, content_type):
        return None
    detail = f"The name ends in .{extension(facts['filename'])}, which is {claimed}, but {_content_is(content_type)}"
    usual = usual_extension(content_type)
    way_out = f"Rename it to .{usual}" if usual else "Give it the name of what it is"
    return Rejection("type-mismatch", f"{detail} {way_out}, {_WAY_OUT}", claimed, content_type)


def check_declaration(facts: Facts, profile: Mapping[str, Any]) -> Rejection | None:
    claimed, content_type = facts.get("declared_mime_type"), facts["mime_type"]
    if (
        not profile["check_mismatch"]
        or not claimed
        or not declaration_contradicts(claimed, facts["filename"], content_type)
    ):
        return None
    detail = f"{claimed} was declared, but {_content_is(content_type)}"
    way_out = "Declare no type" if content_type in NO_CLAIM else f"Declare {content_type} or no type"
    return Rejection("type-mismatch", f"{detail} {way_out}, {_WAY_OUT}", claimed, content_type)


#: End of the sentence: how to upload the file nevertheless.
_WAY_OUT = "or send it to a profile with check_mismatch = false."


def _content_is(content_type: str) -> str:
    return "the content is of no known type." if content_type in NO_CLAIM else f"the content is {content_type}."


RULES: tuple[Rule, ...] = (check_blocked, check_allowed, check_extension, check_name, check_declaration)
