"""Inspection of a 7z file: names and sizes as its header claims them; contents are unpacked to find archives in them.

The header is read after Igor Pavlov's 7zFormat.txt, whose property ids are the numbers below. Programs unpack a stream
to the size that the header gives, and no further. Coders that neither liblzma nor a library of
ours has (PPMd, BCJ2, AES) are not read.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import archive_types, decompressors
from windlass.processing.formats.archives.decompressors import Compression, NotMeasured, until_end
from windlass.processing.formats.archives.inspection import MOST_ENTRIES, Entry, Inspection, Inspector
from windlass.processing.formats.archives.unpacking import FilePart, UnpackedFile
from windlass.processing.formats.read_limits import MB

_Unpack = Callable[[BinaryIO], Iterator[bytes]]

_PACK, _UNPACK, _SUBSTREAMS, _SIZE, _CRC, _FOLDER, _UNPACK_SIZES, _NUM_STREAMS = 6, 7, 8, 9, 10, 11, 12, 13
_EMPTY_STREAM, _EMPTY_FILE, _NAMES, _ATTRIBUTES = 14, 15, 17, 21
_LARGEST_HEADER = 16 * MB
_HEADER, _ADDITIONAL, _STREAMS, _FILES, _ENCODED_HEADER = 1, 3, 4, 5, 23
_AES = bytes.fromhex("06f10701")

_LZMA, _LZMA2, _DELTA = bytes.fromhex("030101"), b"\x21", b"\x03"
#: Coders that liblzma does not have: copy, Deflate, Deflate64, bzip2.
_UNPACK_BY_CODER: dict[bytes, _Unpack] = {
    b"\x00": lambda packed: iter(lambda: packed.read(decompressors.OUTPUT_SIZE), b""),
    bytes.fromhex("040108"): lambda packed: until_end(packed, decompressors.raw_deflate()),
    bytes.fromhex("040109"): decompressors.deflate64,
    bytes.fromhex("040202"): lambda packed: until_end(packed, bz2.BZ2Decompressor()),
}
_BRANCHES = {
    bytes.fromhex("03030103"): lzma.FILTER_X86,
    b"\x04": lzma.FILTER_X86,
    bytes.fromhex("03030205"): lzma.FILTER_POWERPC,
    bytes.fromhex("03030401"): lzma.FILTER_IA64,
    bytes.fromhex("03030501"): lzma.FILTER_ARM,
    bytes.fromhex("03030701"): lzma.FILTER_ARMTHUMB,
    bytes.fromhex("03030805"): lzma.FILTER_SPARC,
}


def inspect(file: BinaryIO, inspection: Inspection, inspector: Inspector) -> None:
    """Fill in the inspection. Raises Unreadable, LimitPassed, NotMeasured."""
    file.seek(0)
    if not file.read(6).startswith(archive_types.SEVEN_ZIP_MARK):
        start = archive_types.embedded_archive_offset(file)
        file = FilePart(file, start, file.seek(0, 2) - start)
    header = _header(file, inspection)
    if header is None:
        return
    streams = _Streams()
    try:
        while kind := header.number():
            if kind == _STREAMS:
                streams = header.streams()
            elif kind == _FILES:
                for entry in header.files(streams.sizes):
                    if not inspection.add(entry):
                        break
                break
            elif kind == _ADDITIONAL:
                header.streams()
            else:
                raise Unreadable("The archive's table of contents has a part that is not known.")
    except _TooMany as error:
        inspection.entries, inspection.cut = max(inspection.entries, error.count), True
        return
    inspection.encrypted |= any(coder == _AES for folder in streams.folders for coder, _ in folder.coders)
    inspection.unpacked = max(inspection.unpacked, sum(folder.size for folder in streams.folders))
    if inspector.meter.measures and inspection.unpacked <= inspector.meter.limit:
        _inspect_folders(file, streams, inspector)


def _inspect_folders(file: BinaryIO, streams: _Streams, inspector: Inspector) -> None:
    """Inspect the archives in each folder whose coders are read."""
    offset, sizes, packs = 32 + streams.start, iter(streams.sizes), iter(streams.packed)
    for folder, count in zip(streams.folders, streams.counts, strict=False):
        packed = sum(next(packs, 0) for _ in range(folder.packs))
        compression = _compression(folder)
        file_sizes, start = [next(sizes, 0) for _ in range(count)], 0
        if compression is not None:
            content = UnpackedFile(FilePart(file, offset, packed), compression, inspector.meter)
            for size in file_sizes:
                if size:
                    inspector.inspect_nested(FilePart(content, start, size))
                start += size
        offset += packed


def _header(file: BinaryIO, inspection: Inspection) -> _HeaderReader | None:
    """Read the header, which may be compressed; None where it is encrypted or empty."""
    file.seek(0)
    start = file.read(32)
    if len(start) < 32 or not start.startswith(archive_types.SEVEN_ZIP_MARK):
        raise Unreadable("The archive does not begin as a 7z file does.")
    offset, size, _ = struct.unpack_from("<QQI", start, 12)
    if not size:
        return None
    reader = _HeaderReader(_read_at(file, 32 + offset, size))
    kind = reader.number()
    if kind == _ENCODED_HEADER:
        streams = reader.streams()
        if not streams.folders or not streams.packed:
            raise Unreadable("The archive's table of contents is damaged.")
        if any(coder == _AES for coder, _ in streams.folders[0].coders):
            inspection.mark_locked()
            return None
        reader = _HeaderReader(_unpacked_header(file, streams))
        kind = reader.number()
    if kind != _HEADER:
        raise Unreadable("The archive's table of contents is damaged, or packed more than once.")
    return reader


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    if size > _LARGEST_HEADER or offset > file.seek(0, 2):
        raise Unreadable("The archive's table of contents is missing, or too large.")
    file.seek(offset)
    return file.read(size)


def _unpacked_header(file: BinaryIO, streams: _Streams) -> bytes:
    folder = streams.folders[0]
    if folder.size > _LARGEST_HEADER:
        raise Unreadable("The archive's table of contents is too large.")
    compression = _compression(folder)
    if compression is None:
        raise Unreadable("The archive's table of contents is packed in a way that is not known.")
    packed = _read_at(file, 32 + streams.start, streams.packed[0])
    try:
        return b"".join(decompressors.decompressed_blocks(io.BytesIO(packed), compression))
    except (Unreadable, NotMeasured) as error:
        raise Unreadable("The archive's table of contents cannot be unpacked.") from error


def _compression(folder: _Folder) -> Compression | None:
    """Return how the folder's stream is compressed; None where one of its coders is not read here."""
    if not folder.is_chain:
        return None
    unpack = _UNPACK_BY_CODER.get(folder.coders[0][0]) if len(folder.coders) == 1 else None
    unpack = unpack or _liblzma_unpacker(folder)
    return Compression(stream=lambda packed, _: _bounded(unpack(packed), folder.size)) if unpack else None


