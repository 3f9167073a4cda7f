"""Types of binary files that libmagic does not know, or knows too broadly: by signatures, and between formats of the
same bytes by the name.

A name may narrow the detected type (a zip file named ``.cbz`` is a comic); it never changes it to an unrelated one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from fnmatch import fnmatchcase

_OOXML = "application/vnd.openxmlformats-officedocument"

#: Detected type -> patterns of types that a claim may narrow it to.
_NARROWER_TYPES = {
    "application/zip": ("application/vnd.comicbook+zip", "application/vnd.apple.*", "application/x-xpinstall"),
    "application/vnd.rar": ("application/vnd.comicbook-rar",),
    "application/x-ole-storage": ("application/vnd.ms-*", "application/x-hwp"),
    "audio/ogg": ("audio/opus",),
    "image/tiff": ("image/x-adobe-dng", "image/x-nikon-nef", "image/x-sony-arw", "image/x-pentax-pef"),
    f"{_OOXML}.presentationml.presentation": (f"{_OOXML}.presentationml.*",),
    f"{_OOXML}.spreadsheetml.sheet": (f"{_OOXML}.spreadsheetml.template",),
    f"{_OOXML}.wordprocessingml.document": (f"{_OOXML}.wordprocessingml.template",),
}

#: Signature -> type, for formats that libmagic does not know in every version.
_SIGNATURES = (
    (rb"\x00asm", "application/wasm"),
    (rb"OTTO", "font/otf"),
    (rb"\x00\x01\x00\x00\x00|true\x00", "font/ttf"),
    (rb"ttcf\x00[\x01\x02]\x00\x00", "font/collection"),
    (rb"wOFF", "font/woff"),
    (rb"wOF2", "font/woff2"),
    (rb"PK\x03\x04", "application/zip"),
    (rb"ITSF[\x02-\x04]\x00\x00\x00", "application/vnd.ms-htmlhelp"),
    (rb"MSCF\x00\x00\x00\x00", "application/vnd.ms-cab-compressed"),
    (rb"!BDN.{4}(?:SM|SO)", "application/vnd.ms-outlook-pst"),
    (rb"\n\r\r\n.{4}(?:\x1a\x2b\x3c\x4d|\x4d\x3c\x2b\x1a)", "application/x-pcapng"),
    (rb"\xd4\xc3\xb2\xa1|\xa1\xb2\xc3\xd4|\x4d\x3c\xb2\xa1|\xa1\xb2\x3c\x4d", "application/vnd.tcpdump.pcap"),
    (rb"\x00\x01\x00\x00Standard (?:Jet|ACE) DB\x00", "application/vnd.ms-access"),
    (rb"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", "application/onenote"),
    (rb"\xdb\xa5[\x2d\x21\x2b]\x00", "application/msword"),  # Word 2
    (rb"\x09[\x00\x02\x04]\x04\x00|\x09[\x02\x04]\x06\x00", "application/vnd.ms-excel"),  # Excel 2 to 4
    (rb"\xff\x0a", "image/jxl"),  # a codestream without boxes
    (rb"\xff\x4f\xff\x51", "image/x-jp2-codestream"),
    (rb"II\x2b\x00\x08\x00\x00\x00|MM\x00\x2b\x00\x08\x00\x00", "image/tiff"),  # BigTIFF
    (rb"8BPS\x00[\x01\x02]", "image/vnd.adobe.photoshop"),
    (rb"\x01\x00\x00\x00.{36} EMF", "image/emf"),
    (rb"\xd7\xcd\xc6\x9a", "image/wmf"),
    (rb"\xc5\xd0\xd3\xc6", "application/postscript"),  # with a preview for DOS
    (rb"v/1\x01", "image/x-exr"),
    (rb"\x01\xda[\x00\x01][\x01\x02]", "image/x-sgi"),
    (rb"P[Ff]\s\d+\s\d+\s-?\d", "image/x-portable-floatmap"),
    (rb"icns\x00", "image/x-icns"),
    (rb"qoif", "image/x-qoi"),
    (rb"DDS \x7c\x00\x00\x00", "image/vnd.ms-dds"),
    (rb"RIFF.{4}RMID", "audio/midi"),
    (rb"AC10\d\d\x00", "image/vnd.dwg"),
    (rb"SQLite format 3\x00", "application/vnd.sqlite3"),
    (rb"PAR1", "application/vnd.apache.parquet"),
    (rb"ARROW1\x00\x00", "application/vnd.apache.arrow.file"),
    (rb"bplist0\d", "application/x-bplist"),
    (rb"L\x00\x00\x00\x01\x14\x02\x00", "application/x-ms-shortcut"),
    (rb".{60}BOOKMOBI", "application/x-mobipocket-ebook"),
    (rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18", "application/x-lz4"),
    (rb"LZIP\x01", "application/x-lzip"),
    (rb"\x5d\x00\x00.{2}(?:\xff{8}|.{5}\x00{3})", "application/x-lzma"),
)
_BY_SIGNATURE = tuple((re.compile(pattern, re.DOTALL), kind) for pattern, kind in _SIGNATURES)

_ZSTD = b"\x28\xb5\x2f\xfd"
#: A frame of Zstandard or LZ4 that readers skip (RFC 8878, 3.1.2).
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")


def refine_by_signature(detected: str, head: bytes, size: int) -> str:
    """Return the type by content alone. ``head``: the file's first bytes; ``detected``: libmagic's type."""
    if detected == "application/octet-stream":
        return _by_signature(head, size) or detected
    return "font/collection" if head.startswith(b"ttcf") else detected


def narrow_by_claims(detected: str, claims: Iterable[str]) -> str:
    """Return the first claim (the name's, the sender's) that narrows the detected type; else the detected type."""
    patterns = _NARROWER_TYPES.get(detected, ())
    return next((claim for claim in claims if any(fnmatchcase(claim, each) for each in patterns)), detected)


def _by_signature(head: bytes, size: int) -> str | None:
    for pattern, kind in _BY_SIGNATURE:
        if pattern.match(head):
            return kind
    if _behind_skippable(head).startswith(_ZSTD):
        return "application/zstd"
    if len(head) >= 84 and size == 84 + 50 * struct.unpack_from("<I", head, 80)[0]:
        return "model/stl"
    for first, packet in ((0, 188), (4, 192)):  # of broadcasts, and with a time before each packet as cameras do
        if len(head) > first + 4 * packet and all(head[first + n * packet] == 0x47 for n in range(5)):
            return "video/mp2t"
    return None


def _behind_skippable(head: bytes) -> bytes:
    offset = 0
    while _SKIPPABLE.match(head, offset) and len(head) >= offset + 8:
        offset += 8 + int.from_bytes(head[offset + 4 : offset + 8], "little")
    return head[offset : offset + 4]
