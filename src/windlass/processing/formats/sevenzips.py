"""The header of a 7z file: names and sizes as the file claims them. Only the header itself is unpacked, bounded.

After Igor Pavlov's 7zFormat.txt. Numbers in names below are its property ids.
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.bounds import MB
from windlass.processing.formats.entries import MOST_ENTRIES, Entry, Survey

_LARGEST_HEADER = 16 * MB
_HEADER, _PACK, _UNPACK, _SUBSTREAMS, _SIZE, _CRC, _FOLDER = 1, 6, 7, 8, 9, 10, 11
_UNPACK_SIZES, _NUM_STREAMS, _EMPTY, _EMPTY_FILE, _NAMES, _ATTRIBUTES, _ENCODED = 12, 13, 14, 15, 17, 21, 23
_ADDITIONAL, _STREAMS, _FILES = 3, 4, 5
_AES = bytes.fromhex("06f10701")
_FILTERS = {bytes.fromhex("030101"): lzma.FILTER_LZMA1, b"\x21": lzma.FILTER_LZMA2}


@dataclass(slots=True)
class _Folder:
    """Coders by id with their properties; unpacked sizes; which output is the folder's own."""

    coders: list[tuple[bytes, bytes]] = field(default_factory=list)
    outputs: int = 0
    sizes: list[int] = field(default_factory=list)
    bound: set[int] = field(default_factory=set)
    has_crc: bool = False

    @property
    def size(self) -> int:
        return next((size for place, size in enumerate(self.sizes) if place not in self.bound), 0)


@dataclass(slots=True)
class _Streams:
    start: int = 0
    packed: list[int] = field(default_factory=list)
    folders: list[_Folder] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


