"""The tracks of Matroska and WebM files, by their elements (RFC 8794, RFC 9559)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

SIGNATURE = b"\x1a\x45\xdf\xa3"

_EBML, _DOC_TYPE = 0x1A45DFA3, 0x4282
_SEGMENT, _CLUSTER, _TRACKS = 0x18538067, 0x1F43B675, 0x1654AE6B
_TRACK, _NUMBER, _TYPE = 0xAE, 0xD7, 0x83
_GROUP, _BLOCK, _SIMPLE_BLOCK = 0xA0, 0xA1, 0xA3
#: Elements whose children are read; all others are skipped.
_ENTERED = frozenset({_EBML, _SEGMENT, _CLUSTER, _TRACKS, _TRACK, _GROUP})
#: Elements that may have an unknown size, as in live recordings.
_ENDLESS = frozenset({_SEGMENT, _CLUSTER})
_MOST_ELEMENTS = 300_000
_LONGEST_VALUE = 16
_PICTURES, _SOUND = 1, 2


@dataclass(frozen=True, slots=True)
class Tracks:
    """``stills``: every track of pictures has one picture only."""

    doc_type: str
    pictures: bool
    sound: bool
    stills: bool


def read_tracks(file: BinaryIO, size: int) -> Tracks | None:
    """Read the tracks; None where none are described. Blocks are read only up to a second picture."""
    doc_type, kinds, numbers = "", list[int](), list[int]()
    seen: dict[int, int] = {}
    for element, value in _elements(file, size):
        if element == _DOC_TYPE:
            doc_type = value.rstrip(b"\0").decode("latin-1")
        elif element == _NUMBER:
            numbers.append(int.from_bytes(value))
        elif element == _TYPE:
            kinds.append(int.from_bytes(value))
        elif element in (_BLOCK, _SIMPLE_BLOCK) and kinds:
            if _PICTURES not in kinds or _SOUND not in kinds:
                break
            number, _ = _vint(value)
            seen[number] = seen.get(number, 0) + 1
            if seen[number] > 1 and (number, _PICTURES) in zip(numbers, kinds, strict=False):
                break
    if not kinds:
        return None
    counts = [seen.get(number, 0) for number, kind in zip(numbers, kinds, strict=False) if kind == _PICTURES]
    stills = bool(counts) and max(counts) == 1
    return Tracks(doc_type, _PICTURES in kinds, _SOUND in kinds, stills)


def _elements(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the id and the start of the value of each element, in the order of the file."""
    at = 0
    for _ in range(_MOST_ELEMENTS):
        file.seek(at)
        head = file.read(12 + _LONGEST_VALUE)
        name, name_length = _vint(head[:12], keep_marker=True)
        length, length_length = _vint(head[name_length:12])
        if not name_length or not length_length:
            return
        head_length = name_length + length_length
        begin = at + head_length
        endless = length == (1 << 7 * length_length) - 1
        if endless and name not in _ENDLESS:
            return
        end = size if endless else begin + length
        yield name, head[head_length:][: min(end - begin, _LONGEST_VALUE)]
        at = begin if name in _ENTERED else end
        if at >= size:
            return


def _vint(data: bytes, *, keep_marker: bool = False) -> tuple[int, int]:
    """Read an integer of variable length; return it and its number of bytes, 0 where it is damaged."""
    if not data or not data[0]:
        return 0, 0
    length = 9 - data[0].bit_length()
    if len(data) < length:
        return 0, 0
    value = int.from_bytes(data[:length])
    return (value if keep_marker else value & (1 << 7 * length) - 1), length
