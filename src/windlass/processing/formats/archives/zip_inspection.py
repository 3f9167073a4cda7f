"""Inspection of a zip file: each entry as its directory describes it, and what it really unpacks to.

Programs differ in which directory they read, and some read the entries' own headers only: the larger claim counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import archive_types, zip_directory
from windlass.processing.formats.archives.decompressors import OUTPUT_SIZE, READ_SIZE, ZIP_METHODS, raw_deflate
from windlass.processing.formats.archives.entry_paths import LONGEST_TARGET
from windlass.processing.formats.archives.inspection import SHORTEST, Entry, Inspection, Inspector
from windlass.processing.formats.archives.unpacking import FilePart, UnpackedFile
from windlass.processing.formats.archives.zip_directory import DEFLATED, STORED, BadZip, Directory, LocalHeader, Member

_FULL = 0xFFFFFFFF
#: Bytes that may stand between an entry's data and the next header: its data descriptor, in its four forms.
_DESCRIPTORS = (0, 12, 16, 20, 24)


def inspect(file: BinaryIO, inspection: Inspection, inspector: Inspector) -> None:
    """Fill in the inspection. Raises BadZip, LimitPassed, NotMeasured."""
    directories = zip_directory.directories(file)
    if not directories:
        if zip_directory.is_encrypted(file):
            inspection.mark_locked()
            return
        if inspector.meter.measures:
            _Zip(file, inspection, inspector).measure_unlisted(0, file.seek(0, 2))
        raise BadZip("The archive is damaged: its table of contents is missing or broken.")
    _Zip(file, inspection, inspector).inspect(directories[0])
    for directory in directories[1:]:
        other = Inspection(inspection.packed)
        _Zip(file, other, inspector).inspect(directory)
        inspection.contradiction = "readers of such files find more than one table of contents in it"
        inspection.entries = max(inspection.entries, other.entries)
        inspection.unpacked = max(inspection.unpacked, other.unpacked)


@dataclass(slots=True)
class _Zip:
    """A zip file as one of its directories describes it."""

    file: BinaryIO
    inspection: Inspection
    inspector: Inspector

    def inspect(self, directory: Directory) -> None:
        inspection, members = self.inspection, list[Member]()
        for member in zip_directory.members(self.file, directory):
            target = self._link_target(member) if member.is_link else None
            entry = Entry(
                member.name,
                member.unpacked,
                member.is_encrypted,
                member.is_directory,
                is_link=member.is_link,
                target=target,
            )
            if not inspection.add(entry):
                inspection.entries = max(inspection.entries, directory.claimed)
                break
            members.append(member)
        else:
            inspection.contradiction = zip_directory.contradiction(directory, inspection.entries)
        members.sort(key=lambda member: member.offset)
        inspection.overlapping = _count_overlapping(members, directory.start)
        meter, is_nested = self.inspector.meter, self.inspector.depth > 0
        if meter.measures and (is_nested or inspection.unpacked <= meter.limit):
            inspection.sizes = "declared" if inspection.encrypted else "counted"
            self._measure_members(members, directory)

    def _link_target(self, member: Member) -> str | None:
        """Return the path that a symbolic link points to, which is its content; None if it cannot be read."""
        if member.is_encrypted or member.packed > LONGEST_TARGET:
            return None
        try:
            header = zip_directory.local_header(self.file, member)
            self.file.seek(header.data)
            content = self.file.read(member.packed)
            if header.method == DEFLATED:
                inner = raw_deflate()
                content = inner.decompress(content, LONGEST_TARGET)
                if not inner.eof:
                    return None
        except (BadZip, ValueError):
            return None
        return content.decode("utf-8", "replace") if header.method in (STORED, DEFLATED) else None

    def _measure_members(self, members: list[Member], directory: Directory) -> None:
        """Unpack each entry in the order of the file, and those between that the directory leaves out."""
        inspection = self.inspection
        reached = members[0].offset if members else directory.start
        for start in dict.fromkeys((0, directory.zip_start)):
            self._measure_gap(start, reached)
        for member in members:
            self._measure_gap(reached, member.offset)
            try:
                header = zip_directory.local_header(self.file, member)
                inspection.contradiction = inspection.contradiction or _contradiction(member, header)
                counted = self._measure_member(member, header, directory.start)
                inspection.unpacked += max(counted - member.unpacked, 0)
                inspection.largest = max(inspection.largest, counted)
                reached = max(reached, header.data + member.packed)
            except Unreadable as error:
                inspection.damaged = inspection.damaged or str(error)
        self._measure_gap(reached, directory.start)

    def _measure_member(self, member: Member, header: LocalHeader, end: int) -> int:
        """Return what an entry unpacks to; 0 for an encrypted one. Raises Unreadable, LimitPassed, NotMeasured.

        ``end``: offset at which the entries end.
        """
        if member.is_encrypted and header.flags & zip_directory.ENCRYPTED:
            return 0
        if header.method == STORED or (not member.packed and header.method not in ZIP_METHODS):
            self.inspector.meter.add(0, member.packed)
            if member.packed >= SHORTEST:
                self.inspector.inspect_nested(FilePart(self.file, header.data, member.packed))
            return member.packed
        if header.method not in ZIP_METHODS:
            self.inspection.unmeasured = (
                f"some of it is packed by a method that is not read here (number {header.method})"
            )
            return 0
        try:
            if not member.packed:
                raise Unreadable("The entry is empty.")
            counted = self._measure_small(member, header.data) if header.method == DEFLATED else None
            return self._measure_packed(header, header.data + member.packed) if counted is None else counted
        except Unreadable:
            return self._measure_past_end(member, header, end)

    def _measure_past_end(self, member: Member, header: LocalHeader, end: int) -> int:
        """Measure an entry past the end that the directory gives it, as programs do that find the end by unpacking."""
        try:
            counted = self._measure_packed(header, end)
        except Unreadable:
            if not member.packed:
                return 0
            raise
        if counted:
            self.inspection.contradiction = "an entry goes on behind the end that the table of contents gives it"
        return counted

    def _measure_small(self, member: Member, start: int) -> int | None:
        """Measure a small entry that holds no archive at once; None for any other. Most entries are small."""
        if member.packed > READ_SIZE:
            return None
        self.file.seek(start)
        inner = raw_deflate()
        try:
            content = inner.decompress(self.file.read(member.packed), OUTPUT_SIZE)
        except ValueError:
            return None
        if not inner.eof or not archive_types.is_certainly_no_archive(content):
            return None
        self.inspector.meter.add(len(content), len(content))
        return len(content)

    def _measure_packed(self, header: LocalHeader, end: int) -> int:
        packed = FilePart(self.file, header.data, end - header.data)
        content = UnpackedFile(packed, ZIP_METHODS[header.method], self.inspector.meter)
        self.inspector.inspect_nested(content)
        content.seek(0, 2)
        return content.counted

    def _measure_gap(self, start: int, end: int) -> None:
        """Measure entries in a gap that the directory does not list: programs that read local headers see them."""
        if start >= end:
            return
        self.file.seek(start)
        gap = self.file.read(min(28, end - start))
        if any(gap[skipped : skipped + 4] == b"PK\x03\x04" for skipped in _DESCRIPTORS):
            self.measure_unlisted(start, end)

    def measure_unlisted(self, start: int, end: int) -> None:
        """Measure what can be unpacked in a range by the entries' own headers alone."""
        for member in zip_directory.members_by_local_headers(self.file, start, end):
            header = zip_directory.local_header(self.file, member)
            try:
                if header.method == STORED:
                    self.inspection.unpacked += self._measure_member(member, header, end)
                elif header.method in ZIP_METHODS and not member.is_encrypted:
                    self.inspection.unpacked += self._measure_packed(header, end)
            except Unreadable:
                continue  # what was unpacked before the damage has been counted


def _count_overlapping(members: list[Member], directory_start: int) -> int:
    """Return how many entries begin inside another, or reach into the directory: bytes that unpack more than once."""
    count, reached = 0, 0
    for member in members:
        end = member.offset + zip_directory.LOCAL_HEADER_SIZE + member.name_length + member.packed
        count += member.offset < reached or end > directory_start
        reached = max(reached, end)
    return count


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