class _Reader:
    """Reads on from where it is; every read is within the header. Raises Unreadable."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def take(self, size: int) -> bytes:
        if size > len(self._data) - self._place:
            raise Unreadable("The archive is damaged: its table of contents ends too early.")
        self._place += size
        return self._data[self._place - size : self._place]

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._place)

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        """The first byte's leading ones say how many bytes follow."""
        first, value, mask = self.byte(), 0, 0x80
        for shift in range(8):
            if not first & mask:
                return value | (first & (mask - 1)) << (8 * shift)
            value |= self.byte() << (8 * shift)
            mask >>= 1
        return value

    def count(self) -> int:
        """How many of something follow: each takes room in the header or is an entry."""
        found = self.number()
        if found > 10 * MOST_ENTRIES:
            raise Unreadable("The archive claims more entries than are looked at.")
        return found

    def bits(self, count: int) -> list[bool]:
        data = self.take(-(-count // 8))
        return [bool(data[place // 8] & 0x80 >> place % 8) for place in range(count)]

    def defined(self, count: int) -> list[bool]:
        return [True] * count if self.byte() else self.bits(count)

    def digests(self, count: int) -> list[bool]:
        known = self.defined(count)
        self.take(4 * sum(known))
        return known


def survey(file: BinaryIO) -> Survey:
    """Raises Unreadable."""
    seen = Survey(packed=file.seek(0, 2), sizes="declared")
    header = _header(file, seen)
    if header is None:
        return seen
    streams = _Streams()
    while kind := header.number():
        if kind == _STREAMS:
            streams = _streams(header)
        elif kind == _FILES:
            for entry in _files(header, streams):
                if not seen.add(entry):
                    break
            break
        elif kind == _ADDITIONAL:
            _streams(header)
        else:
            raise Unreadable("The archive's table of contents has a part that is not known.")
    seen.encrypted |= any(coder == _AES for folder in streams.folders for coder, _ in folder.coders)
    return seen


def _header(file: BinaryIO, seen: Survey) -> _Reader | None:
    """The table of contents, unpacked if need be; None where a password is needed to read it, or it is empty."""
    file.seek(0)
    start = file.read(32)
    if len(start) < 32 or not start.startswith(b"7z\xbc\xaf\x27\x1c"):
        raise Unreadable("The archive does not begin as a 7z file does.")
    offset, size, _ = struct.unpack_from("<QQI", start, 12)
    if not size:
        return None
    reader = _Reader(_piece(file, 32 + offset, size))
    kind = reader.number()
    if kind == _ENCODED:
        streams = _streams(reader)
        if not streams.folders or not streams.packed:
            raise Unreadable("The archive's table of contents is damaged.")
        if any(coder == _AES for coder, _ in streams.folders[0].coders):
            seen.encrypted = True
            return None
        reader = _Reader(_unpacked(file, streams))
        kind = reader.number()
    if kind != _HEADER:
        raise Unreadable("The archive's table of contents is damaged, or packed more than once.")
    return reader


def _piece(file: BinaryIO, place: int, size: int) -> bytes:
    if size > _LARGEST_HEADER or place > file.seek(0, 2):
        raise Unreadable("The archive's table of contents is missing, or too large.")
    file.seek(place)
    return file.read(size)


def _unpacked(file: BinaryIO, streams: _Streams) -> bytes:
    folder = streams.folders[0]
    (coder, properties), size = folder.coders[0], folder.size
    if size > _LARGEST_HEADER:
        raise Unreadable("The archive's table of contents is too large.")
    packed = _piece(file, 32 + streams.start, streams.packed[0])
    if coder == b"\0":
        return packed
    if coder not in _FILTERS:
        raise Unreadable("The archive's table of contents is packed in a way that is not known.")
    try:
        chain = [_filter(_FILTERS[coder], properties)]
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain).decompress(packed, size)
    except (lzma.LZMAError, ValueError, IndexError, struct.error, MemoryError) as error:
        raise Unreadable("The archive's table of contents cannot be unpacked.") from error


def _filter(kind: int, properties: bytes) -> dict[str, int]:
    """The window need not be larger than what comes out."""
    if kind == lzma.FILTER_LZMA2:
        return {"id": kind, "dict_size": _LARGEST_HEADER}
    first, window = properties[0], struct.unpack_from("<I", properties, 1)[0]
    return {
        "id": kind,
        "lc": first % 9,
        "lp": first // 9 % 5,
        "pb": first // 45,
        "dict_size": max(4096, min(window, _LARGEST_HEADER)),
    }


def _streams(reader: _Reader) -> _Streams:
    found = _Streams()
    while kind := reader.number():
        if kind == _PACK:
            _pack_info(reader, found)
        elif kind == _UNPACK:
            _unpack_info(reader, found)
        elif kind == _SUBSTREAMS:
            _substreams(reader, found)
        else:
            raise Unreadable("The archive's table of contents has a part that is not known.")
    found.sizes = found.sizes or [folder.size for folder in found.folders]
    return found


def _pack_info(reader: _Reader, found: _Streams) -> None:
    found.start, count = reader.number(), reader.count()
    while kind := reader.number():
        if kind == _SIZE:
            found.packed = [reader.number() for _ in range(count)]
        elif kind == _CRC:
            reader.digests(count)


def _unpack_info(reader: _Reader, found: _Streams) -> None:
    while kind := reader.number():
        if kind == _FOLDER:
            count = reader.count()
            if reader.byte():
                raise Unreadable("The archive's table of contents is in pieces.")
            found.folders = [_folder(reader) for _ in range(count)]
        elif kind == _UNPACK_SIZES:
            for folder in found.folders:
                folder.sizes = [reader.number() for _ in range(folder.outputs)]
        elif kind == _CRC:
            for folder, known in zip(found.folders, reader.digests(len(found.folders)), strict=True):
                folder.has_crc = known


def _folder(reader: _Reader) -> _Folder:
    found, inputs = _Folder(), 0
    for _ in range(min(reader.number(), 33)):
        flags = reader.byte()
        name = reader.take(flags & 0xF)
        ins, outs = (reader.number(), reader.number()) if flags & 0x10 else (1, 1)
        properties = reader.take(reader.number()) if flags & 0x20 else b""
        found.coders.append((name, properties))
        inputs, found.outputs = inputs + min(ins, 33), found.outputs + min(outs, 33)
    if not found.coders:
        raise Unreadable("The archive's table of contents is damaged.")
    bindings = max(found.outputs - 1, 0)
    for _ in range(bindings):
        reader.number()
        found.bound.add(reader.number())
    loose = inputs - bindings
    for _ in range(loose if loose > 1 else 0):
        reader.number()
    return found


def _substreams(reader: _Reader, found: _Streams) -> None:
    counts = [1] * len(found.folders)
    kind = reader.number()
    if kind == _NUM_STREAMS:
        counts = [reader.count() for _ in found.folders]
        kind = reader.number()
    if sum(counts) > 10 * MOST_ENTRIES:
        raise Unreadable("The archive claims more entries than are looked at.")
    for folder, count in zip(found.folders, counts, strict=True):
        sizes = [reader.number() for _ in range(count - 1)] if kind == _SIZE else []
        if count:
            found.sizes += [*sizes, max(folder.size - sum(sizes), 0)]
    if kind == _SIZE:
        kind = reader.number()
    unknown = sum(n for folder, n in zip(found.folders, counts, strict=True) if n != 1 or not folder.has_crc)
    while kind:
        if kind == _CRC:
            reader.digests(unknown)
        kind = reader.number()


def _files(reader: _Reader, streams: _Streams) -> Iterator[Entry]:
    """Names with the sizes of the streams, which only files that are not empty have."""
    count = reader.count()
    empty, hollow, names = [False] * count, [False] * count, [""] * count
    attributes = [0] * count
    while kind := reader.number():
        part = _Reader(reader.take(reader.number()))
        if kind == _EMPTY:
            empty = part.bits(count)
        elif kind == _EMPTY_FILE:
            bits = iter(part.bits(sum(empty)))
            hollow = [next(bits) if each else False for each in empty]
        elif kind == _NAMES and not part.byte():
            names = _names(part, count)
        elif kind == _ATTRIBUTES:
            attributes = _attributes(part, count)
    sizes = iter(streams.sizes)
    for place, name in enumerate(names):
        size = 0 if empty[place] else next(sizes, 0)
        link = attributes[place] & 0x8000 and attributes[place] >> 16 & 0o170000 == 0o120000
        yield Entry(name, size, is_directory=empty[place] and not hollow[place], is_link=bool(link))


def _names(part: _Reader, count: int) -> list[str]:
    found = part.rest().decode("utf-16-le", "replace").split("\0")
    return (found + [""] * count)[:count]


def _attributes(part: _Reader, count: int) -> list[int]:
    known = part.defined(count)
    if part.byte():
        return [0] * count
    return [struct.unpack("<I", part.take(4))[0] if each else 0 for each in known]
