"""The tracks of MP4, QuickTime and HEIF files: boxes within boxes (ISO/IEC 14496-12; Apple's QuickTime File Format)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

#: Limits: boxes, tracks, and entries of a track's table of times.
_MOST_BOXES, _MOST_TRACKS, _MOST_TIMES = 20_000, 64, 100_000
#: Types of the first box.
FIRST = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


@dataclass(frozen=True, slots=True)
class Track:
    """``handler``: ``vide``, ``soun``, ``pict`` … ``samples`` is 0 where they stand in fragments; ``seconds`` is the
    sum of the samples' times; width and height are pixels."""

    handler: str
    codec: str
    samples: int
    seconds: float
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Movie:
    brand: str
    fragmented: bool
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    begin: int
    end: int


def read_movie(file: BinaryIO, size: int) -> Movie | None:
    """Read the tracks; None where there is no ``moov`` box: another format, or a truncated file."""
    file.seek(4)
    if file.read(4) not in FIRST:
        return None
    brand = ""
    left = [_MOST_BOXES]
    for box in _boxes(file, 0, size, left):
        if box.kind == b"ftyp":
            brand = _read(file, box, 4).decode("latin-1")
        elif box.kind == b"moov":
            inside = list(_boxes(file, box.begin, box.end, left))
            traks = [each for each in inside if each.kind == b"trak"][:_MOST_TRACKS]
            tracks = tuple(_track(file, each, left) for each in traks)
            return Movie(brand, any(each.kind == b"mvex" for each in inside), tracks)
    return None


def _boxes(file: BinaryIO, at: int, end: int, left: list[int]) -> Iterator[_Box]:
    """Yield the boxes of a range. ``left``: number of boxes that may still be read of the file."""
    while at + 8 <= end and left[0] > 0:
        left[0] -= 1
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        length, kind = struct.unpack_from(">I4s", head)
        begin = at + 8
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
            begin = at + 16
        elif length == 0:  # to the end of the file
            length = end - at
        if length < begin - at:
            return
        yield _Box(kind, begin, min(at + length, end))
        at += length


def _child(file: BinaryIO, box: _Box | None, path: bytes, left: list[int]) -> _Box | None:
    """Return the first box at a path, such as ``mdia/hdlr``."""
    for name in path.split(b"/"):
        if box is None:
            return None
        box = next((each for each in _boxes(file, box.begin, box.end, left) if each.kind == name), None)
    return box


def _read(file: BinaryIO, box: _Box | None, length: int) -> bytes:
    """Return the start of a box's body, padded with zeros."""
    if box is None:
        return bytes(length)
    file.seek(box.begin)
    return file.read(max(0, min(length, box.end - box.begin))).ljust(length, b"\0")


def _track(file: BinaryIO, trak: _Box, left: list[int]) -> Track:
    media = _child(file, trak, b"mdia", left)
    table = _child(file, media, b"minf/stbl", left)
    handler = _read(file, _child(file, media, b"hdlr", left), 12)[8:]
    described = _read(file, _child(file, table, b"stsd", left), 44)
    sizes = _child(file, table, b"stsz", left) or _child(file, table, b"stz2", left)
    _, _, samples = struct.unpack(">III", _read(file, sizes, 12))
    width, height = struct.unpack_from(">HH", described, 40)
    header = _read(file, _child(file, media, b"mdhd", left), 24)  # of version 1, or 0
    (ticks_per_second,) = struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)
    ticks = _ticks(file, _child(file, table, b"stts", left))
    seconds = ticks / ticks_per_second if ticks_per_second else 0.0
    return Track(handler.decode("latin-1"), described[12:16].decode("latin-1"), samples, seconds, width, height)


def _ticks(file: BinaryIO, times: _Box | None) -> int:
    (count,) = struct.unpack(">4xI", _read(file, times, 8))
    if times is None:
        return 0
    count = min(count, _MOST_TIMES, max(0, times.end - times.begin - 8) // 8)
    file.seek(times.begin + 8)
    body = file.read(8 * count)
    return sum(number * ticks for number, ticks in struct.iter_unpack(">II", body[: len(body) // 8 * 8]))


def transfer_function(file: BinaryIO, size: int) -> int:
    """Return the transfer function of a HEIF or AVIF picture (ITU-T H.273); 0 where none is given."""
    left = [_MOST_BOXES]
    meta = next((box for box in _boxes(file, 0, size, left) if box.kind == b"meta"), None)
    properties = _child(file, meta and _Box(meta.kind, meta.begin + 4, meta.end), b"iprp/ipco", left)
    for box in _boxes(file, properties.begin, properties.end, left) if properties else ():
        if box.kind == b"colr" and _read(file, box, 4) == b"nclx":
            return int(struct.unpack_from(">H", _read(file, box, 8), 6)[0])
    return 0
