"""Chunks of a PNG file that libvips does not report: animation, and high dynamic range (PNG third edition)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS = 200_000


@dataclass(slots=True)
class Png:
    """``frames``: pictures of the animation in the file; ``loop``: number of repetitions, 0 without end; ``transfer``:
    the transfer function (ITU-T H.273), 0 where none is given."""

    frames: int = 0
    loop: int = 0
    seconds: float = 0.0
    transfer: int = 0
    animated: bool = False


def read_chunks(file: BinaryIO) -> Png:
    """Read the chunks; the result has its defaults for any other file."""
    file.seek(0)
    png, offset = Png(), len(_SIGNATURE)
    if file.read(offset) != _SIGNATURE:
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
