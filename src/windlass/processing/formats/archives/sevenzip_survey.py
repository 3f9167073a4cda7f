"""The header of a 7z file: names and sizes as the file claims them. Only the header itself is unpacked, bounded.

After Igor Pavlov's 7zFormat.txt. Numbers in names below are its property ids.
"""

from __future__ import annotations

import io
import lzma
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import archive_types
from windlass.processing.formats.archives.entries import Entry, Survey
from windlass.processing.formats.archives.sevenzip_coders import unpacking_chain
from windlass.processing.formats.archives.sevenzip_header import Reader, Streams, TooMany, read_streams
from windlass.processing.formats.archives.unpacking import Packing, part, unpacked
from windlass.processing.formats.read_limits import MB

if TYPE_CHECKING:
    from windlass.processing.formats.archives.survey import Surveyor

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


def survey(file: BinaryIO, found: Survey, surveyor: Surveyor) -> None:
    """Raises Unreadable, CountingEnds, NotMeasured."""
    file.seek(0)
    if not file.read(6).startswith(archive_types.SEVEN_ZIP_MARK):
        begins = archive_types.archive_behind(file)
        file = part(file, begins, file.seek(0, 2) - begins)
    header = _header(file, found)
    if header is None:
        return
    streams = Streams()
    try:
        while kind := header.number():
            if kind == _STREAMS:
                streams = read_streams(header)
            elif kind == _FILES:
                _add_files(header, streams, found)
                break
            elif kind == _ADDITIONAL:
                read_streams(header)
            else:
                raise Unreadable("The archive's table of contents has a part that is not known.")
    except TooMany as error:
        found.entries, found.cut = max(found.entries, error.count), True
        return
    found.encrypted |= any(coder == _AES for folder in streams.folders for coder, _ in folder.coders)
    found.unpacked = max(found.unpacked, sum(folder.size for folder in streams.folders))
    if surveyor.counts and found.unpacked <= surveyor.meter.most:
        _look_into_folders(file, streams, surveyor)


def _add_files(header: Reader, streams: Streams, found: Survey) -> None:
    for entry in _files(header, streams):
        if not found.add(entry):
            return


def _look_into_folders(file: BinaryIO, streams: Streams, surveyor: Surveyor) -> None:
    """Look for archives in what can be unpacked here; a 7z reader unpacks no more than the sizes that it is told."""
    place, sizes, packs = 32 + streams.start, iter(streams.sizes), iter(streams.packed)
    for folder, count in zip(streams.folders, streams.counts, strict=False):
        packed = sum(next(packs, 0) for _ in range(folder.packs))
        chain = unpacking_chain(folder)
        own = [next(sizes, 0) for _ in range(count)]
        if chain is not None:
            content, _ = unpacked(part(file, place, packed), Packing(stream=chain), surveyor.meter)
            begins = 0
            for size in own:
                if size:
                    surveyor.look_inside(part(content, begins, size))
                begins += size
        place += packed


def _header(file: BinaryIO, found: Survey) -> Reader | None:
    """The table of contents, unpacked if need be; None where a password is needed to read it, or it is empty."""
    file.seek(0)
    start = file.read(32)
    if len(start) < 32 or not start.startswith(archive_types.SEVEN_ZIP_MARK):
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
            found.encrypted = True
            found.unmeasured = "its table of contents is locked with a password"
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
    if folder.size > _LARGEST_HEADER:
        raise Unreadable("The archive's table of contents is too large.")
    chain = unpacking_chain(folder)
    if chain is None:
        raise Unreadable("The archive's table of contents is packed in a way that is not known.")
    packed = _piece(file, 32 + streams.start, streams.packed[0])
    try:
        return b"".join(chain(io.BytesIO(packed)))
    except (lzma.LZMAError, EOFError, OSError, ValueError, struct.error, MemoryError) as error:
        raise Unreadable("The archive's table of contents cannot be unpacked.") from error


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
