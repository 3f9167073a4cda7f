"""How the streams of a 7z file are packed, as its header tells: which coders, and the sizes of what comes out.

After Igor Pavlov's 7zFormat.txt. Numbers in names below are its property ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives.entries import MOST_ENTRIES

_PACK, _UNPACK, _SUBSTREAMS, _SIZE, _CRC, _FOLDER, _UNPACK_SIZES, _NUM_STREAMS = 6, 7, 8, 9, 10, 11, 12, 13


class TooMany(Exception):
    """The archive claims more of something than is looked at, and than a profile may allow."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


@dataclass(slots=True)
class Folder:
    """Coders by id with their properties; unpacked sizes; which output is the folder's own. ``packs``: packed streams
    that it is made of. ``is_chain``: each coder takes what the one behind it gives."""

    coders: list[tuple[bytes, bytes]] = field(default_factory=list)
    outputs: int = 0
    sizes: list[int] = field(default_factory=list)
    bound: set[int] = field(default_factory=set)
    has_crc: bool = False
    packs: int = 1
    is_chain: bool = True

    @property
    def size(self) -> int:
        return next((size for place, size in enumerate(self.sizes) if place not in self.bound), 0)


@dataclass(slots=True)
class Streams:
    start: int = 0
    packed: list[int] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


class Reader:
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
            raise TooMany(found)
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


def read_streams(reader: Reader) -> Streams:
    found = Streams()
    while kind := reader.number():
        if kind == _PACK:
            _pack_info(reader, found)
        elif kind == _UNPACK:
            _unpack_info(reader, found)
        elif kind == _SUBSTREAMS:
            _substreams(reader, found)
        else:
            raise Unreadable("The archive's table of contents has a part that is not known.")
    if not found.counts:
        found.sizes, found.counts = [folder.size for folder in found.folders], [1] * len(found.folders)
    return found


def _pack_info(reader: Reader, found: Streams) -> None:
    found.start, count = reader.number(), reader.count()
    while kind := reader.number():
        if kind == _SIZE:
            found.packed = [reader.number() for _ in range(count)]
        elif kind == _CRC:
            reader.digests(count)


def _unpack_info(reader: Reader, found: Streams) -> None:
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


def _folder(reader: Reader) -> Folder:
    found, inputs = Folder(), 0
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
    for number in range(bindings):
        taken, given = reader.number(), reader.number()
        found.bound.add(given)
        found.is_chain &= (taken, given) == (number, number + 1)
    loose = inputs - bindings
    found.packs, found.is_chain = max(loose, 1), found.is_chain and loose == 1
    for _ in range(loose if loose > 1 else 0):
        reader.number()
    return found


def _substreams(reader: Reader, found: Streams) -> None:
    counts = [1] * len(found.folders)
    kind = reader.number()
    if kind == _NUM_STREAMS:
        counts = [reader.count() for _ in found.folders]
        kind = reader.number()
    if sum(counts) > 10 * MOST_ENTRIES:
        raise TooMany(sum(counts))
    found.counts = counts
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
