"""What a compound file of Microsoft (OLE storage) is, by the names in its directory ([MS-CFB] 2.2, 2.6)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

SIGNATURE = bytes.fromhex("d0cf11e0a1b11ae1")

#: Sectors of the directory that are looked at: the telling names are near the root.
MOST_SECTORS = 32

#: A locked document of Office 2007 and later: what it is inside cannot be seen.
ENCRYPTED = "EncryptedPackage"

_TELLING = {
    "WordDocument": "application/msword",
    "Workbook": "application/vnd.ms-excel",
    "Book": "application/vnd.ms-excel",
    "PowerPoint Document": "application/vnd.ms-powerpoint",
    "VisioDocument": "application/vnd.visio",
    "__properties_version1.0": "application/vnd.ms-outlook",
}


def names(file: BinaryIO) -> set[str]:
    """The first names of the directory; none for what is damaged."""
    file.seek(0)
    head = file.read(512)
    if len(head) < 512 or not head.startswith(SIGNATURE):
        return set()
    (shift,) = struct.unpack_from("<H", head, 30)
    if shift not in (9, 12):
        return set()
    return {name for sector in _chain(file, head, 1 << shift) for name in _names(sector) if name}


def kind(found: set[str]) -> str:
    return next((kind for name, kind in _TELLING.items() if name in found), "application/x-ole-storage")


def _chain(file: BinaryIO, head: bytes, size: int) -> Iterator[bytes]:
    """The directory's sectors, as far as the allocation table's first sectors tell them."""
    (sector,) = struct.unpack_from("<I", head, 48)
    tables = struct.unpack_from("<109I", head, 76)
    per_table = size // 4
    for _ in range(MOST_SECTORS):
        if sector // per_table >= len(tables):
            return
        file.seek((sector + 1) * size)
        yield file.read(size)
        file.seek((tables[sector // per_table] + 1) * size + 4 * (sector % per_table))
        following = file.read(4)
        if len(following) < 4:
            return
        (sector,) = struct.unpack("<I", following)


def _names(sector: bytes) -> Iterator[str]:
    for place in range(0, len(sector) - 127, 128):
        (length,) = struct.unpack_from("<H", sector, place + 64)
        yield sector[place : place + max(0, min(length, 64) - 2)].decode("utf-16-le", "replace")
