"""Chunks of WAV and AIFF files (EA IFF 85; Microsoft's RIFF; EBU Tech 3306 for RF64), to tell whether the sound ends
where the file claims."""

from __future__ import annotations

import struct
from typing import BinaryIO

_LITTLE, _BIG = (b"RIFF", b"RF64", b"BW64"), (b"RIFX", b"FORM")
_KINDS = (b"WAVE", b"AIFF", b"AIFC")
_SOUND = (b"data", b"SSND")
_UNKNOWN = 2**32 - 1
_MOST_CHUNKS = 10_000
#: Bytes behind the last chunk that may be padding.
_PADDING = 64 * 1024


def is_wave(file: BinaryIO) -> bool:
    return _head(file)[8:12] == b"WAVE"


def has_data_behind_sound(file: BinaryIO, size: int) -> bool:
    """Whether bytes that are no chunks follow the sound: it is longer than it claims."""
    head = _head(file)
    if head[:4] not in (*_LITTLE, *_BIG) or head[8:12] not in _KINDS:
        return False
    order, offset, has_sound, large = (">" if head[:4] in _BIG else "<"), 12, False, 0
    for _ in range(_MOST_CHUNKS):
        if offset > size:
            return False
        file.seek(offset)
        chunk = file.read(24)
        if len(chunk) < 8:
            return False
        name, (length,) = chunk[:4], struct.unpack(f"{order}I", chunk[4:8])
        if name == b"ds64" and len(chunk) == 24:  # sizes above 4 GiB, before the chunk itself
            (large,) = struct.unpack("<Q", chunk[16:])
        if name in _SOUND:
            if length == 0 or (length == _UNKNOWN and not large):
                return name == b"SSND"
            has_sound, length = True, large if length == _UNKNOWN else length
        elif has_sound and not (_is_name(name) and offset + 8 + length <= size + 1):
            return size - offset > _PADDING
        offset += 8 + length + length % 2
    return True


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(12)


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in name)
