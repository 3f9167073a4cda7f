"""Inspection of a rar file, versions 4 and 5: its headers. Only stored contents are read, so sizes are claims.

After RARLAB's "RAR 5.0 archive format" and the technote of RAR 4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import archive_types
from windlass.processing.formats.archives.inspection import Entry, Inspection, Inspector
from windlass.processing.formats.archives.unpacking import FARTHEST, FilePart

_RAR4_MARK, _RAR5_MARK = b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00"
_LARGEST_HEADER = 64 * 1024
_SYMLINK, _KIND = 0o120000, 0o170000
_CONTINUED = 8
_LOCKED = "its table of contents is locked with a password"


def inspect(file: BinaryIO, found: Inspection, inspector: Inspector) -> None:
    """Fill in the inspection. In a set of volumes a file counts where it begins. Raises Unreadable."""
    start = 0
    file.seek(0)
    if not file.read(4).startswith(b"Rar!"):
        start = archive_types.embedded_archive_offset(file)
    file.seek(start)
    head = file.read(len(_RAR5_MARK))
    if head == _RAR5_MARK:
        entries = _rar5_entries(file, found)
    elif head.startswith(_RAR4_MARK):
        file.seek(start + len(_RAR4_MARK))
        entries = _rar4_entries(file, found)
    else:
        raise Unreadable("The archive does not begin as a rar file does.")
    for entry, content in entries:
        position = file.tell()
        if not found.add(entry):
            break
        if content is not None:
            inspector.inspect_nested(content)
        file.seek(position)


def _rar4_entries(file: BinaryIO, found: Inspection) -> Iterator[tuple[Entry, BinaryIO | None]]:
    while len(head := file.read(7)) == 7:
        _, kind, flags, size = struct.unpack("<HBHH", head)
        if size < 7:
            raise Unreadable("The archive is damaged: one of its headers is wrong.")
        body = file.read(size - 7)
        added = struct.unpack_from("<I", body)[0] if flags & 0x8000 and len(body) >= 4 else 0
        if kind == 0x73 and flags & 0x80:
            found.encrypted = True
            found.unmeasured = _LOCKED
            return
        if kind == 0x74 and len(body) >= 25:
            entry, added = _rar4_file(body, flags)
            is_plain = body[18] == 0x30 and not entry.encrypted
            yield entry, FilePart(file, file.tell(), added) if is_plain else None
        if kind == 0x7B:
            return
        file.seek(added, 1)
    if not found.entries:
        raise Unreadable("The archive is damaged: it ends before its first entry.")


def _rar4_file(body: bytes, flags: int) -> tuple[Entry, int]:
    packed, unpacked, host, _, _, _, _, length, attributes = struct.unpack_from("<2IB2I2BHI", body)
    offset = 25
    if flags & 0x100 and len(body) >= 33:
        high_packed, high_unpacked = struct.unpack_from("<2I", body, 25)
        packed, unpacked, offset = packed | high_packed << 32, unpacked | high_unpacked << 32, 33
    name = body[offset : offset + length].partition(b"\0")[0].decode("utf-8", "replace")
    is_continued = bool(flags & 1)
    packed = min(packed, FARTHEST)
    entry = Entry(
        name,
        0 if is_continued else unpacked,
        encrypted=bool(flags & 4),
        is_directory=flags & 0xE0 == 0xE0,
        is_link=host == 3 and attributes & _KIND == _SYMLINK,
    )
    return entry, packed


def _rar5_entries(file: BinaryIO, found: Inspection) -> Iterator[tuple[Entry, BinaryIO | None]]:
    while True:
        start = file.tell()
        size, length = _number(file.read(14)[4:], 0)
        if length == 0:
            if not found.entries:
                raise Unreadable("The archive is damaged: it ends before its first entry.")
            return
        if not 0 < size <= _LARGEST_HEADER:
            raise Unreadable("The archive is damaged: one of its headers is wrong.")
        file.seek(start + 4 + length)
        kind, fields = _fields(file.read(size))
        if kind == 4:
            found.encrypted = True
            found.unmeasured = _LOCKED
            return
        if kind == 5:
            return
        if kind == 2:
            content_start = start + 4 + length + size
            entry, is_plain = _rar5_file(fields)
            if fields.is_of_unknown_size:
                found.unmeasured = "an entry does not say what it unpacks to"
            yield entry, FilePart(file, content_start, fields.data) if is_plain else None
        file.seek(start + 4 + length + size + fields.data)


class _Fields:
    """A header behind its common fields; ``number`` reads the next field."""

    def __init__(self, header: bytes, place: int, flags: int, extra: int, data: int) -> None:
        self.header, self.place, self.extra, self.data = header, place, extra, data
        self.is_continued = bool(flags & _CONTINUED)
        self.is_of_unknown_size = False

    def number(self) -> int:
        value, self.place = _number(self.header, self.place)
        return value


def _fields(header: bytes) -> tuple[int, _Fields]:
    kind, place = _number(header, 0)
    flags, place = _number(header, place)
    extra, place = _number(header, place) if flags & 1 else (0, place)
    data, place = _number(header, place) if flags & 2 else (0, place)
    return kind, _Fields(header, place, flags, extra, min(data, FARTHEST))


def _rar5_file(fields: _Fields) -> tuple[Entry, bool]:
    """Return the entry, and whether its content is stored without compression."""
    flags, size, _ = fields.number(), fields.number(), fields.number()
    fields.place += 4 * bool(flags & 2) + 4 * bool(flags & 4)
    method = fields.number() >> 7 & 7
    fields.number()  # the system
    length = fields.number()
    name = fields.header[fields.place : fields.place + length].decode("utf-8", "replace")
    records = dict(_records(fields.header, len(fields.header) - fields.extra))
    link = records.get(5)
    fields.is_of_unknown_size = bool(flags & 8) and not fields.is_continued
    unknown = fields.is_continued or fields.is_of_unknown_size
    entry = Entry(
        name,
        0 if unknown else size,
        encrypted=1 in records,
        is_directory=bool(flags & 1),
        is_link=link is not None,
        target=_target(link) if link is not None else None,
    )
    return entry, method == 0 and not entry.encrypted


def _records(header: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield kind and body of each record of the extra area."""
    while 0 <= offset < len(header):
        size, offset = _number(header, offset)
        kind, body = _number(header, offset)
        yield kind, header[body : offset + size]
        offset += max(size, 1)


def _target(redirection: bytes) -> str:
    _, offset = _number(redirection, 0)
    _, offset = _number(redirection, offset)
    length, offset = _number(redirection, offset)
    return redirection[offset : offset + length].decode("utf-8", "replace")


def _number(data: bytes, offset: int) -> tuple[int, int]:
    """Read an integer of seven bits a byte; return it and its end, or 0 and ``offset`` at the end of the data."""
    value = 0
    for shift, byte in enumerate(data[offset : offset + 10]):
        value |= (byte & 0x7F) << (7 * shift)
        if not byte & 0x80:
            return value, offset + shift + 1
    return 0, offset
