"""What a PNG file's chunks say that libvips does not: its animation, and a high dynamic range (W3C's PNG 3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS = 200_000


@dataclass(slots=True)
class Png:
    """``frames``: pictures of an animation that are there; ``loop``: how often it is shown, 0 for ever; ``transfer``:
    the function by which numbers become light (ITU-T H.273), where it is told."""

    frames: int = 0
    loop: int = 0
    seconds: float = 0.0
    transfer: int = 0
    animated: bool = False


def read_chunks(file: BinaryIO) -> Png:
    """Empty for what is no PNG file."""
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
