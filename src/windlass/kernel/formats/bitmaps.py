"""Sizes of Windows' own pictures, BMP and ICO, by their headers."""

from __future__ import annotations

import struct

#: A picture of this many bytes at least has its whole header.
HEAD = 6 + 16 * 256


def bmp(head: bytes) -> dict[str, int] | None:
    """None for what is none."""
    if len(head) < 30 or head[:2] != b"BM":
        return None
    (kind,) = struct.unpack_from("<I", head, 14)
    if kind == 12:  # OS/2
        width, height, _, bits = struct.unpack_from("<HHHH", head, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", head, 18)
    if -(2**31) in (width, height):  # it has no positive counterpart: nobody wrote that
        return None
    return {"width": abs(width), "height": abs(height), "bits": bits}


def ico(head: bytes) -> dict[str, int] | None:
    """The largest of its pictures; 0 in a byte stands for 256."""
    if len(head) < 22 or head[:4] not in (b"\0\0\1\0", b"\0\0\2\0"):
        return None
    (count,) = struct.unpack_from("<H", head, 4)
    held = range(6, min(len(head) - 15, 6 + 16 * count), 16)
    sides = [(head[place] or 256, head[place + 1] or 256) for place in held]
    if not sides:
        return None
    width, height = max(sides, key=lambda side: side[0] * side[1])
    return {"width": width, "height": height}
