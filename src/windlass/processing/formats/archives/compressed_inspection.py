"""Inspection of a file that is compressed as a whole, such as ``.gz`` and ``.xz``; a tar in it is listed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from windlass.processing.formats.archives import archive_types, tar_inspection
from windlass.processing.formats.archives.decompressors import COMPRESSIONS
from windlass.processing.formats.archives.inspection import Inspection, Inspector
from windlass.processing.formats.archives.unpacking import UnpackedFile
from windlass.processing.formats.read_limits import round_up

_XZ_HEADER = _XZ_FOOTER = 12
_LARGEST_XZ_INDEX = 1024 * 1024


def inspect(kind: str, file: BinaryIO, inspection: Inspection, inspector: Inspector) -> None:
    """Fill in the inspection. Raises Unreadable, LimitPassed, NotMeasured."""
    inspection.listed = False
    if kind == archive_types.XZ and not inspector.depth:
        inspection.unpacked = _declared_xz_size(file, inspector.meter.limit)
        if inspection.unpacked > inspector.meter.limit:
            return
    content = UnpackedFile(file, COMPRESSIONS[kind], inspector.meter)
    inspection.sizes, inspection.unpacked = "counted", 0
    try:
        if archive_types.is_tar(content.read(512)):
            content.seek(0)
            inspection.listed = True
            tar_inspection.inspect(content, inspection, inspector)
        elif inspector.meter.measures:
            inspector.inspect_nested(content)
        content.seek(0, 2)
    finally:
        inspection.unpacked = max(inspection.unpacked, content.counted)
        inspection.has_trailing = content.has_trailing
        inspection.largest = max(inspection.largest, 0 if inspection.listed else content.counted)


def _declared_xz_size(file: BinaryIO, limit: int) -> int:
    """Return what the indexes of an xz file claim that its streams unpack to: cheap, so a large claim need not be
    counted. Reads from the last stream on, until the sum is above ``limit`` or an index cannot be read.

    After "The .xz File Format" 1.2, sections 2.1.2 and 4.
    """
    total, end = 0, file.seek(0, 2)
    while total <= limit and (stream := _xz_stream(file, end)):
        end, size = stream
        total += size
    return total


def _xz_stream(file: BinaryIO, end: int) -> tuple[int, int] | None:
    """Where the stream that ends at ``end`` begins, and what it unpacks to; None where there is none."""
    while end >= _XZ_HEADER + _XZ_FOOTER:
        file.seek(end - _XZ_FOOTER)
        footer = file.read(_XZ_FOOTER)
        if footer.endswith(b"YZ"):
            break
        if footer[8:] != bytes(4):  # padding between streams
            return None
        end -= 4
    else:
        return None
    index_size = 4 * (struct.unpack_from("<I", footer, 4)[0] + 1)
    index_start = end - _XZ_FOOTER - index_size
    if index_size > _LARGEST_XZ_INDEX or index_start < _XZ_HEADER:
        return None
    file.seek(index_start)
    numbers = list(_xz_numbers(file.read(index_size - 4)[1:]))
    count, records = numbers[0] if numbers else 0, numbers[1:]
    packed, unpacked = records[: 2 * count : 2], records[1 : 2 * count : 2]
    start = index_start - sum(round_up(size, 4) for size in packed) - _XZ_HEADER
    return (start, sum(unpacked)) if start >= 0 else None


def _xz_numbers(data: bytes) -> Iterator[int]:
    """Seven bits a byte, the lowest first."""
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            yield value
            value = shift = 0
