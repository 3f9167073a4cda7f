"""What libvips does not report of pictures: sizes of BMP, ICO and CUR, TGA, PCX and the portable maps by their headers;
animation and high dynamic range by the chunks of PNG (third edition)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

#: A picture of this many bytes at least has its whole header.
HEAD = 6 + 16 * 256

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS = 200_000


def bmp(head: bytes) -> dict[str, int] | None:
    """Return the size of a BMP file; None for any other."""
    if len(head) < 30 or head[:2] != b"BM":
        return None
    (kind,) = struct.unpack_from("<I", head, 14)
    if kind == 12:  # OS/2
        width, height, _, bits = struct.unpack_from("<HHHH", head, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", head, 18)
    if -(2**31) in (width, height):  # has no positive counterpart
        return None
    return {"width": abs(width), "height": abs(height), "bits": bits}


def ico(head: bytes) -> dict[str, int] | None:
    """Return the size of the largest picture of an ICO or CUR file; a zero byte means 256."""
    if len(head) < 22 or head[:4] not in (b"\0\0\1\0", b"\0\0\2\0"):
        return None
    (count,) = struct.unpack_from("<H", head, 4)
    entries = range(6, min(len(head) - 15, 6 + 16 * count), 16)
    sides = [(head[offset] or 256, head[offset + 1] or 256) for offset in entries]
    if not sides:
        return None
    width, height = max(sides, key=lambda side: side[0] * side[1])
    return {"width": width, "height": height}


def tga(head: bytes) -> dict[str, int] | None:
    """Truevision TGA 2.0, header of 18 bytes."""
    if len(head) < 18 or head[2] not in (1, 2, 3, 9, 10, 11):
        return None
    width, height, bits = struct.unpack_from("<HHB", head, 12)
    return {"width": width, "height": height, "bits": bits} if width and height else None


def pcx(head: bytes) -> dict[str, int] | None:
    if len(head) < 66 or head[0] != 10:
        return None
    left, top, right, bottom = struct.unpack_from("<HHHH", head, 4)
    bits = head[3] * head[65]
    return {"width": right - left + 1, "height": bottom - top + 1, "bits": bits} if right >= left else None


#: Figures are separated by white space; a comment goes to the end of its line.
_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")
_PAM = re.compile(rb"^(WIDTH|HEIGHT)[ \t]+(\d{1,9})\s", re.MULTILINE)


def portable_map(head: bytes) -> dict[str, int] | None:
    """PBM, PGM, PPM, and PAM (Netpbm's formats)."""
    if head.startswith(b"P7"):
        sides = {name: int(value) for name, value in _PAM.findall(head.partition(b"ENDHDR")[0])}
        return {"width": sides[b"WIDTH"], "height": sides[b"HEIGHT"]} if len(sides) == 2 else None
    match = _PNM.match(head)
    return {"width": int(match[1]), "height": int(match[2])} if match else None


@dataclass(slots=True)
class Png:
    """``frames``: pictures of the animation in the file; ``loop``: number of repetitions, 0 without end; ``transfer``:
    the transfer function (ITU-T H.273), 0 where none is given."""

    frames: int = 0
    loop: int = 0
    seconds: float = 0.0
    transfer: int = 0
    animated: bool = False


def read_png_chunks(file: BinaryIO) -> Png:
    """Read the chunks; the result has its defaults for any other file."""
    file.seek(0)
    png, offset = Png(), len(_PNG_SIGNATURE)
    if file.read(offset) != _PNG_SIGNATURE:
        return png
    for _ in range(_MOST_CHUNKS):
        file.seek(offset)
        head = file.read(34)
        if len(head) < 12 or head[4:8] == b"IEND":
            break
        length, name = struct.unpack_from(">I4s", head)
        body = head[8:].ljust(26, b"\0")
        if name == b"cICP":
            png.transfer = body[1]
        elif name == b"acTL":
            png.animated, png.loop = True, struct.unpack_from(">I", body, 4)[0]
        elif name == b"fcTL" and png.animated:
            png.frames += 1
            number, parts = struct.unpack_from(">HH", body, 20)
            png.seconds += number / (parts or 100)
        offset += 12 + length
    return png
