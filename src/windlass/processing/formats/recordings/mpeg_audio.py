"""Start of the frames of MPEG audio (MP3 and its older layers; AAC in ADTS) behind tags and other bytes."""

from __future__ import annotations

import re
from itertools import islice
from typing import BinaryIO

#: Bytes that are searched for the first frame: without an ID3 tag, and with one.
WITHOUT_TAG, WITH_TAG = 1024 * 1024, 16 * 1024 * 1024
#: Bytes of a search window, and bytes behind it that a run of frames may need.
_WINDOW, _BEHIND = 1024 * 1024, 16 * 1024
#: Consecutive frames that prove the format.
_IN_A_ROW = 6
_MOST_TAGS = 8
#: False syncs in a window after which it is skipped.
_MOST_TRIES = 20_000

_SYNC = re.compile(rb"(?=(\xff[\xe2-\xef\xf0-\xff]))", re.DOTALL)
#: Kilobits a second by version (1, or 2 and 2.5) and layer (ISO/IEC 11172-3, 2.4.2.3; 13818-3).
_RATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def end_of_tags(file: BinaryIO, size: int) -> int:
    """Return where the ID3v2 tags at the start end by their lengths; 0 without tags."""
    at = 0
    for _ in range(_MOST_TAGS):
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:10]):
            break
        length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        at += 10 + length + (10 if head[5] & 0x10 else 0)
    return at if at <= size else 0


def find_frames(file: BinaryIO, start: int, within: int) -> tuple[int, str] | None:
    """Return offset and type (``audio/mpeg`` or ``audio/aac``) of frames within ``within`` bytes from ``start``."""
    for offset in range(start, start + within, _WINDOW):
        file.seek(offset)
        data = file.read(_WINDOW + _BEHIND)
        for match in islice(_SYNC.finditer(data, 0, _WINDOW), _MOST_TRIES):
            frame = _read_frame(data, match.start())
            if frame is not None and _frames_follow(data, match.start(), frame[0]):
                return offset + match.start(), "audio/aac" if frame[0][0] == "adts" else "audio/mpeg"
        if len(data) < _WINDOW:
            return None
    return None


def _frames_follow(data: bytes, offset: int, kind: tuple[object, ...]) -> bool:
    """Whether enough frames of one kind follow from here, or frames up to the end of the file."""
    for number in range(_IN_A_ROW):
        frame = _read_frame(data, offset)
        if frame is None or frame[0] != kind:
            return number >= 2 and offset == len(data)
        offset += frame[1]
    return True


def _read_frame(data: bytes, at: int) -> tuple[tuple[object, ...], int] | None:
    """Return the fields that all frames share, and the frame's length in bytes."""
    head = data[at : at + 7]
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        rate = head[2] >> 2 & 15
        return (("adts", head[1] & 8, rate), length) if length > 7 and rate < 13 else None
    version, layer, rate, samples = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or rate in (0, 15) or samples == 3:
        return None
    bits = _RATES[1 if version == 3 else 2, layer][rate - 1] * 1000
    per_second = _SAMPLE_RATES[version][samples]
    padding = head[2] >> 1 & 1
    if layer == 1:
        length = (12 * bits // per_second + padding) * 4
    else:
        length = (72 if layer == 3 and version != 3 else 144) * bits // per_second + padding
    return (version, layer, samples), length
