"""Inspection of a Microsoft cabinet: the larger of the sizes of its files and of the blocks of its folders, as claimed.

After [MS-CAB] 2.2 to 2.6.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives.inspection import MOST_ENTRIES, Entry, Inspection, Inspector

_HEADER = struct.Struct("<4sIIIIIBBHHHHH")
_FOLDER, _FILE, _DATA = struct.Struct("<IHH"), struct.Struct("<IIHHHH"), struct.Struct("<IHH")
_PREVIOUS, _NEXT, _RESERVE = 1, 2, 4
_LONGEST_NAME = 256


def inspect(file: BinaryIO, inspection: Inspection, inspector: Inspector) -> None:
    """Fill in the inspection. Raises Unreadable."""
    del inspector  # MSZIP, Quantum and LZX are not decompressed
    head = _read_exactly(file, 0, _HEADER.size)
    _, _, _, _, files_at, _, _, _, folders, files, flags, _, _ = _HEADER.unpack(head)
    offset, folder_reserve, data_reserve = _HEADER.size, 0, 0
    if flags & _RESERVE:
        cabinet_reserve, folder_reserve, data_reserve = struct.unpack("<HBB", _read_exactly(file, offset, 4))
        offset += 4 + cabinet_reserve
    for _ in range(2 * bool(flags & _PREVIOUS) + 2 * bool(flags & _NEXT)):
        offset += len(_text(file, offset)) + 1
    declared = 0
    for number in range(folders):
        data_at, blocks, _ = _FOLDER.unpack(_read_exactly(file, offset + number * (_FOLDER.size + folder_reserve), 8))
        declared += _folder_size(file, data_at, blocks, data_reserve)
    _add_files(file, files_at, min(files, MOST_ENTRIES), inspection)
    inspection.unpacked = max(inspection.unpacked, declared)


def _folder_size(file: BinaryIO, offset: int, blocks: int, reserve: int) -> int:
    size = 0
    for _ in range(blocks):
        _, packed, unpacked = _DATA.unpack(_read_exactly(file, offset, _DATA.size))
        offset += _DATA.size + reserve + packed
        size += unpacked
    return size


def _add_files(file: BinaryIO, offset: int, count: int, inspection: Inspection) -> None:
    for _ in range(count):
        size = _FILE.unpack(_read_exactly(file, offset, _FILE.size))[0]
        name = _text(file, offset + _FILE.size)
        offset += _FILE.size + len(name) + 1
        if not inspection.add(Entry(name.decode("utf-8", "replace"), size)):
            return


def _read_exactly(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    data = file.read(size)
    if len(data) < size:
        raise Unreadable("The cabinet is damaged: it ends too early.")
    return data


def _text(file: BinaryIO, offset: int) -> bytes:
    file.seek(offset)
    text, end, _ = file.read(_LONGEST_NAME + 1).partition(b"\0")
    if not end:
        raise Unreadable("The cabinet is damaged: one of its names does not end.")
    return text
