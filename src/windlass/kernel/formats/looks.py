"""Types that libmagic does not tell, or tells too broadly: by signatures, and for texts by what the name claims.

A name may say which kind of the thing found it is (plain text called ``.md`` is Markdown); it never makes it another.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from fnmatch import fnmatchcase

from windlass.kernel.media_types import canonical

#: An SVG's root behind what may stand before it. Possessive: there is one way to read it, so it ends at once.
_SVG = re.compile(
    rb"(?:\xef\xbb\xbf)?(?>\s*+(?:<\?xml[^>]*+>|<!--.*?-->|<!DOCTYPE[^>]*+>))*+\s*+<svg[\s>/]",
    re.DOTALL,
)
_ACTIVE = frozenset({"image/svg+xml", "application/xhtml+xml"})  # only by their root

_OOXML = "application/vnd.openxmlformats-officedocument"

#: Texts that have no signature: a plain text is one of them where its name or its sender says so.
_UNSIGNED_TEXTS = (
    "application/*+json",
    "application/json",
    "application/sql",
    "application/toml",
    "application/x-ndjson",
    "application/x-sh",
    "application/x-subrip",
    "application/yaml",
    "image/vnd.dxf",
    "message/rfc822",
    "model/gltf+json",
    "model/obj",
    "model/step",
    "model/stl",
    "text/*",
)

#: What libmagic says -> what a claim may narrow it to.
_NARROWER = {
    "application/json": ("application/*+json", "application/x-ndjson", "model/gltf+json"),
    "application/zip": ("application/vnd.comicbook+zip",),
    "audio/ogg": ("audio/opus",),
    f"{_OOXML}.presentationml.presentation": (f"{_OOXML}.presentationml.*",),
    f"{_OOXML}.spreadsheetml.sheet": (f"{_OOXML}.spreadsheetml.template",),
    f"{_OOXML}.wordprocessingml.document": (f"{_OOXML}.wordprocessingml.template",),
    "text/csv": ("text/*", "application/sql", "application/x-subrip", "application/yaml", "model/*"),
    "text/plain": _UNSIGNED_TEXTS,
    "text/xml": ("application/*+xml", "model/*+xml"),
}

_SIGNATURES = (
    (b"\0asm", "application/wasm"),
    (b"OTTO", "font/otf"),
    (b"\0\1\0\0\0", "font/ttf"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"PK\x03\x04", "application/zip"),
)


def refined(found: str, head: bytes, size: int) -> str:
    """The type by content alone: ``head`` is the file's beginning, ``found`` what libmagic says of it."""
    match found:
        case "application/octet-stream":
            return _by_signature(head, size) or found
        case "text/plain" | "text/xml" | "text/html":
            return "image/svg+xml" if _SVG.match(head[:8192]) else found
        case _:
            return found


def narrowed(found: str, claims: Iterable[str | None]) -> str:
    """The first claim (the name's, the sender's) that is a kind of what was found; else what was found."""
    patterns = _NARROWER.get(found) or (_NARROWER["text/plain"] if found.startswith("text/x-") else ())
    for claim in map(canonical, claims):
        if claim not in _ACTIVE and any(fnmatchcase(claim, pattern) for pattern in patterns):
            return claim
    return found


def _by_signature(head: bytes, size: int) -> str | None:
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if len(head) >= 84 and size == 84 + 50 * struct.unpack_from("<I", head, 80)[0]:
        return "model/stl"
    for first, packet in ((0, 188), (4, 192)):  # of broadcasts, and with a time before each packet as cameras do
        if len(head) > first + 4 * packet and all(head[first + n * packet] == 0x47 for n in range(5)):
            return "video/mp2t"
    return None
