"""What is in a zip file: each entry as its directory has it, and what it really unpacks to.

Readers differ in which directory they take, and some go by the entries' own headers: the larger claim counts.
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import archive_types, zip_directory
from windlass.processing.formats.archives.entries import SHORTEST, Entry, Survey
from windlass.processing.formats.archives.unpacking import (
    MADE,
    PACKINGS,
    READ,
    WINDOW,
    Packing,
    deflate64,
    part,
    raw_deflate,
    unpacked,
    zstd,
)
from windlass.processing.formats.archives.zip_directory import DEFLATED, STORED, BadZip, Directory, Local, Member
from windlass.processing.formats.read_limits import MB

if TYPE_CHECKING:
    from windlass.processing.formats.archives.survey import Surveyor

_LOCAL = 30
_FULL = 0xFFFFFFFF
#: Bytes that may stand between an entry's data and the next header: its data descriptor, in its four forms.
_DESCRIPTORS = (0, 12, 16, 20, 24)


def _lzma_of_zip(packed: BinaryIO) -> Iterator[bytes]:
    """Behind a head of its own (APPNOTE 5.8.8); it may end without a mark."""
    head = packed.read(9)
    if len(head) < 9:
        raise ValueError("too short")
    first, window = head[4], struct.unpack_from("<I", head, 5)[0]
    chain = {"id": lzma.FILTER_LZMA1, "lc": first % 9, "lp": first // 9 % 5, "pb": first // 45}
    inner = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[chain | {"dict_size": max(4096, min(window, WINDOW))}])
    while not inner.eof and (fed := packed.read(64 * 1024) if inner.needs_input else b"-"):
        yield inner.decompress(b"" if fed == b"-" else fed, MB // 4)


#: Methods by number (APPNOTE 4.4.5) that can be unpacked here.
METHODS: Mapping[int, Packing] = {
    8: Packing(raw_deflate),
    9: Packing(stream=deflate64),
    12: Packing(PACKINGS["application/x-bzip2"].make),
    14: Packing(stream=_lzma_of_zip),
    20: Packing(zstd),
    93: Packing(zstd),
    95: PACKINGS["application/x-xz"],
}


def survey(file: BinaryIO, found: Survey, surveyor: Surveyor) -> None:
    """Raises BadZip, CountingEnds, NotMeasured."""
    directories = zip_directory.directories(file)
    if not directories:
        if zip_directory.is_encrypted(file):
            found.encrypted = True
            found.unmeasured = "its table of contents is locked with a password"
            return
        size = file.seek(0, 2)
        if surveyor.counts:
            _count_unlisted(file, 0, size, found, surveyor)
        raise BadZip("The archive is damaged: its table of contents is missing or broken.")
    for place, directory in enumerate(directories):
        each = found if not place else Survey(found.packed)
        _survey(file, directory, each, surveyor)
        if place:
            found.contradiction = "readers of such files find more than one table of contents in it"
            found.entries, found.unpacked = max(found.entries, each.entries), max(found.unpacked, each.unpacked)


def _survey(file: BinaryIO, directory: Directory, found: Survey, surveyor: Surveyor) -> None:
    members: list[Member] = []
    for member in zip_directory.members(file, directory):
        entry = Entry(member.name, member.unpacked, member.is_encrypted, member.is_directory, member.is_link)
        if not found.add(entry):
            found.entries = max(found.entries, directory.claimed)
            break
        members.append(member)
    else:
        found.contradiction = zip_directory.contradiction(directory, found.entries)
    members.sort(key=lambda member: member.offset)
    found.overlapping = _overlapping(members, directory.start)
    if surveyor.counts and (surveyor.depth or found.unpacked <= surveyor.meter.most):
        found.sizes = "declared" if found.encrypted else "counted"
        _count(file, members, directory, found, surveyor)


def _overlapping(members: list[Member], directory: int) -> int:
    """How many entries begin inside another, or reach into the directory: one stretch of bytes, unpacked many times."""
    count, reached = 0, 0
    for member in members:
        end = member.offset + _LOCAL + member.name_length + member.packed
        if member.offset < reached or end > directory:
            count += 1
        reached = max(reached, end)
    return count


def _count(file: BinaryIO, members: list[Member], directory: Directory, found: Survey, surveyor: Surveyor) -> None:
    """Unpack each entry to nowhere, in the order of the file, and those between them that the directory leaves out."""
    reached = members[0].offset if members else directory.start
    for start in dict.fromkeys((0, directory.begins)):
        _count_between(file, start, reached, found, surveyor)
    for member in members:
        if member.offset > reached:
            _count_between(file, reached, member.offset, found, surveyor)
        try:
            header = zip_directory.local(file, member)
            found.contradiction = found.contradiction or _contradiction(member, header)
            counted = _count_one(file, member, header, directory.start, found, surveyor)
            found.unpacked += max(counted - member.unpacked, 0)
            found.largest = max(found.largest, counted)
            reached = max(reached, header.data + member.packed)
        except (BadZip, Unreadable) as error:
            found.damaged = found.damaged or str(error)
    _count_between(file, reached, directory.start, found, surveyor)


def _count_one(file: BinaryIO, member: Member, header: Local, ends: int, found: Survey, surveyor: Surveyor) -> int:
    """What an entry unpacks to; 0 for what only a password opens. Raises Unreadable, CountingEnds, NotMeasured."""
    if member.is_encrypted and header.flags & zip_directory.ENCRYPTED:
        return 0
    if header.method == STORED or (not member.packed and header.method not in METHODS):
        surveyor.meter.add(0, member.packed)
        if member.packed >= SHORTEST:
            surveyor.look_inside(part(file, header.data, member.packed))
        return member.packed
    packing = METHODS.get(header.method)
    if packing is None:
        found.unmeasured = f"some of it is packed by a method that is not read here (number {header.method})"
        return 0
    try:
        if not member.packed:
            raise Unreadable("The entry is empty.")
        small = _count_small(file, member, header.data, surveyor) if header.method == DEFLATED else None
        return _count_packed(part(file, header.data, member.packed), packing, surveyor) if small is None else small
    except Unreadable:
        return _count_beyond(file, member, header, ends, found, surveyor)


def _count_beyond(file: BinaryIO, member: Member, header: Local, ends: int, found: Survey, surveyor: Surveyor) -> int:
    """Readers that find an entry's end by unpacking it do not ask where the directory says that it is."""
    try:
        counted = _count_packed(part(file, header.data, ends - header.data), METHODS[header.method], surveyor)
    except Unreadable:
        if not member.packed:
            return 0
        raise
    if counted:
        found.contradiction = "an entry goes on behind the end that the table of contents gives it"
    return counted


