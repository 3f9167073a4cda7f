"""Survey of a zip file: each entry as its directory describes it, and what it really unpacks to.

Programs differ in which directory they read, and some read the entries' own headers only: the larger claim counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import archive_types, zip_directory
from windlass.processing.formats.archives.decompressors import (
    OUTPUT_SIZE,
    READ_SIZE,
    ZIP_METHODS,
    Compression,
    raw_deflate,
)
from windlass.processing.formats.archives.survey import SHORTEST, Entry, Survey
from windlass.processing.formats.archives.unpacking import file_part, unpack
from windlass.processing.formats.archives.zip_directory import (
    DEFLATED,
    STORED,
    BadZip,
    Directory,
    LocalHeader,
    Member,
)

if TYPE_CHECKING:
    from windlass.processing.formats.archives.surveyor import Surveyor

_LOCAL = 30
_FULL = 0xFFFFFFFF
#: Bytes that may stand between an entry's data and the next header: its data descriptor, in its four forms.
_DESCRIPTORS = (0, 12, 16, 20, 24)


def survey(file: BinaryIO, found: Survey, surveyor: Surveyor) -> None:
    """Fill in the survey. Raises BadZip, LimitPassed, NotMeasured."""
    directories = zip_directory.directories(file)
    if not directories:
        if zip_directory.is_encrypted(file):
            found.encrypted = True
            found.unmeasured = "its table of contents is locked with a password"
            return
        size = file.seek(0, 2)
        if surveyor.measures:
            _measure_unlisted(file, 0, size, found, surveyor)
        raise BadZip("The archive is damaged: its table of contents is missing or broken.")
    for number, directory in enumerate(directories):
        each = found if not number else Survey(found.packed)
        _survey_directory(file, directory, each, surveyor)
        if number:
            found.contradiction = "readers of such files find more than one table of contents in it"
            found.entries, found.unpacked = max(found.entries, each.entries), max(found.unpacked, each.unpacked)


def _survey_directory(file: BinaryIO, directory: Directory, found: Survey, surveyor: Surveyor) -> None:
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
    found.overlapping = _count_overlapping(members, directory.start)
    if surveyor.measures and (surveyor.depth or found.unpacked <= surveyor.meter.limit):
        found.sizes = "declared" if found.encrypted else "counted"
        _measure_members(file, members, directory, found, surveyor)


def _count_overlapping(members: list[Member], directory_start: int) -> int:
    """Return how many entries begin inside another, or reach into the directory: bytes that unpack more than once."""
    count, reached = 0, 0
    for member in members:
        end = member.offset + _LOCAL + member.name_length + member.packed
        if member.offset < reached or end > directory_start:
            count += 1
        reached = max(reached, end)
    return count


def _measure_members(
    file: BinaryIO, members: list[Member], directory: Directory, found: Survey, surveyor: Surveyor
) -> None:
    """Unpack each entry in the order of the file, and those between that the directory leaves out."""
    reached = members[0].offset if members else directory.start
    for start in dict.fromkeys((0, directory.zip_start)):
        _measure_gap(file, start, reached, found, surveyor)
    for member in members:
        if member.offset > reached:
            _measure_gap(file, reached, member.offset, found, surveyor)
        try:
            header = zip_directory.local_header(file, member)
            found.contradiction = found.contradiction or _contradiction(member, header)
            counted = _measure_member(file, member, header, directory.start, found, surveyor)
            found.unpacked += max(counted - member.unpacked, 0)
            found.largest = max(found.largest, counted)
            reached = max(reached, header.data + member.packed)
        except (BadZip, Unreadable) as error:
            found.damaged = found.damaged or str(error)
    _measure_gap(file, reached, directory.start, found, surveyor)


def _measure_member(
    file: BinaryIO, member: Member, header: LocalHeader, ends: int, found: Survey, surveyor: Surveyor
) -> int:
    """Return what an entry unpacks to; 0 for an encrypted one. Raises Unreadable, LimitPassed, NotMeasured."""
    if member.is_encrypted and header.flags & zip_directory.ENCRYPTED:
        return 0
    if header.method == STORED or (not member.packed and header.method not in ZIP_METHODS):
        surveyor.meter.add(0, member.packed)
        if member.packed >= SHORTEST:
            surveyor.survey_nested(file_part(file, header.data, member.packed))
        return member.packed
    compression = ZIP_METHODS.get(header.method)
    if compression is None:
        found.unmeasured = f"some of it is packed by a method that is not read here (number {header.method})"
        return 0
    try:
        if not member.packed:
            raise Unreadable("The entry is empty.")
        small = _measure_small(file, member, header.data, surveyor) if header.method == DEFLATED else None
        return (
            _measure_packed(file_part(file, header.data, member.packed), compression, surveyor)
            if small is None
            else small
        )
    except Unreadable:
        return _measure_past_end(file, member, header, ends, found, surveyor)


def _measure_past_end(
    file: BinaryIO, member: Member, header: LocalHeader, ends: int, found: Survey, surveyor: Surveyor
) -> int:
    """Measure an entry past the end that the directory gives it, as programs do that find the end by unpacking."""
    try:
        counted = _measure_packed(
            file_part(file, header.data, ends - header.data), ZIP_METHODS[header.method], surveyor
        )
    except Unreadable:
        if not member.packed:
            return 0
        raise
    if counted:
        found.contradiction = "an entry goes on behind the end that the table of contents gives it"
    return counted


def _measure_small(file: BinaryIO, member: Member, begins: int, surveyor: Surveyor) -> int | None:
    """Measure a small entry that holds no archive at once; None for any other. Most entries are small."""
    if member.packed > READ_SIZE:
        return None
    file.seek(begins)
    inner = raw_deflate()
    try:
        content = inner.decompress(file.read(member.packed), OUTPUT_SIZE)
    except ValueError:
        return None
    if not inner.eof or not archive_types.is_certainly_no_archive(content):
        return None
    surveyor.meter.add(len(content), len(content))
    return len(content)


def _measure_packed(packed: BinaryIO, compression: Compression, surveyor: Surveyor) -> int:
    content, unpacked = unpack(packed, compression, surveyor.meter)
    surveyor.survey_nested(content)
    content.seek(0, 2)
    return unpacked.counted


def _contradiction(member: Member, header: LocalHeader) -> str:
    """Describe how an entry's own header contradicts the directory. It may leave out sizes that follow the content."""
    if header.method != member.method:
        return "an entry is packed by one method by its own header, and by another by the table of contents"
    if (header.flags ^ member.flags) & zip_directory.ENCRYPTED:
        return "an entry is locked by its own header or by the table of contents, and not by both"
    for own, listed in ((header.packed, member.packed), (header.unpacked, member.unpacked)):
        if own not in (0, _FULL, listed):
            return "an entry has one size by its own header, and another by the table of contents"
    return ""


def _measure_gap(file: BinaryIO, begins: int, ends: int, found: Survey, surveyor: Surveyor) -> None:
    """Measure entries in a gap that the directory does not list: programs that read local headers see them."""
    if begins >= ends:
        return
    file.seek(begins)
    gap = file.read(min(28, ends - begins))
    if any(gap[skipped : skipped + 4] == b"PK\x03\x04" for skipped in _DESCRIPTORS):
        _measure_unlisted(file, begins, ends, found, surveyor)


def _measure_unlisted(file: BinaryIO, begins: int, ends: int, found: Survey, surveyor: Surveyor) -> None:
    """Measure what can be unpacked in a range by the entries' own headers alone."""
    for member in zip_directory.members_by_local_headers(file, begins, ends):
        header = zip_directory.local_header(file, member)
        compression = ZIP_METHODS.get(header.method)
        try:
            if header.method == STORED:
                found.unpacked += _measure_member(file, member, header, ends, found, surveyor)
            elif compression is not None and not member.is_encrypted:
                found.unpacked += _measure_packed(
                    file_part(file, header.data, ends - header.data), compression, surveyor
                )
        except Unreadable:
            continue  # what was unpacked before the damage has been counted
