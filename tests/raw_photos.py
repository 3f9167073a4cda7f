"""Raw photographs of cameras, with the directories that tell their size and a preview, but nothing a sensor saw."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tests import samples

SHORT, LONG, TEXT, RATIONAL = 3, 4, 2, 5
Entry = tuple[int, int, Sequence[int] | bytes]

CFA, LINEAR = (262, SHORT, (32803,)), (262, SHORT, (34892,))
MAIN, REDUCED = (254, LONG, (0,)), (254, LONG, (1,))
DNG_VERSION: Entry = (50706, 1, b"\1\4\0\0")


def sides(width: int, height: int) -> list[Entry]:
    return [(256, LONG, (width,)), (257, LONG, (height,))]


def make(name: str) -> Entry:
    return (271, TEXT, name.encode() + b"\0")


def turned(orientation: int) -> Entry:
    return (274, SHORT, (orientation,))


def preview(width: int = 320, height: int = 200) -> Entry:
    """Stands for the two entries of a JPEG file in the directory."""
    return (513, TEXT, samples.jpeg(width, height))


def photo(*directories: list[Entry], order: str = "<", head: bytes = b"", links: int = 330) -> bytes:
    """The first directory points at the others (``links``: by which tag)."""
    head = head or (b"II*\0" if order == "<" else b"MM\0*")
    out = bytearray(head + struct.pack(f"{order}I", 16) + bytes(8))
    if head[:4] == b"II*\0" and links == 34665:
        out[8:10] = b"CR"
    later = len(directories) - 1
    first = [*directories[0], *([(links, LONG, (0,) * later)] if later else [])]
    place_of_links = _write(out, first, order, links)
    for number, directory in enumerate(directories[1:]):
        at = len(out)
        _write(out, directory, order, 0)
        struct.pack_into(f"{order}I", out, place_of_links + 4 * number, at)
    return bytes(out)


def _write(out: bytearray, entries: list[Entry], order: str, wanted: int) -> int:
    """Where the value of the entry with this tag is."""
    split: list[Entry] = []
    for tag, kind, value in entries:
        if tag == 513 and isinstance(value, bytes):
            split += [(513, LONG, value), (514, LONG, (len(value),))]
        else:
            split.append((tag, kind, value))
    split.sort(key=lambda entry: entry[0])
    at, place = len(out), 0
    out += struct.pack(f"{order}H", len(split)) + bytes(12 * len(split) + 4)
    for number, (tag, kind, value) in enumerate(split):
        entry = at + 2 + 12 * number
        if tag == 513 and isinstance(value, bytes):
            data, count = struct.pack(f"{order}I", len(out)), 1
            out += value + bytes(len(value) % 2)
        else:
            data, count = _packed(kind, value, order)
        struct.pack_into(f"{order}HHI", out, entry, tag, kind, count)
        where = entry + 8
        if len(data) > 4:
            where = len(out)
            struct.pack_into(f"{order}I", out, entry + 8, where)
            out += data
        else:
            out[where : where + len(data)] = data
        place = where if tag == wanted else place
    return place


def _packed(kind: int, value: Sequence[int] | bytes, order: str) -> tuple[bytes, int]:
    if isinstance(value, bytes):
        return value, len(value)
    if kind == RATIONAL:
        return struct.pack(f"{order}{2 * len(value)}I", *(part for each in value for part in (each * 10, 10))), len(
            value
        )
    return struct.pack(f"{order}{len(value)}{'H' if kind == SHORT else 'I'}", *value), len(value)


SMALL = [REDUCED, *sides(160, 120)]
SENSOR = [MAIN, CFA, *sides(6048, 4024)]


def dng(*more: Entry, orientation: int = 1, order: str = "<") -> bytes:
    return photo([*SMALL, make("Anchor"), DNG_VERSION, turned(orientation), preview()], [*SENSOR, *more], order=order)
