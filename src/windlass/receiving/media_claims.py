"""Media rules that what a client declares already breaks: told before a byte is sent (http-api section 4)."""

from __future__ import annotations

from dataclasses import replace

from windlass.files import api as files
from windlass.kernel.errors import InvalidField, UnsupportedMediaType
from windlass.kernel.filenames import is_placeholder
from windlass.kernel.media_types import extension, matches
from windlass.protocols.intents import Description


def admitted(profile: files.Profile, description: Description) -> files.Profile:
    """The profile, narrowed to the size of the kind that was declared. Raises UnsupportedMediaType, InvalidField."""
    by_type = _of_type(profile, description.declared_type)
    by_name = _of_name(profile, description)
    claimed = description.metadata.get("media_type")
    kinds = {rules.kind for rules in (by_type, by_name) if rules is not None} | ({claimed} if claimed else set())
    if len(kinds) > 1:
        raise InvalidField(
            f"The file is called {description.filename!r}, declared as {description.declared_type or 'nothing'}"
            f"{f' and given as {claimed}' if claimed else ''}: these are different kinds of media.",
            field="media_type",
        )
    rules = by_type or by_name
    if rules is None or rules.max_size is None:
        return profile
    return replace(profile, max_size=min(profile.max_size, rules.max_size))


def _of_type(profile: files.Profile, declared: str | None) -> files.MediaRules | None:
    """None for a type that claims nothing."""
    if declared is None:
        return None
    found = next((rules for rules in profile.media_types if matches(declared, rules.content_types)), None)
    if found is None:
        taken = [name for rules in profile.media_types for name in rules.content_types]
        raise UnsupportedMediaType(
            f"{declared} is not taken here; taken are {', '.join(taken)}.", limit=taken, actual=declared
        )
    return found


def _of_name(profile: files.Profile, description: Description) -> files.MediaRules | None:
    """None where there is no name and the declared type says what it is."""
    ending = extension(description.filename)
    if is_placeholder(description.filename) and description.declared_type is not None:
        return None
    found = next((rules for rules in profile.media_types if ending in rules.extensions), None)
    taken = [name for rules in profile.media_types for name in rules.extensions]
    if found is None and taken:
        said = f"ends in .{ending}" if ending else "has no extension"
        raise UnsupportedMediaType(f"The name {said}; taken are {', '.join(taken)}.", limit=taken, actual=ending)
    return found
