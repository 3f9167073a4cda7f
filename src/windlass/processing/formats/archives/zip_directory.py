"""The one reader of the structure of zip files: end records, directories, entries.

After PKWARE's APPNOTE 6.3.10, sections 4.3.6 to 4.3.16 and 4.5.3 (zip64). Programs differ in which end record they use,
in when they follow a zip64 record, and in where they look for it; so a file may have more than one directory.
``directories`` returns each that a program in use would read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import BinaryIO

from windlass.processing.contract import Unreadable

_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_HEADER = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
LOCAL_HEADER_SIZE = _LOCAL.size
_MARK, _END64_MARK, _ENTRY_MARK, _LOCAL_MARK = b"PK\x05\x06", b"PK\x06\x06", b"PK\x01\x02", b"PK\x03\x04"
_ENCRYPTED_MARK = b"PK\x06\x08"
_TAIL = _END.size + 65535
_FULL = 0xFFFFFFFF
#: Bytes that are searched at a time.
_BLOCK = 256 * 1024
#: End records in the tail of a file that are read, from the last on.
_MOST_ENDS = 32

ENCRYPTED = 1
STORED, DEFLATED = 0, 8
_UTF8 = 1 << 11
_SYMLINK, _KIND = 0o120000, 0o170000


class BadZip(Unreadable):
    """The bytes are not a zip file, or a damaged one. The message is a sentence for the file's owner."""


@dataclass(frozen=True, slots=True)
class Directory:
    """Where a directory lies.

    ``zip_start``: offset of the zip file in the file, above 0 behind other content. ``end``: the offset at which its
    entries end at the latest. ``claimed``: the number of entries by its end record.
    """

    zip_start: int
    start: int
    end: int
    size: int
    claimed: int
    is_zip64: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """An entry as the directory describes it; ``offset`` is that of its local header in the file."""

    name: str
    flags: int
    method: int
    packed: int
    unpacked: int
    offset: int
    is_link: bool
    name_length: int
    crc: int = 0

    @property
    def is_directory(self) -> bool:
        return self.name.endswith("/")

    @property
    def is_encrypted(self) -> bool:
        return bool(self.flags & ENCRYPTED)


@dataclass(frozen=True, slots=True)
class LocalHeader:
    """An entry's own header; ``data`` is the offset of its content in the file."""

    flags: int
    method: int
    packed: int
    unpacked: int
    data: int


def directories(file: BinaryIO) -> list[Directory]:
    """Return each directory that a program may read, the one that most programs read first; empty where none is."""
    tail_at, tail = _read_tail(file)
    end_records = _end_records(tail)
    # Programs use the last record, or the one whose comment ends with the file; others only where these are none.
    preferred = [offset for offset in end_records if offset == end_records[0] or _ends_with(tail, offset)]
    others = [offset for offset in end_records if offset not in preferred]
    for offsets in (preferred, *([offset] for offset in others)):
        located: dict[int, Directory] = {}
        for offset in offsets:
            for each in _of_end_record(file, tail, offset, tail_at + offset):
                located.setdefault(each.start, each)
        if located:
            return list(located.values())
    return []


def members_by_local_headers(file: BinaryIO, start: int, ends: int) -> Iterator[Member]:
    """Yield an entry for each local header in a range, as programs see it that ignore the directory.

    Its sizes may be 0.
    """
    offset, carried = start, b""
    while offset < ends:
        file.seek(offset)
        block = carried + file.read(min(_BLOCK, ends - offset))
        if len(block) == len(carried):
            return
        base, at = offset - len(carried), block.find(_LOCAL_MARK)
        while at >= 0:
            member = Member("", 0, 0, 0, 0, base + at, is_link=False, name_length=0)
            with suppress(BadZip):
                header = local_header(file, member)
                yield replace(
                    member, flags=header.flags, method=header.method, packed=header.packed, unpacked=header.unpacked
                )
            at = block.find(_LOCAL_MARK, at + 4)
        offset, carried = base + len(block), block[-3:]


def is_encrypted(file: BinaryIO) -> bool:
    """Whether the directory itself is encrypted (APPNOTE 7.3), so that its entries are unknown."""
    tail_at, tail = _read_tail(file)
    offset = tail.rfind(_MARK)
    if offset < 0 or len(tail) - offset < _END.size:
        return False
    file.seek(min(_END.unpack_from(tail, offset)[6], tail_at + len(tail)))
    return file.read(4) == _ENCRYPTED_MARK


def members(file: BinaryIO, directory: Directory) -> Iterator[Member]:
    """Yield each entry in the directory's order, for as long as there are entries, whatever number was claimed.

    The caller may move the file's position between two entries. Raises BadZip.
    """
    offset, count = directory.start, 0
    while True:
        file.seek(offset)
        head = file.read(_HEADER.size)
        if not head.startswith(_ENTRY_MARK) or offset >= directory.end:
            break
        if len(head) < _HEADER.size:
            raise BadZip("The archive's table of contents ends in the middle of an entry.")
        fields = _HEADER.unpack(head)
        name, extra = file.read(fields[10]), file.read(fields[11])
        if len(name) < fields[10] or len(extra) < fields[11]:
            raise BadZip("The archive's table of contents ends in the middle of an entry.")
        offset += _HEADER.size + fields[10] + fields[11] + fields[12]
        count += 1
        yield _member(fields, name, extra, directory.zip_start)
    if not count and directory.size:
        raise BadZip("The archive's table of contents is damaged.")


