"""Raw photographs of cameras: TIFF files whose first picture is a preview (TIFF 6.0; Adobe's DNG 1.7).

Finds the directory of the sensor's picture, its size as displayed, and the previews in the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

DNG = "image/x-adobe-dng"
#: Maker in the file (in lower case, its beginning) -> type.
_MAKERS = {
    "nikon": "image/x-nikon-nef",
    "sony": "image/x-sony-arw",
    "pentax": "image/x-pentax-pef",
    "ricoh": "image/x-pentax-pef",
    "canon": "image/x-canon-cr2",
    "olympus": "image/x-olympus-orf",
    "om digital": "image/x-olympus-orf",
    "panasonic": "image/x-panasonic-rw2",
}

#: First four bytes -> byte order, and the type where they identify it.
_HEADS = {
    b"II*\0": ("<", ""),
    b"MM\0*": (">", ""),
    b"IIU\0": ("<", "image/x-panasonic-rw2"),
    b"IIRO": ("<", "image/x-olympus-orf"),
    b"IIRS": ("<", "image/x-olympus-orf"),
    b"MMOR": (">", "image/x-olympus-orf"),
}
_MOST_DIRECTORIES, _MOST_ENTRIES, _MOST_VALUES = 32, 500, 16
#: Bytes of a value by its type: byte, text, short, long, rational …
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 13: 4}

_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _MAKE = 254, 256, 257, 259, 262, 271
_STRIPS, _ORIENTATION, _STRIP_LENGTHS, _SUBDIRECTORIES = 273, 274, 279, 330
_JPEG, _JPEG_LENGTH, _EXIF, _DNG_VERSION = 513, 514, 34665, 50706
_ACTIVE_AREA, _CROP_SIZE = 50829, 50720
_EXIF_WIDTH, _EXIF_HEIGHT = 40962, 40963
_RW2_TOP, _RW2_LEFT, _RW2_BOTTOM, _RW2_RIGHT, _RW2_JPEG = 4, 5, 6, 7, 0x2E
#: Photometric interpretations of sensor data: colour filter array; linear raw.
_OF_SENSORS = frozenset({32803, 34892})

Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class RawPhoto:
    """Width and height as displayed; ``orientation`` by EXIF. ``previews``: JPEG files in it, the largest first."""

    mime_type: str
    width: int
    height: int
    orientation: int
    previews: tuple[Preview, ...]


@dataclass(slots=True)
class _Directory:
    tags: dict[int, Numbers] = field(default_factory=dict)
    make: str = ""
    jpeg: Preview | None = None

    def number(self, tag: int, default: int = 0) -> int:
        values = self.tags.get(tag)
        return int(values[0]) if values else default

    @property
    def is_of_a_sensor(self) -> bool:
        return self.number(_PHOTOMETRIC) in _OF_SENSORS

    @property
    def area(self) -> int:
        return self.number(_WIDTH) * self.number(_HEIGHT)


def read_raw_photo(file: BinaryIO, size: int) -> RawPhoto | None:
    """Read a raw photograph; None for any other file."""
    file.seek(0)
    head = file.read(16)
    if head[:4] not in _HEADS:
        return None
    order, kind = _HEADS[head[:4]]
    directories = list(_directories(file, size, order, struct.unpack_from(f"{order}I", head.ljust(16, b"\0"), 4)[0]))
    if not directories:
        return None
    first = directories[0]
    if _DNG_VERSION in first.tags:
        kind = DNG
    elif head[8:10] == b"CR":
        kind = "image/x-canon-cr2"
    elif not kind and any(each.is_of_a_sensor for each in directories):
        kind = next((named for maker, named in _MAKERS.items() if first.make.lower().startswith(maker)), "")
    if not kind:
        return None
    width, height = _size(kind, directories)
    orientation = first.number(_ORIENTATION, 1)
    orientation = orientation if 1 <= orientation <= 8 else 1
    if orientation >= 5:
        width, height = height, width
    previews = sorted((each.jpeg for each in directories if each.jpeg), key=lambda each: -each.length)
    return RawPhoto(kind, width, height, orientation, tuple(previews))


def _size(kind: str, directories: list[_Directory]) -> tuple[int, int]:
    """Return the size of the sensor's picture as cropped for display, before rotation."""
    first = directories[0]
    if kind == "image/x-panasonic-rw2" and _RW2_RIGHT in first.tags:
        width, height = first.number(_RW2_RIGHT) - first.number(_RW2_LEFT), first.number(_RW2_BOTTOM)
        return width, height - first.number(_RW2_TOP)
    if kind == "image/x-canon-cr2":
        exif = next((each for each in directories if _EXIF_WIDTH in each.tags and _EXIF_HEIGHT in each.tags), None)
        if exif is not None:
            return exif.number(_EXIF_WIDTH), exif.number(_EXIF_HEIGHT)
    sensors = [each for each in directories if each.is_of_a_sensor and each.number(_SUBFILE) & 1 == 0]
    main = max(sensors or directories, key=lambda each: each.area)
    crop = main.tags.get(_CROP_SIZE, ())
    if len(crop) == 2 and min(crop) >= 1:
        return round(crop[0]), round(crop[1])
    area = main.tags.get(_ACTIVE_AREA, ())
    if len(area) == 4 and area[2] > area[0] and area[3] > area[1]:
        return int(area[3] - area[1]), int(area[2] - area[0])
    return main.number(_WIDTH), main.number(_HEIGHT)