def _count_small(file: BinaryIO, member: Member, begins: int, surveyor: Surveyor) -> int | None:
    """The same at once for a small entry that holds no archive; None for any other. Most entries are small."""
    if member.packed > READ:
        return None
    file.seek(begins)
    inner = raw_deflate()
    try:
        content = inner.decompress(file.read(member.packed), MADE)
    except ValueError:
        return None
    if not inner.eof or not archive_types.is_surely_none(content):
        return None
    surveyor.meter.add(len(content), len(content))
    return len(content)


def _count_packed(packed: BinaryIO, packing: Packing, surveyor: Surveyor) -> int:
    content, made = unpacked(packed, packing, surveyor.meter)
    surveyor.look_inside(content)
    content.seek(0, 2)
    return made.counted


def _contradiction(member: Member, header: Local) -> str:
    """What an entry's own header says otherwise than the directory. Sizes may be left out of it, where they follow."""
    if header.method != member.method:
        return "an entry is packed by one method by its own header, and by another by the table of contents"
    if (header.flags ^ member.flags) & zip_directory.ENCRYPTED:
        return "an entry is locked by its own header or by the table of contents, and not by both"
    for own, listed in ((header.packed, member.packed), (header.unpacked, member.unpacked)):
        if own not in (0, _FULL, listed):
            return "an entry has one size by its own header, and another by the table of contents"
    return ""


def _count_between(file: BinaryIO, begins: int, ends: int, found: Survey, surveyor: Surveyor) -> None:
    """Count entries that stand in a gap and are not listed: readers that go by the entries' own headers see them."""
    if begins >= ends:
        return
    file.seek(begins)
    gap = file.read(min(28, ends - begins))
    if any(gap[skipped : skipped + 4] == b"PK\x03\x04" for skipped in _DESCRIPTORS):
        _count_unlisted(file, begins, ends, found, surveyor)


def _count_unlisted(file: BinaryIO, begins: int, ends: int, found: Survey, surveyor: Surveyor) -> None:
    """What can be unpacked between these places by the entries' own headers alone."""
    for member in zip_directory.unlisted(file, begins, ends):
        header = zip_directory.local(file, member)
        packing = METHODS.get(header.method)
        try:
            if header.method == STORED:
                found.unpacked += _count_one(file, member, header, ends, found, surveyor)
            elif packing is not None and not member.is_encrypted:
                found.unpacked += _count_packed(part(file, header.data, ends - header.data), packing, surveyor)
        except Unreadable:
            continue  # what was unpacked before the damage has been counted
