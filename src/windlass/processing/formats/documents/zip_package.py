"""Reads members of a document that is a zip file, bounded in directory size, unpacked bytes, ratio and time."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import zip_directory
from windlass.processing.formats.archives.decompressors import ZIP_METHODS, NotMeasured, decompressed_blocks
from windlass.processing.formats.archives.unpacking import FilePart
from windlass.processing.formats.archives.zip_directory import DEFLATED, STORED, BadZip, Member
from windlass.processing.formats.read_limits import MB, Deadline, blocks

#: Bytes unpacked from one file, in all.
MOST_UNPACKED = 128 * MB
#: A member that unpacks to more than ``_RATIO_FROM`` bytes must not exceed this ratio; XML seldom reaches a tenth.
_RATIO_FROM, _LARGEST_RATIO = 16 * MB, 400
#: Bytes of a document's directory; large documents have some thousand parts.
_LARGEST_DIRECTORY = 4 * MB
#: Methods that office programs read: stored, Deflate, bzip2, LZMA.
_METHODS = (0, 8, 12, 14)


def content_blocks(file: BinaryIO, member: Member, methods: Collection[int]) -> Iterator[bytes]:
    """Yield an entry's unpacked content.

    Raises BadZip where it is damaged, encrypted, of a wrong checksum, or packed by a method not among ``methods``.
    """
    if member.is_encrypted or member.method not in methods:
        raise BadZip("An entry is locked, or packed by a method that is not read here.")
    packed = FilePart(file, zip_directory.local_header(file, member).data, member.packed)
    is_stored, crc = member.method == STORED, 0
    try:
        for block in (
            blocks(packed, member.packed) if is_stored else decompressed_blocks(packed, ZIP_METHODS[member.method])
        ):
            crc = zlib.crc32(block, crc)
            yield block
    except (Unreadable, NotMeasured) as error:
        raise BadZip("The content of an entry is damaged.") from error
    if crc != member.crc:
        raise BadZip("The checksum of an entry is wrong.")


def read_start(file: BinaryIO, member: Member, most: int) -> bytes:
    """Return the first ``most`` bytes of a stored or deflated entry, as far as they can be read."""
    pieces, left = list[bytes](), most
    content = content_blocks(file, member, (STORED, DEFLATED))
    with suppress(BadZip):
        while left > 0 and (block := next(content, b"")):
            pieces.append(block[:left])
            left -= len(block)
    return b"".join(pieces)


class ZipPackage:
    """A document that is a zip file. Every method raises Unreadable.

    ``damaged`` is set by readers that skipped a part that is not well-formed; ``cut`` where a limit ended reading.
    """

    def __init__(self, file: BinaryIO) -> None:
        directory = next(iter(zip_directory.directories(file)), None)
        if directory is None:
            raise Unreadable("The document has no table of contents: its end is missing.")
        if directory.end - directory.start > _LARGEST_DIRECTORY:
            raise Unreadable(
                f"The document has too many parts: more than {_LARGEST_DIRECTORY // MB} MiB of their names."
            )
        self._file = file
        try:
            self._members = {member.name: member for member in zip_directory.members(file, directory)}
        except BadZip as error:
            raise _damaged() from error
        self.names = frozenset(self._members)
        self.damaged = self.cut = False
        self._left, self._deadline = MOST_UNPACKED, Deadline()

    def blocks(self, name: str, most: int = MOST_UNPACKED) -> Iterator[bytes]:
        """Yield the member's bytes; nothing for a member that is not there. Ends at a limit, and sets ``cut``."""
        member = self._members.get(name)
        if member is None:
            return
        size = 0
        try:
            for block in content_blocks(self._file, member, _METHODS):
                size += len(block)
                self._left -= len(block)
                if size > _RATIO_FROM and size > _LARGEST_RATIO * max(member.packed, 1):
                    raise Unreadable(f"A part of {member.packed} bytes unpacks to {size} bytes and more.")
                if size > most or self._left < 0 or self._deadline.has_passed():
                    self.cut = True
                    return
                yield block
        except BadZip as error:
            raise _damaged() from error

    def read(self, name: str, most: int = 4 * MB) -> bytes:
        """Return a small member whole; bytes past ``most`` are left out, and ``cut`` is set."""
        return b"".join(self.blocks(name, most))


def _damaged() -> Unreadable:
    return Unreadable("The document cannot be unpacked: it is damaged, or a part of it is locked.")