def _directories(file: BinaryIO, size: int, order: str, offset: int) -> Iterator[_Directory]:
    """Yield each directory once: the first, those that follow it, and those that they link to."""
    pending, seen = [offset], set[int]()
    while pending and len(seen) < _MOST_DIRECTORIES:
        offset = pending.pop(0)
        if offset in seen or not 8 <= offset < size:
            continue
        seen.add(offset)
        file.seek(offset)
        (count,) = struct.unpack(f"{order}H", file.read(2).ljust(2, b"\0"))
        count = min(count, _MOST_ENTRIES)
        body = file.read(12 * count + 4)
        if len(body) < 12 * count:
            continue
        directory = _Directory()
        for entry in range(count):
            _add_entry(file, directory, order, body[12 * entry : 12 * entry + 12], size)
        yield directory
        following = struct.unpack_from(f"{order}I", body.ljust(12 * count + 4, b"\0"), 12 * count)[0]
        linked = [*directory.tags.get(_SUBDIRECTORIES, ()), *directory.tags.get(_EXIF, ())]
        pending += [int(target) for target in (following, *linked)]


def _add_entry(file: BinaryIO, directory: _Directory, order: str, entry: bytes, size: int) -> None:
    tag, kind, count = struct.unpack_from(f"{order}HHI", entry)
    (value_offset,), value_size = struct.unpack_from(f"{order}I", entry, 8), _SIZES.get(kind, 0)
    if tag == _RW2_JPEG and kind == 7:
        directory.jpeg = _preview(value_offset, count, size)
    if not value_size:
        return
    length, data = value_size * min(count, 64 if kind == 2 else _MOST_VALUES), entry[8:]
    if value_size * count > 4:
        file.seek(value_offset)
        data = file.read(length)
    if tag == _MAKE and kind == 2:
        directory.make = data.partition(b"\0")[0].decode("latin-1").strip()
    elif kind in (3, 4, 5, 13) and len(data) >= length:
        directory.tags[tag] = _numbers(data[:length], kind, order)
        _set_preview(directory, size)
    elif tag == _DNG_VERSION:
        directory.tags[tag] = (1,)


def _numbers(data: bytes, kind: int, order: str) -> Numbers:
    if kind == 5:
        return tuple(above / (below or 1) for above, below in struct.iter_unpack(f"{order}II", data))
    return tuple(value for (value,) in struct.iter_unpack(f"{order}{'H' if kind == 3 else 'I'}", data))


def _set_preview(directory: _Directory, size: int) -> None:
    """Set the preview of a directory: by its JPEG entries, or as its single strip if it is not sensor data."""
    tags = directory.tags
    if _JPEG in tags and _JPEG_LENGTH in tags:
        directory.jpeg = _preview(directory.number(_JPEG), directory.number(_JPEG_LENGTH), size)
    elif (
        directory.number(_COMPRESSION) in (6, 7)
        and len(tags.get(_STRIPS, ())) == len(tags.get(_STRIP_LENGTHS, ())) == 1
        and _PHOTOMETRIC in tags
        and not directory.is_of_a_sensor
    ):
        directory.jpeg = _preview(directory.number(_STRIPS), directory.number(_STRIP_LENGTHS), size)


def _preview(offset: int, length: int, size: int) -> Preview | None:
    return Preview(offset, length) if offset > 0 and 0 < length <= size - offset else None
