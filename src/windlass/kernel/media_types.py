"""What a media type claims, which spellings mean the same, and which claims a content contradicts.

A client's claim is compared with what libmagic found. A false alarm turns an honest file away, so a claim counts as
contradicted only where both sides are certain: two formats that have signatures of their own, and are not a container
and what it may contain.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from windlass.kernel.filenames import extension
from windlass.kernel.type_aliases import ALIASES
from windlass.kernel.type_tables import (
    ALTERNATIVE_CONTENT,
    ARCHIVES,
    BITMAP_IMAGES,
    COMPRESSED,
    CONTAINERS,
    DECLARED_BY_EXTENSION,
    EXTENSIONS,
    FAMILIES,
    MARKED_UP_TEXT,
    NO_CLAIM,
    RASTER_IMAGES,
    RAW_IMAGES,
    READABLE,
    RECOGNIZED,
    SIGNED,
    SIGNED_FAMILIES,
    TEXT,
    USUAL_EXTENSIONS,
)

__all__ = [
    "ARCHIVES",
    "BITMAP_IMAGES",
    "NO_CLAIM",
    "RASTER_IMAGES",
    "RAW_IMAGES",
    "TEXT",
    "canonical",
    "contains",
    "contradicts",
    "declaration_contradicts",
    "extension",
    "has_signature",
    "is_plain_text",
    "is_text",
    "is_xml",
    "matches",
    "of_filename",
    "usual_extension",
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


def usual_extension(media_type: str) -> str | None:
    """The ending that files of this type usually have, without its dot."""
    name = canonical(media_type)
    return USUAL_EXTENSIONS.get(name) or next((end for end, kind in EXTENSIONS.items() if kind == name), None)


def contradicts(claimed: str, found: str) -> bool:
    """Whether content of type ``found`` proves that it is not of type ``claimed``."""
    claim, content = canonical(claimed), canonical(found)
    if claim in NO_CLAIM or claim == content or content in ("application/x-empty", "inode/x-empty"):
        return False
    if content in NO_CLAIM:
        return has_signature(claim)
    if _are_compatible(claim, content) or _is_one_of(content, ALTERNATIVE_CONTENT.get(claim, ())):
        return False
    if not _is_recognizable(claim):
        return False
    return _is_known(content) or has_signature(claim)


def declaration_contradicts(declared: str, filename: str, found: str) -> bool:
    """Whether content of type ``found`` proves that the sender of a file of this name declared another type.

    Clients take the type from the name: that of ``a.txt.gz`` may be declared as the type of ``a.txt``, and some endings
    have a type in public tables that most files with them are not of.
    """
    if not contradicts(declared, found):
        return False
    ending = extension(filename)
    if canonical(declared) in DECLARED_BY_EXTENSION.get(ending, ()):
        return False
    if COMPRESSED.get(ending) == canonical(found):
        inner = filename[: -len(ending) - 1]
        claimed = of_filename(inner)
        return not extension(inner) or (claimed is not None and contradicts(declared, claimed))
    return True


def has_signature(name: str) -> bool:
    """Whether files of this type begin with a signature, so that content without one is none of it."""
    return name in SIGNED or _is_one_of(name, SIGNED_FAMILIES)


def is_text(media_type: str) -> bool:
    name = canonical(media_type)
    return name.startswith("text/") or name in TEXT or name.endswith(("+xml", "+json", "-flat-xml"))


def is_plain_text(media_type: str) -> bool:
    """Whether what stands in the file is what a reader reads; not so in RTF, mail and drawings."""
    name = canonical(media_type)
    return is_text(name) and name not in MARKED_UP_TEXT and not name.startswith("image/")


def is_xml(media_type: str) -> bool:
    name = canonical(media_type)
    return name == "text/xml" or name.endswith("+xml")


def _spellings(pattern: str) -> set[str]:
    return {pattern.strip().lower(), canonical(pattern)}


def _are_compatible(one: str, other: str) -> bool:
    if is_text(one) and (is_text(other) or _is_one_of(other, READABLE)):
        return True
    if any(one in family and other in family for family in FAMILIES):
        return True
    return contains(one, other) or contains(other, one)


def contains(container: str, content: str) -> bool:
    """Whether files of the type ``content`` are files of the type ``container`` with certain things in them."""
    return _is_one_of(content, CONTAINERS.get(container, ()))


def _is_one_of(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_recognizable(name: str) -> bool:
    """Whether files of this type are told from others by their content."""
    in_tables = name in CONTAINERS or any(name in family for family in FAMILIES)
    return in_tables or has_signature(name) or is_text(name) or _is_one_of(name, RECOGNIZED)


def _is_known(name: str) -> bool:
    return _is_recognizable(name) or any(contains(container, name) for container in CONTAINERS)
