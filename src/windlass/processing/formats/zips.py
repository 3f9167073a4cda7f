"""The central directory of a zip file, one entry at a time. No entry is opened, so sizes are what the file claims.

After PKWARE's APPNOTE 6.3.10, sections 4.3.7 to 4.3.16 and 4.5.3 (zip64).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.entries import Entry, Survey

_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_HEADER = struct.Struct("<4s6H3I5H2I")
_LOCAL = 30
_UNKNOWN = 0xFFFFFFFF
#: No file reaches so far, whatever an entry says of its place.
_FARTHEST = 2**63 - 1
_ENCRYPTED, _UTF8 = 1, 1 << 11
_SYMLINK, _KIND = 0o120000, 0o170000


@dataclass(frozen=True, slots=True)
class Directory:
    """Where it lies. ``shift``: how far the file's own offsets are off, where something stands before the archive."""

    start: int
    size: int
    entries: int
    shift: int


def find_directory(file: BinaryIO) -> Directory:
    """Raises Unreadable where there is none."""
    end = file.seek(0, 2)
    tail_at = max(0, end - 65535 - _END.size)
    file.seek(tail_at)
    tail = file.read(65535 + _END.size)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < _END.size:
        raise Unreadable("The archive has no table of contents: its end is missing.")
    _, _, _, _, entries, size, offset, _ = _END.unpack_from(tail, place)
    at = tail_at + place
    if _UNKNOWN in (size, offset) or entries == 0xFFFF:
        entries, size, offset, at = _zip64(file, at) or (entries, size, offset, at)
    if size > at:
        raise Unreadable("The archive's table of contents is larger than the archive.")
    return Directory(at - size, size, entries, at - size - offset)


def _zip64(file: BinaryIO, end: int) -> tuple[int, int, int, int] | None:
    if end < _LOCATOR.size:
        return None
    file.seek(end - _LOCATOR.size)
    mark, _, place, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
    if mark != b"PK\x06\x07" or place > end - _LOCATOR.size - _END64.size:
        return None
    file.seek(place)
    mark, *_, entries, size, offset = _END64.unpack(file.read(_END64.size))
    return (entries, size, offset, place) if mark == b"PK\x06\x06" else None


def survey(file: BinaryIO) -> Survey:
    """What the directory says. Raises Unreadable."""
    found = find_directory(file)
    seen = Survey(packed=file.seek(0, 2), sizes="declared")
    starts, ends = array("q"), array("q")
    for entry, start, end in _entries(file, found):
        if not seen.add(entry):
            seen.entries = max(seen.entries, found.entries)
            break
        starts.append(min(start, _FARTHEST))
        ends.append(min(end, _FARTHEST))
    seen.overlapping = _overlapping(starts, ends, found.start - found.shift)
    return seen


def _entries(file: BinaryIO, directory: Directory) -> Iterator[tuple[Entry, int, int]]:
    """Each entry and the stretch of the archive that it claims."""
    file.seek(directory.start)
    left = directory.size
    while left >= _HEADER.size:
        head = _HEADER.unpack(file.read(_HEADER.size))
        if head[0] != b"PK\x01\x02":
            raise Unreadable("The archive's table of contents is damaged.")
        flags, packed, unpacked, name_length, extra_length, comment_length = head[3], *head[8:13]
        name, extra = file.read(name_length), file.read(extra_length)
        file.seek(comment_length, 1)
        left -= _HEADER.size + name_length + extra_length + comment_length
        unpacked, packed, start = _sizes64(extra, unpacked, packed, head[16])
        text = name.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
        link = (head[15] >> 16) & _KIND == _SYMLINK
        entry = Entry(text, unpacked, bool(flags & _ENCRYPTED), is_directory=text.endswith("/"), is_link=link)
        yield entry, start, start + _LOCAL + name_length + packed


def _sizes64(extra: bytes, *values: int) -> tuple[int, ...]:
    """Unpacked, packed, offset: those that do not fit 32 bits stand in the extra field, in this order."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        if kind == 1:
            body = extra[place + 4 : place + 4 + length]
            longs = iter(struct.unpack(f"<{len(body) // 8}Q", body[: len(body) // 8 * 8]))
            return tuple(next(longs, value) if value == _UNKNOWN else value for value in values)
        place += 4 + length
    return values


def _overlapping(starts: array[int], ends: array[int], directory: int) -> int:
    """How many entries begin inside another, or reach into the directory: one stretch of bytes, unpacked many times."""
    found, reached = 0, 0
    for start, end in sorted(zip(starts, ends, strict=True)):
        if start < reached or end > directory:
            found += 1
        reached = max(reached, end)
    return found
