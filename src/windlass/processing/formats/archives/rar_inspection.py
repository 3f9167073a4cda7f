"""Inspection of a rar file, versions 4 and 5: its headers. Only stored contents are read, so sizes are claims.

After RARLAB's "RAR 5.0 archive format" and the technote of RAR 4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives.archive_types import RAR4_MARK, RAR5_MARK, embedded_archive_offset
from windlass.processing.formats.archives.inspection import Entry, Inspection, Inspector
from windlass.processing.formats.archives.unpacking import FARTHEST, FilePart

_LARGEST_HEADER = 64 * 1024
_SYMLINK, _KIND = 0o120000, 0o170000
_CONTINUED = 8
#: Kinds of RAR 5 links that are no symbolic links: hard links and copies.
_NOT_SYMBOLIC = (4, 5)


def inspect(file: BinaryIO, inspection: Inspection, inspector: Inspector) -> None:
    """Fill in the inspection. In a set of volumes a file counts where it begins. Raises Unreadable."""
    file.seek(0)
    start = 0 if file.read(4) == b"Rar!" else embedded_archive_offset(file)
    file.seek(start)
    head = file.read(len(RAR5_MARK))
    if head == RAR5_MARK:
        entries = _rar5_entries(file, inspection)
    elif head.startswith(RAR4_MARK):
        file.seek(start + len(RAR4_MARK))
        entries = _rar4_entries(file, inspection)
    else:
        raise Unreadable("The archive does not begin as a rar file does.")
    for entry, content in entries:
        position = file.tell()
        if not inspection.add(entry):
            break
        if content is not None:
            inspector.inspect_nested(content)
        file.seek(position)


def _rar4_entries(file: BinaryIO, inspection: Inspection) -> Iterator[tuple[Entry, BinaryIO | None]]:
    while len(head := file.read(7)) == 7:
        _, kind, flags, size = struct.unpack("<HBHH", head)
        if size < 7:
            raise Unreadable("The archive is damaged: one of its headers is wrong.")
        body = file.read(size - 7)
        added = struct.unpack_from("<I", body)[0] if flags & 0x8000 and len(body) >= 4 else 0
        if kind == 0x73 and flags & 0x80:
            inspection.mark_locked()
            return
        if kind == 0x74 and len(body) >= 25:
            entry, added = _rar4_file(body, flags)
            is_plain = body[18] == 0x30 and not entry.encrypted
            yield entry, FilePart(file, file.tell(), added) if is_plain else None
        if kind == 0x7B:
            return
        file.seek(added, 1)
    if not inspection.entries:
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


def _rar5_entries(file: BinaryIO, inspection: Inspection) -> Iterator[tuple[Entry, BinaryIO | None]]:
    while True:
        start = file.tell()
        prefix = _Fields(file.read(14)[4:])
        size = prefix.number()
        if not prefix.offset:
            if not inspection.entries:
                raise Unreadable("The archive is damaged: it ends before its first entry.")
            return
        if not 0 < size <= _LARGEST_HEADER:
            raise Unreadable("The archive is damaged: one of its headers is wrong.")
        content_start = start + 4 + prefix.offset + size
        file.seek(content_start - size)
        fields = _Fields(file.read(size))
        kind, flags = fields.number(), fields.number()
        extra = fields.number() if flags & 1 else 0
        packed = min(fields.number() if flags & 2 else 0, FARTHEST)
        if kind == 4:
            inspection.mark_locked()
        if kind in (4, 5):
            return
        if kind == 2:
            entry, is_plain = _rar5_file(fields, extra, inspection, is_continued=bool(flags & _CONTINUED))
            yield entry, FilePart(file, content_start, packed) if is_plain else None
        file.seek(content_start + packed)


class _Fields:
    """The fields of a header, which are read one after the other."""

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data, self.offset = data, offset

    def number(self) -> int:
        """Read an integer of seven bits a byte; 0 at the end of the data."""
        value = 0
        for position, byte in enumerate(self.data[self.offset : self.offset + 10]):
            value |= (byte & 0x7F) << (7 * position)
            if not byte & 0x80:
                self.offset += position + 1
                return value
        return 0

    def text(self) -> str:
        length = self.number()
        return self.data[self.offset : self.offset + length].decode("utf-8", "replace")


def _rar5_file(fields: _Fields, extra: int, inspection: Inspection, *, is_continued: bool) -> tuple[Entry, bool]:
    """Return the entry, and whether its content is stored without compression. ``extra``: bytes of its records."""
    flags, size, _ = fields.number(), fields.number(), fields.number()
    fields.offset += 4 * bool(flags & 2) + 4 * bool(flags & 4)
    method = fields.number() >> 7 & 7
    fields.number()  # the system
    name = fields.text()
    records = dict(_records(fields.data, len(fields.data) - extra))
    is_of_unknown_size = bool(flags & 8)
    if is_of_unknown_size and not is_continued:
        inspection.unmeasured = "an entry does not say what it unpacks to"
    link_kind, target = _redirection(records[5]) if 5 in records else (0, None)
    entry = Entry(
        name,
        0 if is_continued or is_of_unknown_size else size,
        encrypted=1 in records,
        is_directory=bool(flags & 1),
        is_link=5 in records and link_kind not in _NOT_SYMBOLIC,
        is_hard_link=link_kind in _NOT_SYMBOLIC,
        target=target,
    )
    return entry, method == 0 and not entry.encrypted


def _records(header: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield kind and body of each record of the extra area."""
    fields = _Fields(header, offset)
    while 0 <= fields.offset < len(header):
        size, start = fields.number(), fields.offset
        yield fields.number(), header[fields.offset : start + size]
        fields.offset = start + max(size, 1)


def _redirection(record: bytes) -> tuple[int, str]:
    """The kind of a link and its target."""
    fields = _Fields(record)
    kind = fields.number()
    fields.number()  # flags
    return kind, fields.text()
