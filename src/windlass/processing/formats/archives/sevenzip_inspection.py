"""Inspection of a 7z file: names and sizes as its header claims them; contents are unpacked to find archives in them.

Programs unpack a stream to the size that the header gives, and no further. Coders that neither liblzma nor a library of
ours has (PPMd, BCJ2, AES) are not read.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import archive_types
from windlass.processing.formats.archives.decompressors import (
    OUTPUT_SIZE,
    Compression,
    NotMeasured,
    decompressed_blocks,
    deflate64,
    lzma1_filter,
    raw_deflate,
    until_end,
)
from windlass.processing.formats.archives.inspection import Inspection, Inspector
from windlass.processing.formats.archives.sevenzip_header import Folder, HeaderReader, Streams, TooMany
from windlass.processing.formats.archives.unpacking import FilePart, UnpackedFile
from windlass.processing.formats.read_limits import MB

Unpack = Callable[[BinaryIO], Iterator[bytes]]

_LARGEST_HEADER = 16 * MB
_HEADER, _ADDITIONAL, _STREAMS, _FILES, _ENCODED_HEADER = 1, 3, 4, 5, 23
_AES = bytes.fromhex("06f10701")

_LZMA, _LZMA2, _DELTA = bytes.fromhex("030101"), b"\x21", b"\x03"
#: Coders that liblzma does not have: copy, Deflate, Deflate64, bzip2.
_UNPACK_BY_CODER: dict[bytes, Unpack] = {
    b"\x00": lambda packed: iter(lambda: packed.read(OUTPUT_SIZE), b""),
    bytes.fromhex("040108"): lambda packed: until_end(packed, raw_deflate()),
    bytes.fromhex("040109"): deflate64,
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


def inspect(file: BinaryIO, found: Inspection, inspector: Inspector) -> None:
    """Fill in the inspection. Raises Unreadable, LimitPassed, NotMeasured."""
    file.seek(0)
    if not file.read(6).startswith(archive_types.SEVEN_ZIP_MARK):
        start = archive_types.embedded_archive_offset(file)
        file = FilePart(file, start, file.seek(0, 2) - start)
    header = _header(file, found)
    if header is None:
        return
    streams = Streams()
    try:
        while kind := header.number():
            if kind == _STREAMS:
                streams = header.streams()
            elif kind == _FILES:
                for entry in header.files(streams.sizes):
                    if not found.add(entry):
                        break
                break
            elif kind == _ADDITIONAL:
                header.streams()
            else:
                raise Unreadable("The archive's table of contents has a part that is not known.")
    except TooMany as error:
        found.entries, found.cut = max(found.entries, error.count), True
        return
    found.encrypted |= any(coder == _AES for folder in streams.folders for coder, _ in folder.coders)
    found.unpacked = max(found.unpacked, sum(folder.size for folder in streams.folders))
    if inspector.measures and found.unpacked <= inspector.meter.limit:
        _inspect_folders(file, streams, inspector)


def _inspect_folders(file: BinaryIO, streams: Streams, inspector: Inspector) -> None:
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


def _header(file: BinaryIO, found: Inspection) -> HeaderReader | None:
    """Read the header, which may be compressed; None where it is encrypted or empty."""
    file.seek(0)
    start = file.read(32)
    if len(start) < 32 or not start.startswith(archive_types.SEVEN_ZIP_MARK):
        raise Unreadable("The archive does not begin as a 7z file does.")
    offset, size, _ = struct.unpack_from("<QQI", start, 12)
    if not size:
        return None
    reader = HeaderReader(_read_at(file, 32 + offset, size))
    kind = reader.number()
    if kind == _ENCODED_HEADER:
        streams = reader.streams()
        if not streams.folders or not streams.packed:
            raise Unreadable("The archive's table of contents is damaged.")
        if any(coder == _AES for coder, _ in streams.folders[0].coders):
            found.encrypted = True
            found.unmeasured = "its table of contents is locked with a password"
            return None
        reader = HeaderReader(_unpacked_header(file, streams))
        kind = reader.number()
    if kind != _HEADER:
        raise Unreadable("The archive's table of contents is damaged, or packed more than once.")
    return reader


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    if size > _LARGEST_HEADER or offset > file.seek(0, 2):
        raise Unreadable("The archive's table of contents is missing, or too large.")
    file.seek(offset)
    return file.read(size)


def _unpacked_header(file: BinaryIO, streams: Streams) -> bytes:
    folder = streams.folders[0]
    if folder.size > _LARGEST_HEADER:
        raise Unreadable("The archive's table of contents is too large.")
    compression = _compression(folder)
    if compression is None:
        raise Unreadable("The archive's table of contents is packed in a way that is not known.")
    packed = _read_at(file, 32 + streams.start, streams.packed[0])
    try:
        return b"".join(decompressed_blocks(io.BytesIO(packed), compression))
    except (Unreadable, NotMeasured) as error:
        raise Unreadable("The archive's table of contents cannot be unpacked.") from error


def _compression(folder: Folder) -> Compression | None:
    """Return how the folder's stream is compressed; None where one of its coders is not read here."""
    if not folder.is_chain:
        return None
    unpack = _UNPACK_BY_CODER.get(folder.coders[0][0]) if len(folder.coders) == 1 else None
    unpack = unpack or _liblzma_unpacker(folder)
    return Compression(stream=lambda packed, _: _bounded(unpack(packed), folder.size)) if unpack else None


def _liblzma_unpacker(folder: Folder) -> Unpack | None:
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
        return lzma1_filter(properties)
    if coder == _DELTA and properties:
        return {"id": lzma.FILTER_DELTA, "dist": properties[0] + 1}
    return {"id": _BRANCHES[coder]} if coder in _BRANCHES else None


def _bounded(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    left = size
    while left > 0 and (block := next(blocks, None)) is not None:
        if block[:left]:
            yield block[:left]
        left -= len(block)
