"""What a zip file really is, by its central directory: the entries may stand in any order.

Bounded: the end of the file and at most ``LONGEST`` bytes of directory are read, and a hundred bytes are unpacked.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

#: Bytes of a directory that are looked at: some fifty thousand entries.
LONGEST = 4 * 1024 * 1024

_TAIL = 22 + 65535  # the end record and its comment
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_OOXML = "application/vnd.openxmlformats-officedocument"

#: An entry -> the type of a file that has it. The first that is there decides.
_TELLING = {
    "AndroidManifest.xml": "application/vnd.android.package-archive",
    "3D/3dmodel.model": "model/3mf",
    "doc.kml": "application/vnd.google-earth.kmz",
    "META-INF/MANIFEST.MF": "application/java-archive",
}

#: What a file may say of itself, to the last letter: it becomes the type that is served.
_DECLARED = re.compile(r"application/(?:epub\+zip|vnd\.oasis\.opendocument\.[a-z0-9.-]{1,60})")

#: The folder of a Microsoft document -> its type without macros, and with.
_OFFICE = {
    "word/": (f"{_OOXML}.wordprocessingml.document", "application/vnd.ms-word.document.macroenabled.12"),
    "xl/": (f"{_OOXML}.spreadsheetml.sheet", "application/vnd.ms-excel.sheet.macroenabled.12"),
    "ppt/": (f"{_OOXML}.presentationml.presentation", "application/vnd.ms-powerpoint.presentation.macroenabled.12"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    method: int
    length: int
    offset: int


@dataclass(frozen=True, slots=True)
class Directory:
    """``begins``: where the zip file begins in the file; more than 0 behind something else."""

    begins: int
    entries: tuple[Entry, ...]


def directory(file: BinaryIO, size: int) -> Directory | None:
    """None where the file does not end as a zip file does, or its directory is not where the end says."""
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < _END.size:
        return None
    length, offset, end = _bounds(file, tail, place, max(0, size - _TAIL) + place)
    begins = end - length - offset
    if begins < 0:
        return None
    file.seek(end - length)
    found = tuple(_entries(file.read(min(length, LONGEST)), begins))
    return Directory(begins, found) if found or not length else None


def kind(file: BinaryIO, found: Directory) -> str:
    """The type of the zip file."""
    names = {entry.name for entry in found.entries}
    declared = next((entry for entry in found.entries if entry.name == "mimetype"), None)
    said = _content(file, declared) if declared is not None else ""
    if _DECLARED.fullmatch(said):
        return said
    for folder, (plain, macros) in _OFFICE.items():
        if "[Content_Types].xml" in names and any(name.startswith(folder) for name in names):
            return macros if f"{folder}vbaProject.bin" in names else plain
    return next((kind for name, kind in _TELLING.items() if name in names), "application/zip")


def _bounds(file: BinaryIO, tail: bytes, place: int, end: int) -> tuple[int, int, int]:
    """Length and offset of the directory, and where it ends in the file; in large files by the records for those."""
    *_, length, offset, _ = _END.unpack_from(tail, place)
    locator = tail[max(0, place - 20) : place]
    if not locator.startswith(b"PK\x06\x07") or len(locator) < 20:
        return length, offset, end
    place64 = end - 20 - _END64.size
    if place64 < 0:
        return length, offset, end
    file.seek(place64)
    record = file.read(_END64.size)
    if len(record) < _END64.size or not record.startswith(b"PK\x06\x06"):
        return length, offset, end
    *_, length, offset = _END64.unpack(record)
    return length, offset, place64


def _entries(table: bytes, begins: int) -> Iterator[Entry]:
    place = 0
    while place + _ENTRY.size <= len(table) and table.startswith(b"PK\x01\x02", place):
        fields = _ENTRY.unpack_from(table, place)
        method, length, offset = fields[4], fields[8], fields[16]
        name, extra, comment = fields[10], fields[11], fields[12]
        place += _ENTRY.size
        yield Entry(table[place : place + name].decode("utf-8", "replace"), method, length, begins + offset)
        place += name + extra + comment


def _content(file: BinaryIO, entry: Entry) -> str:
    """The beginning of an entry, as text; empty where it cannot be read."""
    file.seek(entry.offset)
    head = file.read(30)
    if len(head) < 30 or not head.startswith(b"PK\x03\x04"):
        return ""
    name, extra = struct.unpack_from("<HH", head, 26)
    file.seek(entry.offset + 30 + name + extra)
    packed = file.read(min(entry.length, 200))
    try:
        plain = zlib.decompressobj(-15).decompress(packed, 100) if entry.method == 8 else packed
    except zlib.error:
        return ""
    return plain[:100].decode("ascii", "replace").strip()
