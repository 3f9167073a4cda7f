"""Inspection of archives that are headers, each followed by its uncompressed content: cpio, ar (and deb), rpm."""

from __future__ import annotations

import struct
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives.entry_paths import LONGEST_TARGET
from windlass.processing.formats.archives.inspection import Entry, Inspection, Inspector
from windlass.processing.formats.archives.unpacking import FilePart
from windlass.processing.formats.read_limits import round_up

_LONGEST_NAME = 64 * 1024
_SYMLINK, _DEVICES, _FOLDER, _KIND = 0o120000, (0o020000, 0o060000, 0o010000), 0o040000, 0o170000
_RPM_LEAD, _RPM_HEADER = 96, b"\x8e\xad\xe8"


def inspect_cpio(file: BinaryIO, inspection: Inspection, inspector: Inspector) -> None:
    """Fill in the inspection of a cpio archive: newc, crc, odc, and the old binary format in both byte orders.

    Raises Unreadable.
    """
    offset = 0
    while True:
        file.seek(offset)
        head, mode, name_length, size, padding = _cpio_header(file)
        name = file.read(min(name_length, _LONGEST_NAME)).rstrip(b"\0").decode("utf-8", "replace")
        start = offset + round_up(head + name_length, padding)
        if name == "TRAILER!!!":
            return
        kind = mode & _KIND
        link, device = kind == _SYMLINK, kind in _DEVICES
        target = _link_target(file, start, size) if link else None
        entry = Entry(name, size, is_directory=kind == _FOLDER, is_link=link, target=target, is_device=device)
        if not inspection.add(entry):
            return
        if size:
            inspector.inspect_nested(FilePart(file, start, size))
        offset = start + round_up(size, padding)


def _link_target(file: BinaryIO, start: int, size: int) -> str | None:
    """Return the path that a symbolic link points to, which is its content; None if that is no path."""
    file.seek(start)
    return file.read(size).decode("utf-8", "replace") if size <= LONGEST_TARGET else None


def _cpio_header(file: BinaryIO) -> tuple[int, int, int, int, int]:
    """Return the header's size, mode, length of the name, size of the content, and the unit that each is padded to."""
    head = file.read(110)
    try:
        if head.startswith((b"070701", b"070702")) and len(head) == 110:
            return 110, int(head[14:22], 16), int(head[94:102], 16), int(head[54:62], 16), 4
        file.seek(76 - len(head), 1)
        if head.startswith(b"070707") and len(head) >= 76:
            return 76, int(head[18:24], 8), int(head[59:65], 8), int(head[65:76], 8), 1
    except ValueError as error:
        raise Unreadable("The archive is damaged: one of its headers is wrong.") from error
    file.seek(26 - 76, 1)
    order = {b"\xc7\x71": "<", b"\x71\xc7": ">"}.get(head[:2])
    if order is None or len(head) < 26:
        raise Unreadable("The archive is damaged: one of its headers is wrong or missing.")
    fields = struct.unpack_from(f"{order}13H", head)
    return 26, fields[3], fields[10], fields[11] << 16 | fields[12], 2


def inspect_ar(file: BinaryIO, inspection: Inspection, inspector: Inspector) -> None:
    """Fill in the inspection of an ar archive, with the long names of BSD. Raises Unreadable."""
    offset = 8
    while True:
        file.seek(offset)
        head = file.read(60)
        if not head.strip(b"\n\0"):
            return
        digits = head[48:58].strip()
        if len(head) < 60 or head[58:60] != b"`\n" or not digits.isdigit():
            raise Unreadable("The archive is damaged: one of its headers is wrong.")
        start, size, name = offset + 60, int(digits), head[:16].rstrip().rstrip(b"/").decode("utf-8", "replace")
        offset = start + size + size % 2
        if name.startswith("#1/") and name[3:].isdigit():
            length = min(int(name[3:]), size)
            name = file.read(min(length, _LONGEST_NAME)).rstrip(b"\0").decode("utf-8", "replace")
            start, size = start + length, size - length
        if not inspection.add(Entry(name, size)):
            return
        if size:
            inspector.inspect_nested(FilePart(file, start, size))


def inspect_rpm(file: BinaryIO, inspection: Inspection, inspector: Inspector) -> None:
    """Fill in the inspection of an rpm package, whose one content is a compressed archive. Raises Unreadable."""
    size, offset = file.seek(0, 2), _RPM_LEAD
    for is_signature in (True, False):
        file.seek(offset)
        head = file.read(16)
        if len(head) < 16 or not head.startswith(_RPM_HEADER):
            raise Unreadable("The package is damaged: one of its headers is wrong.")
        indexes, data = struct.unpack_from(">2I", head, 8)
        offset += 16 + 16 * indexes + data
        offset = round_up(offset, 8) if is_signature else offset
    if offset >= size:
        raise Unreadable("The package is damaged: it ends before its content.")
    inspection.listed = False
    inspection.unpacked = size - offset
    inspector.inspect_nested(FilePart(file, offset, size - offset))
