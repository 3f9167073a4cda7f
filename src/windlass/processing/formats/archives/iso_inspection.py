"""Inspection of a disc image (ISO 9660, with the second directory tree of Joliet). After ECMA-119, 8.4 and 9.1."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives.inspection import Entry, Inspection, Inspector
from windlass.processing.formats.archives.unpacking import FilePart
from windlass.processing.formats.read_limits import MB

_SECTOR, _FIRST = 2048, 16
_LARGEST_DIRECTORY = 64 * MB
_IS_DIRECTORY = 2
_PRIMARY, _SUPPLEMENTARY, _LAST = 1, 2, 255


def inspect(file: BinaryIO, inspection: Inspection, inspector: Inspector) -> None:
    """Fill in the inspection from the tree with the larger claim; each content is read once. Raises Unreadable."""
    trees: list[Inspection] = []
    inspected: set[int] = set()
    for root, is_joliet in _roots(file):
        tree = Inspection(inspection.packed) if trees else inspection
        for name, start, size, is_directory in _walk(file, root, is_joliet=is_joliet):
            if not tree.add(Entry(name, 0 if is_directory else size, is_directory=is_directory)):
                break
            if size and not is_directory and start not in inspected:
                inspected.add(start)
                inspector.inspect_nested(FilePart(file, start, size))
        trees.append(tree)
    if not trees:
        raise Unreadable("The disc image is damaged: it has no directory.")
    inspection.entries, inspection.unpacked = max(each.entries for each in trees), max(each.unpacked for each in trees)


def _roots(file: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    for sector in range(_FIRST, _FIRST + 32):
        file.seek(sector * _SECTOR)
        descriptor = file.read(_SECTOR)
        if len(descriptor) < _SECTOR or descriptor[1:6] != b"CD001" or descriptor[0] == _LAST:
            return
        if descriptor[0] in (_PRIMARY, _SUPPLEMENTARY):
            yield descriptor[156:190], descriptor[0] == _SUPPLEMENTARY


def _walk(file: BinaryIO, root: bytes, *, is_joliet: bool) -> Iterator[tuple[str, int, int, bool]]:
    """Yield name, offset, size, and whether it is a directory, of each record. A directory is read once."""
    pending, seen = [_extent(root)], set()
    while pending:
        start, size = pending.pop()
        if start in seen:
            continue
        seen.add(start)
        for record in _records(file, start, size):
            name = record[33 : 33 + record[32]]
            if name in (b"\0", b"\1"):
                continue
            is_directory = bool(record[25] & _IS_DIRECTORY)
            if is_directory:
                pending.append(_extent(record))
            text = name.decode("utf-16-be" if is_joliet else "utf-8", "replace").partition(";")[0]
            yield text, *_extent(record), is_directory


def _records(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    file.seek(start)
    data, offset = file.read(min(size, _LARGEST_DIRECTORY)), 0
    if len(data) < min(size, _LARGEST_DIRECTORY):
        raise Unreadable("The disc image is damaged: a directory is missing.")
    while offset < len(data):
        length = data[offset]
        if length >= 34:
            yield data[offset : offset + length].ljust(34, b"\0")
            offset += length
        else:  # records do not cross sectors
            offset += _SECTOR - offset % _SECTOR


def _extent(record: bytes) -> tuple[int, int]:
    sector, size = struct.unpack_from("<I", record, 2)[0], struct.unpack_from("<I", record, 10)[0]
    return (sector + record[1]) * _SECTOR, size
