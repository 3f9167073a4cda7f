"""Parses the header of a 7z file: how its streams are compressed, and the names and sizes of its files.

After Igor Pavlov's 7zFormat.txt, whose property ids are the numbers below.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives.inspection import MOST_ENTRIES, Entry

_PACK, _UNPACK, _SUBSTREAMS, _SIZE, _CRC, _FOLDER, _UNPACK_SIZES, _NUM_STREAMS = 6, 7, 8, 9, 10, 11, 12, 13
_EMPTY_STREAM, _EMPTY_FILE, _NAMES, _ATTRIBUTES = 14, 15, 17, 21


class TooMany(Exception):
    """The archive claims more streams or files than are read, and than a profile may allow."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


@dataclass(slots=True)
class Folder:
    """What 7z calls a folder: streams that are compressed together.

    ``coders``: ids with their properties. ``sizes``: unpacked, of each coder's output. ``bound``: outputs that are the
    input of another coder. ``packs``: number of packed streams. ``is_chain``: each coder reads the output of the next.
    """

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
    """Where packed data starts and its sizes; folders; number and unpacked sizes of the files in each folder."""

    start: int = 0
    packed: list[int] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


class HeaderReader:
    """Reads values from a header one after the other. Raises Unreadable at its end."""

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
        """Read an integer; the leading ones of its first byte say how many bytes follow."""
        first, value, mask = self.byte(), 0, 0x80
        for shift in range(8):
            if not first & mask:
                return value | (first & (mask - 1)) << (8 * shift)
            value |= self.byte() << (8 * shift)
            mask >>= 1
        return value

    def count(self) -> int:
        """Read a number of items that follow. Raises TooMany."""
        count = self.number()
        if count > 10 * MOST_ENTRIES:
            raise TooMany(count)
        return count

    def bits(self, count: int) -> list[bool]:
        data = self.take(-(-count // 8))
        return [bool(data[place // 8] & 0x80 >> place % 8) for place in range(count)]

    def defined(self, count: int) -> list[bool]:
        return [True] * count if self.byte() else self.bits(count)

    def digests(self, count: int) -> list[bool]:
        known = self.defined(count)
        self.take(4 * sum(known))
        return known

    def streams(self) -> Streams:
        found = Streams()
        while kind := self.number():
            if kind == _PACK:
                self._read_pack_info(found)
            elif kind == _UNPACK:
                self._read_unpack_info(found)
            elif kind == _SUBSTREAMS:
                self._read_substreams(found)
            else:
                raise Unreadable("The archive's table of contents has a part that is not known.")
        if not found.counts:
            found.sizes, found.counts = [folder.size for folder in found.folders], [1] * len(found.folders)
        return found

    def _read_pack_info(self, found: Streams) -> None:
        found.start, count = self.number(), self.count()
        while kind := self.number():
            if kind == _SIZE:
                found.packed = [self.number() for _ in range(count)]
            elif kind == _CRC:
                self.digests(count)

    def _read_unpack_info(self, found: Streams) -> None:
        while kind := self.number():
            if kind == _FOLDER:
                count = self.count()
                if self.byte():
                    raise Unreadable("The archive's table of contents is in pieces.")
                found.folders = [self._folder() for _ in range(count)]
            elif kind == _UNPACK_SIZES:
                for folder in found.folders:
                    folder.sizes = [self.number() for _ in range(folder.outputs)]
            elif kind == _CRC:
                for folder, known in zip(found.folders, self.digests(len(found.folders)), strict=True):
                    folder.has_crc = known

    def _folder(self) -> Folder:
        found, inputs = Folder(), 0
        for _ in range(min(self.number(), 33)):
            flags = self.byte()
            name = self.take(flags & 0xF)
            ins, outs = (self.number(), self.number()) if flags & 0x10 else (1, 1)
            properties = self.take(self.number()) if flags & 0x20 else b""
            found.coders.append((name, properties))
            inputs, found.outputs = inputs + min(ins, 33), found.outputs + min(outs, 33)
        if not found.coders:
            raise Unreadable("The archive's table of contents is damaged.")
        bindings = max(found.outputs - 1, 0)
        for number in range(bindings):
            source, target = self.number(), self.number()
            found.bound.add(target)
            found.is_chain &= (source, target) == (number, number + 1)
        loose = inputs - bindings
        found.packs, found.is_chain = max(loose, 1), found.is_chain and loose == 1
        for _ in range(loose if loose > 1 else 0):
            self.number()
        return found

    def _read_substreams(self, found: Streams) -> None:
        counts = [1] * len(found.folders)
        kind = self.number()
        if kind == _NUM_STREAMS:
            counts = [self.count() for _ in found.folders]
            kind = self.number()
        if sum(counts) > 10 * MOST_ENTRIES:
            raise TooMany(sum(counts))
        found.counts = counts
        for folder, count in zip(found.folders, counts, strict=True):
            sizes = [self.number() for _ in range(count - 1)] if kind == _SIZE else []
            if count:
                found.sizes += [*sizes, max(folder.size - sum(sizes), 0)]
        if kind == _SIZE:
            kind = self.number()
        unknown = sum(n for folder, n in zip(found.folders, counts, strict=True) if n != 1 or not folder.has_crc)
        while kind:
            if kind == _CRC:
                self.digests(unknown)
            kind = self.number()

    def files(self, sizes: Sequence[int]) -> Iterator[Entry]:
        """Yield each file with its size. ``sizes``: those of the files that are not empty."""
        count = self.count()
        is_empty, is_empty_file = [False] * count, [False] * count
        names, attributes = [""] * count, [0] * count
        while kind := self.number():
            part = HeaderReader(self.take(self.number()))
            if kind == _EMPTY_STREAM:
                is_empty = part.bits(count)
            elif kind == _EMPTY_FILE:
                bits = iter(part.bits(sum(is_empty)))
                is_empty_file = [next(bits) if each else False for each in is_empty]
            elif kind == _NAMES and not part.byte():
                names = part.rest().decode("utf-16-le", "replace").split("\0") + [""] * count
            elif kind == _ATTRIBUTES:
                attributes = part._attributes(count)
        sizes_left = iter(sizes)
        for number, name in enumerate(names[:count]):
            size = 0 if is_empty[number] else next(sizes_left, 0)
            mode = attributes[number] >> 16 if attributes[number] & 0x8000 else 0
            is_directory = is_empty[number] and not is_empty_file[number]
            yield Entry(name, size, is_directory=is_directory, is_link=mode & 0o170000 == 0o120000)

    def _attributes(self, count: int) -> list[int]:
        known = self.defined(count)
        if self.byte():
            return [0] * count
        return [struct.unpack("<I", self.take(4))[0] if each else 0 for each in known]
