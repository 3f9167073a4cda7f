"""Scans of a JPEG file: each scan of a progressive picture is decoded over all pixels (ISO/IEC 10918-1, annex B)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

_BLOCK = 1024 * 1024
_MOST_SEGMENTS = 100_000
#: Start of frame: 0xC0 to 0xCF without tables (C4), extensions (C8) and arithmetic conditioning (CC).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9
#: Markers without a length: restart, start of image, and the stand-alone one.
_BARE = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
#: End of a scan's data: a marker that is neither a stuffed byte, a restart nor padding.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


@dataclass(slots=True)
class Scans:
    """``passes``: components in all scans, each decoded pixel by pixel. ``arithmetic``: coded so that a few bytes may
    stand for any number of pixels."""

    width: int = 0
    height: int = 0
    components: int = 0
    arithmetic: bool = False
    scans: int = 0
    passes: int = 0

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def held(self) -> int:
        """Bytes of coefficients that a decoder keeps between scans: two for each."""
        return self.pixels * self.components * 2 if self.scans > 1 else 0


def read_scans(file: BinaryIO, most_passes: int) -> Scans:
    """Count scans, up to ``most_passes`` passes."""
    scans, offset = Scans(), 0
    for _ in range(_MOST_SEGMENTS):
        file.seek(offset)
        head = file.read(4)
        if len(head) < 2 or head[0] != 0xFF or head[1] == _END:
            break
        if head[1] == 0xFF or head[1] in _BARE:
            offset += 1 if head[1] == 0xFF else 2
            continue
        (length,) = struct.unpack(">H", head[2:].ljust(2, b"\0"))
        body = file.read(max(0, min(length, 16) - 2))
        if head[1] in _FRAMES and len(body) >= 6:
            scans.height, scans.width, scans.components = struct.unpack_from(">HHB", body, 1)
            scans.arithmetic = head[1] >= 0xC9
        offset += 2 + length
        if head[1] == _SCAN:
            scans.scans += 1
            scans.passes += max(1, body[0] if body else 1)
            offset = _end_of_scan(file, offset)
        if scans.passes > most_passes or offset < 0:
            break
    return scans


def _end_of_scan(file: BinaryIO, offset: int) -> int:
    """Return the end of a scan's data; -1 at the end of the file."""
    while True:
        file.seek(offset)
        data = file.read(_BLOCK)
        match = _MARKER.search(data)
        if match is not None:
            return offset + match.start()
        if len(data) < _BLOCK:
            return -1
        offset += _BLOCK - 1
