"""Path templates such as ``/files/{file_id}/download``: which of them describe a path."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Parameters that accept any text. All others are ids or numbers, which no fixed segment of a path is.
_ANY_TEXT = frozenset({"{name}", "{slug}", "{post_id}"})


def without_names(template: str) -> str:
    """The template with the names of its parameters left out."""
    return re.sub(r"{[^}]*}", "{}", template)


def matching(templates: Iterable[str], path: str) -> set[str]:
    """The templates that describe ``path``.

    ``/files/{file_id}`` does not describe ``/files/zip``, because another template has that segment; ``/files/{name}``
    does.
    """
    found = {template for template in templates if _matches(template, path)}
    return {one for one in found if not any(_is_more_specific(other, one) for other in found)}


def _matches(template: str, path: str) -> bool:
    parts, given = template.split("/"), path.split("/")
    return len(parts) == len(given) and all(
        bool(text) if part.startswith("{") else part == text for part, text in zip(parts, given, strict=True)
    )


def _is_more_specific(other: str, template: str) -> bool:
    """Whether ``other`` has a fixed segment where ``template`` has an id."""
    pairs = zip(other.split("/"), template.split("/"), strict=True)
    return any(
        not mine.startswith("{") and theirs.startswith("{") and theirs not in _ANY_TEXT for mine, theirs in pairs
    )
