"""The header of a 7z file: names and sizes as the file claims them. Only the header itself is unpacked, bounded.

After Igor Pavlov's 7zFormat.txt. Numbers in names below are its property ids.
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Iterator
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.bounds import MB
from windlass.processing.formats.entries import Entry, Survey
from windlass.processing.formats.sevenzip_streams import Reader, Streams, read_streams

_LARGEST_HEADER = 16 * MB
_HEADER, _ADDITIONAL, _STREAMS, _FILES, _EMPTY, _EMPTY_FILE, _NAMES, _ATTRIBUTES, _ENCODED = (
    1,
    3,
    4,
    5,
    14,
    15,
    17,
    21,
    23,
)
_AES = bytes.fromhex("06f10701")
_FILTERS = {bytes.fromhex("030101"): lzma.FILTER_LZMA1, b"\x21": lzma.FILTER_LZMA2}


def survey(file: BinaryIO) -> Survey:
    """Raises Unreadable."""
    seen = Survey(packed=file.seek(0, 2), sizes="declared")
    header = _header(file, seen)
    if header is None:
        return seen
    streams = Streams()
    while kind := header.number():
        if kind == _STREAMS:
            streams = read_streams(header)
        elif kind == _FILES:
            for entry in _files(header, streams):
                if not seen.add(entry):
                    break
            break
        elif kind == _ADDITIONAL:
            read_streams(header)
        else:
            raise Unreadable("The archive's table of contents has a part that is not known.")
    seen.encrypted |= any(coder == _AES for folder in streams.folders for coder, _ in folder.coders)
    return seen


def _header(file: BinaryIO, seen: Survey) -> Reader | None:
    """The table of contents, unpacked if need be; None where a password is needed to read it, or it is empty."""
    file.seek(0)
    start = file.read(32)
    if len(start) < 32 or not start.startswith(b"7z\xbc\xaf\x27\x1c"):
        raise Unreadable("The archive does not begin as a 7z file does.")
    offset, size, _ = struct.unpack_from("<QQI", start, 12)
    if not size:
        return None
    reader = Reader(_piece(file, 32 + offset, size))
    kind = reader.number()
    if kind == _ENCODED:
        streams = read_streams(reader)
        if not streams.folders or not streams.packed:
            raise Unreadable("The archive's table of contents is damaged.")
        if any(coder == _AES for coder, _ in streams.folders[0].coders):
            seen.encrypted = True
            return None
        reader = Reader(_unpacked(file, streams))
        kind = reader.number()
    if kind != _HEADER:
        raise Unreadable("The archive's table of contents is damaged, or packed more than once.")
    return reader


def _piece(file: BinaryIO, place: int, size: int) -> bytes:
    if size > _LARGEST_HEADER or place > file.seek(0, 2):
        raise Unreadable("The archive's table of contents is missing, or too large.")
    file.seek(place)
    return file.read(size)


def _unpacked(file: BinaryIO, streams: Streams) -> bytes:
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


def _files(reader: Reader, streams: Streams) -> Iterator[Entry]:
    """Names with the sizes of the streams, which only files that are not empty have."""
    count = reader.count()
    empty, hollow, names = [False] * count, [False] * count, [""] * count
    attributes = [0] * count
    while kind := reader.number():
        part = Reader(reader.take(reader.number()))
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


def _names(part: Reader, count: int) -> list[str]:
    found = part.rest().decode("utf-16-le", "replace").split("\0")
    return (found + [""] * count)[:count]


def _attributes(part: Reader, count: int) -> list[int]:
    known = part.defined(count)
    if part.byte():
        return [0] * count
    return [struct.unpack("<I", part.take(4))[0] if each else 0 for each in known]
