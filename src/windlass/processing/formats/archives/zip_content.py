"""The unpacked content of an entry of a zip file, for types and documents; ``zip_survey`` measures entries instead."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import zip_directory
from windlass.processing.formats.archives.decompressors import (
    OUTPUT_SIZE,
    ZIP_METHODS,
    NotMeasured,
    decompressed_blocks,
)
from windlass.processing.formats.archives.unpacking import FilePart
from windlass.processing.formats.archives.zip_directory import DEFLATED, STORED, BadZip, Member


def content_blocks(file: BinaryIO, member: Member, methods: Collection[int]) -> Iterator[bytes]:
    """Yield an entry's unpacked content.

    Raises BadZip where it is damaged, encrypted, of a wrong checksum, or packed by a method not among ``methods``.
    """
    if member.is_encrypted or member.method not in methods:
        raise BadZip("An entry is locked, or packed by a method that is not read here.")
    packed = FilePart(file, zip_directory.local_header(file, member).data, member.packed)
    blocks = decompressed_blocks(packed, ZIP_METHODS[member.method]) if member.method != STORED else _stored(packed)
    crc = 0
    try:
        for block in blocks:
            crc = zlib.crc32(block, crc)
            yield block
    except (Unreadable, NotMeasured) as error:
        raise BadZip("The content of an entry is damaged.") from error
    if crc != member.crc:
        raise BadZip("The checksum of an entry is wrong.")


def read_start(file: BinaryIO, member: Member, most: int) -> bytes:
    """Return the first ``most`` bytes of a stored or deflated entry, as far as they can be read."""
    pieces, left = list[bytes](), most
    blocks = content_blocks(file, member, (STORED, DEFLATED))
    with suppress(BadZip):
        while left > 0 and (block := next(blocks, b"")):
            pieces.append(block[:left])
            left -= len(block)
    return b"".join(pieces)


def _stored(packed: BinaryIO) -> Iterator[bytes]:
    while block := packed.read(OUTPUT_SIZE):
        yield block
