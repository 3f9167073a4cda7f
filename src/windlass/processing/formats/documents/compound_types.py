"""What a compound file of Microsoft (OLE storage) is, by its root entry ([MS-CFB] 2.2, 2.6).

The class of the root entry and the names of the streams directly below it decide; what lies deeper belongs to embedded
documents. Names are compared without their case.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO
from uuid import UUID

SIGNATURE = bytes.fromhex("d0cf11e0a1b11ae1")

#: Sectors of the directory that are looked at, and sectors of the allocation table's list beyond the header's.
MOST_SECTORS = 2048
_ENTRY, _STORAGE = 128, 1
_END_OF_CHAIN = 0xFFFFFFFE

#: A locked document of Office 2007 and later: what it is inside cannot be seen.
ENCRYPTED = "encryptedpackage"

_TELLING = {
    "worddocument": "application/msword",
    "workbook": "application/vnd.ms-excel",
    "book": "application/vnd.ms-excel",
    "powerpoint document": "application/vnd.ms-powerpoint",
    "pp40": "application/vnd.ms-powerpoint",
    "pp97_dualstorage": "application/vnd.ms-powerpoint",
    "visiodocument": "application/vnd.visio",
    "quill": "application/vnd.ms-publisher",
    "__properties_version1.0": "application/vnd.ms-outlook",
    "props14": "application/vnd.ms-project",
    "props12": "application/vnd.ms-project",
    "props9": "application/vnd.ms-project",
    "fileheader": "application/x-hwp",
    "hwpsummaryinformation": "application/x-hwp",
    "matost": "application/vnd.ms-works",
}

#: Classes of programs that name their streams otherwise, or like others ([MS-CFB] 2.6.1, "CLSID").
_CLASSES = {
    UUID("000c1084-0000-0000-c000-000000000046"): "application/x-msi",
    UUID("000c1086-0000-0000-c000-000000000046"): "application/x-msi",  # a patch
    UUID("000c1082-0000-0000-c000-000000000046"): "application/x-msi",  # a transform
    UUID("00021201-0000-0000-00c0-000000000046"): "application/vnd.ms-publisher",
    UUID("0006f046-0000-0000-c000-000000000046"): "application/vnd.ms-outlook",  # a template
    UUID("00020d0b-0000-0000-c000-000000000046"): "application/vnd.ms-outlook",
    UUID("74b78f3a-c8c8-11d1-be11-00c04fb6faf1"): "application/vnd.ms-project",
    UUID("00021a14-0000-0000-c000-000000000046"): "application/vnd.visio",
    UUID("00021a13-0000-0000-c000-000000000046"): "application/vnd.visio",
    UUID("00020906-0000-0000-c000-000000000046"): "application/msword",
    UUID("00020900-0000-0000-c000-000000000046"): "application/msword",
    UUID("00020820-0000-0000-c000-000000000046"): "application/vnd.ms-excel",
    UUID("00020810-0000-0000-c000-000000000046"): "application/vnd.ms-excel",
    UUID("64818d10-4f9b-11cf-86ea-00aa00b929e8"): "application/vnd.ms-powerpoint",
    UUID("56616700-c154-11ce-8553-00aa00a1f95b"): "image/vnd.fpx",
}


@dataclass(frozen=True, slots=True)
class Root:
    """The root entry: its class, and the names in lower case of what lies directly below it."""

    class_id: UUID
    names: frozenset[str]

    @property
    def is_locked(self) -> bool:
        return ENCRYPTED in self.names


def root(file: BinaryIO) -> Root | None:
    """None for what is damaged."""
    file.seek(0)
    head = file.read(512)
    if len(head) < 512 or not head.startswith(SIGNATURE):
        return None
    (shift,) = struct.unpack_from("<H", head, 30)
    if shift not in (9, 12):
        return None
    entries = b"".join(_chain(file, head, 1 << shift))
    if len(entries) < _ENTRY:
        return None
    names = frozenset(_name(entries, number).lower() for number in _top_level(entries))
    return Root(UUID(bytes_le=entries[80:96]), names - {""})


def kind(found: Root | None) -> str:
    """The name of a stream outweighs the class: some programs leave the class of another's file in theirs."""
    if found is None:
        return "application/x-ole-storage"
    told = next((kind for name, kind in _TELLING.items() if name in found.names), None)
    return told or _CLASSES.get(found.class_id, "application/x-ole-storage")


def _chain(file: BinaryIO, head: bytes, size: int) -> Iterator[bytes]:
    """The directory's sectors, in their order."""
    (sector,) = struct.unpack_from("<I", head, 48)
    tables = _Tables(file, head, size)
    for _ in range(MOST_SECTORS):
        if sector >= _END_OF_CHAIN:
            return
        file.seek((sector + 1) * size)
        yield file.read(size)
        following = tables.after(sector)
        if following is None:
            return
        sector = following


class _Tables:
    """The allocation table: its sectors' numbers stand in the header, and beyond 109 in sectors of their own."""

    def __init__(self, file: BinaryIO, head: bytes, size: int) -> None:
        self._file, self._size = file, size
        self._places = list(struct.unpack_from("<109I", head, 76))
        (self._more,) = struct.unpack_from("<I", head, 68)

    def after(self, sector: int) -> int | None:
        number, place = divmod(sector, self._size // 4)
        while number >= len(self._places):
            if not self._extend():
                return None
        self._file.seek((self._places[number] + 1) * self._size + 4 * place)
        found = self._file.read(4)
        return int.from_bytes(found, "little") if len(found) == 4 else None

    def _extend(self) -> bool:
        if self._more >= _END_OF_CHAIN or len(self._places) > MOST_SECTORS * self._size // 4:
            return False
        self._file.seek((self._more + 1) * self._size)
        found = self._file.read(self._size)
        if len(found) < self._size:
            return False
        *places, self._more = struct.unpack(f"<{self._size // 4}I", found)
        self._places += places
        return True


def _top_level(entries: bytes) -> Iterator[int]:
    """Numbers of the entries that lie in no storage below the root."""
    embedded: set[int] = set()
    kinds = entries[66::_ENTRY]
    for number, kind in enumerate(kinds):
        if number and kind == _STORAGE:
            _add_tree(entries, _links(entries, number)[2], embedded)
    yield from (number for number, kind in enumerate(kinds) if number and kind and number not in embedded)


def _add_tree(entries: bytes, top: int, found: set[int]) -> None:
    """The entries of a storage are a binary tree of links to the left and to the right."""
    waiting = [top]
    while waiting:
        number = waiting.pop()
        if number not in found and (number + 1) * _ENTRY <= len(entries):
            found.add(number)
            waiting += _links(entries, number)[:2]


def _links(entries: bytes, number: int) -> tuple[int, int, int]:
    """Left, right, and the top of its own tree."""
    left, right, child = struct.unpack_from("<3I", entries, number * _ENTRY + 68)
    return left, right, child


def _name(entries: bytes, number: int) -> str:
    place = number * _ENTRY
    (length,) = struct.unpack_from("<H", entries, place + 64)
    return entries[place : place + max(0, min(length, 64) - 2)].decode("utf-16-le", "replace")