def _liblzma_unpacker(folder: _Folder) -> _Unpack | None:
    filters = [each for coder, properties in folder.coders if (each := _filter(coder, properties))]
    if len(filters) < len(folder.coders) or filters[-1]["id"] not in (lzma.FILTER_LZMA1, lzma.FILTER_LZMA2):
        return None
    return lambda packed: until_end(packed, lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters))


def _filter(coder: bytes, properties: bytes) -> dict[str, Any] | None:
    """Return one coder as liblzma's filter, with a bounded window; None for a coder that it does not have."""
    if coder == _LZMA2 and properties:
        step = min(properties[0], 40)
        return {"id": lzma.FILTER_LZMA2, "dict_size": max(4096, min(2 | step & 1, 3) << min(step // 2 + 11, 26))}
    if coder == _LZMA and len(properties) >= 5:
        return decompressors.lzma1_filter(properties)
    if coder == _DELTA and properties:
        return {"id": lzma.FILTER_DELTA, "dist": properties[0] + 1}
    return {"id": _BRANCHES[coder]} if coder in _BRANCHES else None


def _bounded(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    left = size
    while left > 0 and (block := next(blocks, None)) is not None:
        if block[:left]:
            yield block[:left]
        left -= len(block)


class _TooMany(Exception):
    """The archive claims more streams or files than are read, and than a profile may allow."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


@dataclass(slots=True)
class _Folder:
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
        return next((size for index, size in enumerate(self.sizes) if index not in self.bound), 0)


@dataclass(slots=True)
class _Streams:
    """Where packed data starts and its sizes; folders; number and unpacked sizes of the files in each folder."""

    start: int = 0
    packed: list[int] = field(default_factory=list)
    folders: list[_Folder] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


class _HeaderReader:
    """Reads values from a header one after the other. Raises Unreadable at its end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._offset = data, 0

    def take(self, size: int) -> bytes:
        if size > len(self._data) - self._offset:
            raise Unreadable("The archive is damaged: its table of contents ends too early.")
        self._offset += size
        return self._data[self._offset - size : self._offset]

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
        """Read a number of items that follow. Raises _TooMany."""
        count = self.number()
        if count > 10 * MOST_ENTRIES:
            raise _TooMany(count)
        return count

    def bits(self, count: int) -> list[bool]:
        data = self.take(-(-count // 8))
        return [bool(data[index // 8] & 0x80 >> index % 8) for index in range(count)]

    def defined(self, count: int) -> list[bool]:
        return [True] * count if self.byte() else self.bits(count)

    def digests(self, count: int) -> list[bool]:
        known = self.defined(count)
        self.take(4 * sum(known))
        return known

    def streams(self) -> _Streams:
        streams = _Streams()
        while kind := self.number():
            if kind == _PACK:
                self._read_pack_info(streams)
            elif kind == _UNPACK:
                self._read_unpack_info(streams)
            elif kind == _SUBSTREAMS:
                self._read_substreams(streams)
            else:
                raise Unreadable("The archive's table of contents has a part that is not known.")
        if not streams.counts:
            streams.sizes, streams.counts = [folder.size for folder in streams.folders], [1] * len(streams.folders)
        return streams

    def _read_pack_info(self, streams: _Streams) -> None:
        streams.start, count = self.number(), self.count()
        while kind := self.number():
            if kind == _SIZE:
                streams.packed = [self.number() for _ in range(count)]
            elif kind == _CRC:
                self.digests(count)

    def _read_unpack_info(self, streams: _Streams) -> None:
        while kind := self.number():
            if kind == _FOLDER:
                count = self.count()
                if self.byte():
                    raise Unreadable("The archive's table of contents is in pieces.")
                streams.folders = [self._folder() for _ in range(count)]
            elif kind == _UNPACK_SIZES:
                for folder in streams.folders:
                    folder.sizes = [self.number() for _ in range(folder.outputs)]
            elif kind == _CRC:
                for folder, known in zip(streams.folders, self.digests(len(streams.folders)), strict=True):
                    folder.has_crc = known

    def _folder(self) -> _Folder:
        folder, inputs = _Folder(), 0
        for _ in range(min(self.number(), 33)):
            flags = self.byte()
            name = self.take(flags & 0xF)
            ins, outs = (self.number(), self.number()) if flags & 0x10 else (1, 1)
            properties = self.take(self.number()) if flags & 0x20 else b""
            folder.coders.append((name, properties))
            inputs, folder.outputs = inputs + min(ins, 33), folder.outputs + min(outs, 33)
        if not folder.coders:
            raise Unreadable("The archive's table of contents is damaged.")
        bindings = max(folder.outputs - 1, 0)
        for number in range(bindings):
            source, target = self.number(), self.number()
            folder.bound.add(target)
            folder.is_chain &= (source, target) == (number, number + 1)
        loose = inputs - bindings
        folder.packs, folder.is_chain = max(loose, 1), folder.is_chain and loose == 1
        for _ in range(loose if loose > 1 else 0):
            self.number()
        return folder

    def _read_substreams(self, streams: _Streams) -> None:
        counts = [1] * len(streams.folders)
        kind = self.number()
        if kind == _NUM_STREAMS:
            counts = [self.count() for _ in streams.folders]
            kind = self.number()
        if sum(counts) > 10 * MOST_ENTRIES:
            raise _TooMany(sum(counts))
        streams.counts = counts
        for folder, count in zip(streams.folders, counts, strict=True):
            sizes = [self.number() for _ in range(count - 1)] if kind == _SIZE else []
            if count:
                streams.sizes += [*sizes, max(folder.size - sum(sizes), 0)]
        if kind == _SIZE:
            kind = self.number()
        unknown = sum(n for folder, n in zip(streams.folders, counts, strict=True) if n != 1 or not folder.has_crc)
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
            part = _HeaderReader(self.take(self.number()))
            if kind == _EMPTY_STREAM:
                is_empty = part.bits(count)
            elif kind == _EMPTY_FILE:
                bits = iter(part.bits(sum(is_empty)))
                is_empty_file = [next(bits) if each else False for each in is_empty]
            elif kind == _NAMES and not part.byte():
                names = part._data[part._offset :].decode("utf-16-le", "replace").split("\0") + [""] * count
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
