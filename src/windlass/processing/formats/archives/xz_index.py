"""What the streams of an xz file say that they unpack to, read from the end: each ends with an index of its blocks.

After "The .xz File Format" 1.2, sections 2.1.2 and 4. It is a claim, and cheap: a large one need not be counted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

_HEADER = _FOOTER = 12
_LARGEST_INDEX = 1024 * 1024


def declared_size(file: BinaryIO, most: int) -> int:
    """The sum over the streams, from the last on, until it is more than ``most`` or one cannot be read."""
    total, end = 0, file.seek(0, 2)
    while total <= most and (found := _stream(file, end)):
        end, size = found
        total += size
    return total


def _stream(file: BinaryIO, end: int) -> tuple[int, int] | None:
    """Where the stream before ``end`` begins and what it unpacks to; None where there is none."""
    while end >= _HEADER + _FOOTER:
        file.seek(end - _FOOTER)
        footer = file.read(_FOOTER)
        if footer.endswith(b"YZ"):
            break
        if footer[8:] != bytes(4):  # padding between streams
            return None
        end -= 4
    else:
        return None
    index_size = 4 * (struct.unpack_from("<I", footer, 4)[0] + 1)
    index_at = end - _FOOTER - index_size
    if index_size > _LARGEST_INDEX or index_at < _HEADER:
        return None
    file.seek(index_at)
    numbers = list(_numbers(file.read(index_size - 4)[1:]))
    count, records = numbers[0] if numbers else 0, numbers[1:]
    packed, unpacked = records[: 2 * count : 2], records[1 : 2 * count : 2]
    begins = index_at - sum(-(-size // 4) * 4 for size in packed) - _HEADER
    return (begins, sum(unpacked)) if begins >= 0 else None


def _numbers(data: bytes) -> Iterator[int]:
    """Seven bits a byte, the lowest first."""
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            yield value
            value = shift = 0
