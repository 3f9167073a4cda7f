"""Media types: spellings, types by extension, and whether a content contradicts a claimed type.

A false contradiction rejects an honest file, so a claim is contradicted only where both types are recognizable by their
content, and neither is a container that may hold the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from windlass.kernel.filenames import extension
from windlass.kernel.media_type_aliases import ALIASES
from windlass.kernel.media_type_tables import (
    ALTERNATIVE_CONTENT,
    COMPRESSED,
    CONTAINERS,
    DECLARED_BY_EXTENSION,
    EXTENSIONS,
    FAMILIES,
    MARKED_UP_TEXT,
    NO_CLAIM,
    READABLE,
    RECOGNIZED,
    SIGNED,
    SIGNED_FAMILIES,
    TEXT,
    USUAL_EXTENSIONS,
)


def canonical(media_type: str | None) -> str:
    """Return the type in lower case, without parameters, in the spelling used here; empty for None."""
    bare = (media_type or "").partition(";")[0].strip().lower()
    return ALIASES.get(bare, bare)


def of_filename(filename: str) -> str | None:
    """Return the type that the name's extension claims; None for an unknown extension."""
    return EXTENSIONS.get(extension(filename))


def matches(media_type: str, patterns: Iterable[str]) -> bool:
    """Whether the type matches a pattern (such as ``image/*``), in any of its spellings."""
    bare = media_type.partition(";")[0].strip().lower()
    names = {bare, canonical(bare)}
    spellings = {spelling for pattern in patterns for spelling in (pattern.strip().lower(), canonical(pattern))}
    return any(fnmatchcase(name, spelling) for spelling in spellings for name in names)


def usual_extension(media_type: str) -> str | None:
    """Return the usual extension of this type, without its dot; None where it has none."""
    return USUAL_EXTENSIONS.get(canonical(media_type))


def contradicts(claimed: str, detected: str) -> bool:
    """Whether content of type ``detected`` proves that it is not of type ``claimed``."""
    claim, content = canonical(claimed), canonical(detected)
    if claim in NO_CLAIM or claim == content or content in ("application/x-empty", "inode/x-empty"):
        return False
    if content in NO_CLAIM:
        return has_signature(claim)
    if _are_compatible(claim, content) or _is_one_of(content, ALTERNATIVE_CONTENT.get(claim, ())):
        return False
    if not _is_recognizable(claim):
        return False
    is_known = _is_recognizable(content) or any(contains(container, content) for container in CONTAINERS)
    return is_known or has_signature(claim)


def declaration_contradicts(declared: str, filename: str, detected: str) -> bool:
    """Whether content of type ``detected`` proves the type wrong that the sender declared for a file of this name.

    Clients derive the type from the name: ``a.txt.gz`` may be declared with the type of ``a.txt``, and public tables
    give some extensions a type that most files with them do not have.
    """
    if not contradicts(declared, detected):
        return False
    ending = extension(filename)
    if canonical(declared) in DECLARED_BY_EXTENSION.get(ending, ()):
        return False
    if COMPRESSED.get(ending) == canonical(detected):
        inner = filename[: -len(ending) - 1]
        claimed = of_filename(inner)
        return not extension(inner) or (claimed is not None and contradicts(declared, claimed))
    return True


def has_signature(name: str) -> bool:
    """Whether files of this type begin with a signature, so that content without one is not of the type."""
    return name in SIGNED or _is_one_of(name, SIGNED_FAMILIES)


def is_text(media_type: str) -> bool:
    name = canonical(media_type)
    return name.startswith("text/") or name in TEXT or name.endswith(("+xml", "+json", "-flat-xml"))


def is_plain_text(media_type: str) -> bool:
    """Whether the file's characters are its text; not so for RTF, mail and drawings."""
    name = canonical(media_type)
    return is_text(name) and name not in MARKED_UP_TEXT and not name.startswith("image/")


def is_xml(media_type: str) -> bool:
    name = canonical(media_type)
    return name == "text/xml" or name.endswith("+xml")


def _are_compatible(one: str, other: str) -> bool:
    if is_text(one) and (is_text(other) or _is_one_of(other, READABLE)):
        return True
    if any(one in family and other in family for family in FAMILIES):
        return True
    return contains(one, other) or contains(other, one)


def contains(container: str, content: str) -> bool:
    """Whether a file of type ``content`` is always a file of type ``container`` too."""
    return _is_one_of(content, CONTAINERS.get(container, ()))


def _is_one_of(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_recognizable(name: str) -> bool:
    in_tables = name in CONTAINERS or any(name in family for family in FAMILIES)
    return in_tables or has_signature(name) or is_text(name) or _is_one_of(name, RECOGNIZED)
