"""Type rules that a file's name and declared type already break, told before its bytes are sent to where nobody of ours
can stop them. What the content is, intake finds out."""

from __future__ import annotations

from windlass.files import api as files
from windlass.kernel.errors import UnsupportedMediaType
from windlass.kernel.filenames import is_placeholder
from windlass.kernel.media_types import extension, is_text, matches
from windlass.protocols.intents import Description


def must_be_taken(profile: files.Profile, description: Description) -> None:
    """Raises UnsupportedMediaType. A type that claims nothing is no reason."""
    _extension(profile, description)
    declared = description.declared_type
    if declared is not None:
        _declared(profile, declared)


def _extension(profile: files.Profile, description: Description) -> None:
    """Where there is no name, the declared type is looked at here, and the content by intake."""
    if is_placeholder(description.filename) and description.declared_type is not None:
        return
    taken = [name.lower().lstrip(".") for name in profile.allowed_extensions]
    found = extension(description.filename)
    if taken and found not in taken:
        said = f"ends in .{found}" if found else "has no extension"
        raise UnsupportedMediaType(f"The name {said}; allowed are {', '.join(taken)}.", limit=taken, actual=found)


def _declared(profile: files.Profile, declared: str) -> None:
    if matches(declared, profile.blocked_mime_types):
        raise UnsupportedMediaType(
            f"Files of type {declared} are refused.", limit=list(profile.blocked_mime_types), actual=declared
        )
    taken = profile.allowed_mime_types
    if not taken or matches(declared, taken) or (is_text(declared) and any(map(is_text, taken))):
        return
    raise UnsupportedMediaType(
        f"The file is declared as {declared}; allowed are {', '.join(taken)}.", limit=list(taken), actual=declared
    )
