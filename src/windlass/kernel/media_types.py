"""What a media type claims, which spellings mean the same, and which claims a content contradicts.

A client's claim is compared with what libmagic found. A false alarm turns an honest file away, so a claim counts as
contradicted only where both sides are certain: two formats that have signatures of their own, and are not a container
and what it may contain.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from windlass.kernel.filenames import extension
from windlass.kernel.type_tables import (
    ALIASES,
    ARCHIVES,
    BITMAP_IMAGES,
    CONTAINERS,
    EXPORTED,
    EXTENSIONS,
    FAMILIES,
    MEASURED,
    NOTHING,
    RASTER_IMAGES,
    RAW_IMAGES,
    SIGNED,
    SIGNED_FAMILIES,
    TEXT,
)

__all__ = [
    "ARCHIVES",
    "BITMAP_IMAGES",
    "MEASURED",
    "RASTER_IMAGES",
    "RAW_IMAGES",
    "canonical",
    "contradicts",
    "extension",
    "is_text",
    "matches",
    "of_filename",
]


def canonical(media_type: str | None) -> str:
    """The type alone, in lower case, without parameters, in the spelling used here; empty where there is none."""
    bare = (media_type or "").partition(";")[0].strip().lower()
    return ALIASES.get(bare, bare)


def of_filename(filename: str) -> str | None:
    """The type that the name's ending claims, if it is known to claim one."""
    return EXTENSIONS.get(extension(filename))


def matches(media_type: str, patterns: Iterable[str]) -> bool:
    """Whether the type is one of these (``image/*`` works), in any of its spellings."""
    bare = media_type.partition(";")[0].strip().lower()
    names = {bare, canonical(bare)}
    return any(fnmatchcase(name, wanted) for pattern in patterns for wanted in _spellings(pattern) for name in names)


def contradicts(claimed: str, found: str) -> bool:
    """Whether content of type ``found`` proves that it is not of type ``claimed``."""
    claim, content = canonical(claimed), canonical(found)
    if claim in NOTHING or claim == content or content in ("application/x-empty", "inode/x-empty"):
        return False
    if content in NOTHING:
        return _signed(claim)
    if _akin(claim, content) or any(fnmatchcase(content, pattern) for pattern in EXPORTED.get(claim, ())):
        return False
    if not _known(claim):
        return False
    return _known(content) or _signed(claim)


def is_text(media_type: str) -> bool:
    name = canonical(media_type)
    return name.startswith("text/") or name in TEXT or name.endswith(("+xml", "+json"))


def _spellings(pattern: str) -> set[str]:
    return {pattern.strip().lower(), canonical(pattern)}


def _akin(one: str, other: str) -> bool:
    if is_text(one) and is_text(other):
        return True
    if any(one in family and other in family for family in FAMILIES):
        return True
    return _holds(one, other) or _holds(other, one)


def _signed(name: str) -> bool:
    return name in SIGNED or any(fnmatchcase(name, pattern) for pattern in SIGNED_FAMILIES)


def _holds(container: str, content: str) -> bool:
    return any(fnmatchcase(content, pattern) for pattern in CONTAINERS.get(container, ()))


def _known(name: str) -> bool:
    return (
        _signed(name)
        or is_text(name)
        or any(name in family for family in FAMILIES)
        or name in CONTAINERS
        or any(_holds(container, name) for container in CONTAINERS)
    )