def contradiction(directory: Directory, counted: int) -> str:
    """Describe how the end record contradicts the directory; empty where they agree. Old writers, which have no zip64
    records, store the count modulo 65,536."""
    is_exact = directory.is_zip64 or counted <= 0xFFFF
    if counted != directory.claimed if is_exact else (counted - directory.claimed) % 0x10000:
        return f"its end record counts {directory.claimed} entries, and its table of contents has {counted}"
    return ""


def local_header(file: BinaryIO, member: Member) -> LocalHeader:
    """Read the entry's own header. Raises BadZip where there is none."""
    file.seek(min(member.offset, 2**63 - 1))
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or not head.startswith(_LOCAL_MARK):
        raise BadZip("The archive is damaged: an entry is not where its table of contents says.")
    _, _, flags, method, _, _, _, packed, unpacked, name_length, extra_length = _LOCAL.unpack(head)
    if _FULL in (packed, unpacked):
        file.seek(name_length, 1)
        unpacked, packed = _sizes64(file.read(extra_length), unpacked, packed)
    return LocalHeader(flags, method, packed, unpacked, member.offset + _LOCAL.size + name_length + extra_length)


def _read_tail(file: BinaryIO) -> tuple[int, bytes]:
    """Return the end of the file, where programs look for end records, and its offset."""
    offset = file.seek(max(0, file.seek(0, 2) - _TAIL))
    return offset, file.read(_TAIL)


def _end_records(tail: bytes) -> list[int]:
    """Offsets of the end records in the tail, from the last on."""
    offsets: list[int] = []
    offset = tail.rfind(_MARK)
    while offset >= 0 and len(offsets) < _MOST_ENDS:
        if len(tail) - offset >= _END.size:
            offsets.append(offset)
        offset = tail.rfind(_MARK, 0, offset + 3)
    return offsets


def _ends_with(tail: bytes, offset: int) -> bool:
    comment: int = _END.unpack_from(tail, offset)[7]
    return offset + _END.size + comment == len(tail)


def _of_end_record(file: BinaryIO, tail: bytes, offset_in_tail: int, at: int) -> Iterator[Directory]:
    """The directories that one end record may mean: by its own fields, and by the zip64 records."""
    _, _, _, _, count, size, offset, _ = _END.unpack_from(tail, offset_in_tail)
    records = list(_zip64_records(file, at))
    by_own_fields = [(before, count, size, offset, False) for before in (at, *(record[0] for record in records))]
    by_zip64 = [(*record, True) for record in records]
    has_no_room = _FULL in (size, offset) or count == 0xFFFF
    for candidate in (*by_zip64, *by_own_fields) if has_no_room else (*by_own_fields, *by_zip64):
        yield from _located(file, *candidate)


def _zip64_records(file: BinaryIO, at: int) -> Iterator[tuple[int, int, int, int]]:
    """Offset of each zip64 record, with number of entries, size and offset of the directory by it. Programs find it
    through the locator before ``at``: where the locator says, or just before the locator."""
    if at < _LOCATOR.size + _END64.size:
        return
    file.seek(at - _LOCATOR.size)
    mark, _, declared_offset, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
    if mark != b"PK\x06\x07":
        return
    for record_at in dict.fromkeys((declared_offset, at - _LOCATOR.size - _END64.size)):
        if record_at <= at - _LOCATOR.size - _END64.size:
            file.seek(record_at)
            mark, *_, entries, size, offset = _END64.unpack(file.read(_END64.size))
            if mark == _END64_MARK:
                yield record_at, entries, size, offset


def _located(file: BinaryIO, end: int, count: int, size: int, offset: int, is_zip64: bool) -> Iterator[Directory]:
    """The directory just before ``end``, which allows for content before the zip file, and the one at its offset."""
    for start in dict.fromkeys((end - size, offset)):
        if not 0 <= start <= end:
            continue
        file.seek(start)
        if size == 0 and count == 0 and offset == start:
            yield Directory(start - offset, start, end, 0, 0, is_zip64)
        elif file.read(4) == _ENTRY_MARK and start + 4 <= end:
            yield Directory(max(start - offset, 0), start, end, size, count, is_zip64)


def _member(fields: tuple[int, ...], name: bytes, extra: bytes, zip_start: int) -> Member:
    flags, method, packed, unpacked = fields[3], fields[4], fields[8], fields[9]
    unpacked, packed, offset = _sizes64(extra, unpacked, packed, fields[16])
    text = name.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
    link = (fields[15] >> 16) & _KIND == _SYMLINK
    return Member(text, flags, method, packed, unpacked, zip_start + offset, link, len(name), fields[7])


def _sizes64(extra: bytes, *values: int) -> tuple[int, ...]:
    """Unpacked, packed, offset: values that do not fit 32 bits are in the extra field, in this order."""
    offset = 0
    while offset + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, offset)
        if kind == 1:
            body = extra[offset + 4 : offset + 4 + length]
            longs = iter(struct.unpack(f"<{len(body) // 8}Q", body[: len(body) // 8 * 8]))
            return tuple(next(longs, value) if value == _FULL else value for value in values)
        offset += 4 + length
    return values
