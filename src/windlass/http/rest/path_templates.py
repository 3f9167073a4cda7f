"""Paths of the API with parameters in braces, such as ``/files/{file_id}/download``."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Parameters that any text may stand for. All others are ids or numbers, which no word of a path is.
_FREE = frozenset({"{name}", "{slug}", "{post_id}"})


def shape(path: str) -> str:
    """The path with its parameters' names left out."""
    return re.sub(r"{[^}]*}", "{}", path)


def matches(template: str, path: str) -> bool:
    """Whether ``path`` is one that ``template`` describes."""
    parts, given = template.split("/"), path.split("/")
    return len(parts) == len(given) and all(
        bool(text) if part.startswith("{") else part == text for part, text in zip(parts, given, strict=True)
    )


def matching(templates: Iterable[str], path: str) -> set[str]:
    """The templates that describe ``path``. ``/files/zip`` is not described by ``/files/{file_id}``, because another
    template has the word there; it is by ``/files/{name}``."""
    found = {template for template in templates if matches(template, path)}
    return {one for one in found if not any(_is_word_in(other, one) for other in found)}


def _is_word_in(other: str, template: str) -> bool:
    """Whether ``other`` has a word where ``template`` has an id."""
    pairs = zip(other.split("/"), template.split("/"), strict=True)
    return any(not mine.startswith("{") and theirs.startswith("{") and theirs not in _FREE for mine, theirs in pairs)
