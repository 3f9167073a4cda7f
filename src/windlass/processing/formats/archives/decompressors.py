"""Decompressors of every format and method that archives use, with one interface and bounded memory."""

from __future__ import annotations

import bz2
import lzma
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, cast

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import archive_types
from windlass.processing.formats.read_limits import MB

#: Bytes of the largest window that a file may make its decompressor allocate.
WINDOW = 128 * MB
#: Compressed bytes read, and uncompressed bytes produced, at a time.
READ_SIZE, OUTPUT_SIZE = 64 * 1024, 256 * 1024
#: An LZ4 block of 8 MiB that does not compress.
_LARGEST_LZ4_BLOCK = 8 * MB + 8 * MB // 255 + 16
_LZW_CLEAR = 256
#: Bytes that the strings of one LZW table may take. Text takes a hundredth of that; endless repetition takes more.
_LARGEST_LZW_TABLE = 256 * MB


class NotMeasured(Exception):
    """What is in the file cannot be measured. The message is part of a sentence for the file's owner."""


class WindowTooLarge(Unreadable):
    """It is compressed so that readers refuse it unless they are told to use more memory."""


class Decompressor(Protocol):
    """The interface of ``bz2.BZ2Decompressor``."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Compression:
    """How a format or a method compresses: in members, each with a decompressor of its own, or as one ``stream``.

    ``marks``: what each further member begins with; other bytes are trailing data, which readers ignore. Zeros between
    members are padding. ``skippable``: there may be frames that readers skip. A ``stream`` takes the file, and a
    function to call where trailing data begins.
    """

    make: Callable[[], Decompressor] | None = None
    marks: tuple[bytes, ...] = ()
    skippable: bool = False
    stream: Callable[[BinaryIO, Callable[[], None]], Iterator[bytes]] | None = None


def prepare() -> None:
    """Import the libraries that are loaded at first use."""
    for make in (_zstd, _lz4_frame, raw_deflate):
        make()


def decompressed_blocks(
    packed: BinaryIO, compression: Compression, note_trailing: Callable[[], None] = lambda: None
) -> Iterator[bytes]:
    """Yield the uncompressed bytes from the file's position on; consecutive members are one stream.

    ``note_trailing`` is called where bytes follow that are no member. Raises Unreadable for a damaged file, and
    NotMeasured where the decompressor needs too much memory.
    """
    try:
        if compression.stream:
            yield from compression.stream(packed, note_trailing)
        else:
            yield from _members(packed, compression, note_trailing)
    except MemoryError as error:
        raise NotMeasured("it needs more memory to be unpacked than is given to it") from error
    except _errors() as error:
        if "requires too much memory" in str(error):
            raise WindowTooLarge("it needs more memory to be unpacked than readers take") from error
        if "emory usage limit" in str(error):
            raise NotMeasured("it needs more memory to be unpacked than is given to it") from error
        raise Unreadable("The archive is damaged: it can be unpacked in part only.") from error


def raw_deflate() -> Decompressor:
    return _Zlib(-15)


def lzma1_filter(properties: bytes) -> dict[str, Any]:
    """liblzma's filter for the five bytes of properties that 7z and zip give LZMA; the window is bounded."""
    first, window = properties[0], struct.unpack_from("<I", properties, 1)[0]
    coefficients = {"lc": first % 9, "lp": first // 9 % 5, "pb": first // 45}
    return {"id": lzma.FILTER_LZMA1, **coefficients, "dict_size": max(4096, min(window, WINDOW))}


def until_end(packed: BinaryIO, inner: Decompressor) -> Iterator[bytes]:
    """Decompress to the end mark, or to the end of the input: raw LZMA may have no end mark."""
    while not inner.eof:
        data = packed.read(READ_SIZE) if inner.needs_input else b""
        if inner.needs_input and not data:
            return
        yield inner.decompress(data, OUTPUT_SIZE)


def deflate64(packed: BinaryIO) -> Iterator[bytes]:
    """Deflate64, as Windows compresses files above 2 GiB. Its decompressor does not bound its output: input of 2 KiB
    at a time makes 60 MB at most."""
    from inflate64 import Inflater

    inner = Inflater()
    while not inner.eof:
        data = packed.read(2048)
        if not data:
            raise EOFError("its end is missing")
        yield inner.inflate(data)


class _Zlib:
    """zlib's object with the interface of the others, from zlib-ng, which is several times as fast."""

    def __init__(self, window: int) -> None:
        from zlib_ng import zlib_ng

        self._inner = zlib_ng.decompressobj(window)
        self._errors = cast("type[Exception]", zlib_ng.error)
        self._has_more = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._has_more

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        try:
            output = self._inner.decompress(self._inner.unconsumed_tail + data, max(max_length, 0))
        except self._errors as error:
            raise ValueError(str(error)) from error
        self._has_more = len(output) == max_length  # though it may have consumed all of its input
        return output


class _Lzip:
    """A member of lzip: raw LZMA behind a header of 6 bytes, with a trailer of 20 bytes."""

    def __init__(self) -> None:
        self._inner: lzma.LZMADecompressor | None = None
        self._head = b""

    @property
    def eof(self) -> bool:
        return self._inner is not None and self._inner.eof and len(self._inner.unused_data) >= 20

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data[20:] if self._inner else b""

    @property
    def needs_input(self) -> bool:
        return self._inner is None or self._inner.needs_input

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if self._inner is None:
            self._head += data
            if len(self._head) < 6:
                return b""
            coded = self._head[5]
            window = (1 << (coded & 31)) - ((1 << (coded & 31)) // 16) * (coded >> 5)
            size = min(max(window, 4096), WINDOW)
            filters = [{"id": lzma.FILTER_LZMA1, "dict_size": size, "lc": 3, "lp": 0, "pb": 2}]
            self._inner, data = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters), self._head[6:]
        if self._inner.eof:
            raise EOFError("its end is missing")
        return self._inner.decompress(data, max_length)


def _zstd() -> Decompressor:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 27})


def _lz4_frame() -> Decompressor:
    from lz4.frame import LZ4FrameDecompressor

    return cast("Decompressor", LZ4FrameDecompressor())  # type: ignore[no-untyped-call]


def _lz4_blocks(packed: BinaryIO, note_trailing: Callable[[], None]) -> Iterator[bytes]:
    """LZ4 frames, or the older format of kernels: a mark, then blocks that unpack to 8 MiB at most."""
    if packed.read(4) != archive_types.LZ4_OLD_MARK:
        packed.seek(-4, 1)
        yield from _members(packed, _LZ4_FRAMES, note_trailing)
        return
    from lz4 import block

    untyped = cast("Any", block)
    while len(head := packed.read(4)) == 4:
        size = struct.unpack("<I", head)[0]
        if head == archive_types.LZ4_OLD_MARK:
            continue
        if size > _LARGEST_LZ4_BLOCK:
            note_trailing()
            return
        data = packed.read(size)
        if not data:  # the size of the whole, behind the last block
            return
        try:
            yield untyped.decompress(data, uncompressed_size=8 * MB)
        except untyped.LZ4BlockError as error:
            raise ValueError(str(error)) from error


def _zip_lzma(packed: BinaryIO) -> Iterator[bytes]:
    """LZMA behind a header of zip's own (APPNOTE 5.8.8)."""
    head = packed.read(9)
    if len(head) < 9:
        raise ValueError("too short")
    yield from until_end(packed, lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[lzma1_filter(head[4:])]))


def _lzw(packed: BinaryIO) -> Iterator[bytes]:
    """``compress`` (``.Z``) 4.2.4: codes of 9 to ``bits`` bits, least significant bit first, in groups of eight; a
    change of width, and a clear, end a group early. There is no mark at the end: it ends with the file.

    Raises ValueError for a damaged file, MemoryError where its table grows too large.
    """
    head = packed.read(3)
    bits, has_clear = head[2] & 31 if len(head) == 3 else 0, len(head) == 3 and bool(head[2] & 128)
    if not 9 <= bits <= 16:
        raise ValueError("not a compressed file")
    output = bytearray()
    for piece in _lzw_strings(packed, bits, has_clear=has_clear):
        output += piece
        if len(output) >= OUTPUT_SIZE:
            yield bytes(output)
            output.clear()
    yield bytes(output)


def _lzw_strings(packed: BinaryIO, bits: int, *, has_clear: bool) -> Iterator[bytes]:
    table, width, previous, table_size = _lzw_table(has_clear), 9, b"", 0
    while group := packed.read(width):
        value, mask = int.from_bytes(group, "little"), (1 << width) - 1
        for _ in range(8 * len(group) // width):
            code, value = value & mask, value >> width
            if code == _LZW_CLEAR and has_clear:
                table, width, previous, table_size = _lzw_table(has_clear), 9, b"", 0
                break
            string = _lzw_string(table, code, previous)
            yield string
            if previous and len(table) < 1 << bits:
                table.append(previous + string[:1])
                table_size += len(previous)
                if table_size > _LARGEST_LZW_TABLE:
                    raise MemoryError
            previous = string
            if len(table) > mask and width < bits:
                width += 1
                break


def _lzw_table(has_clear: bool) -> list[bytes]:
    return [bytes([value]) for value in range(256)] + [b""] * has_clear


def _lzw_string(table: list[bytes], code: int, previous: bytes) -> bytes:
    if code < len(table) and (code < _LZW_CLEAR or table[code]):
        return table[code]
    if code == len(table) and previous:
        return previous + previous[:1]
    raise ValueError("a code that is not in the table")


def _members(packed: BinaryIO, compression: Compression, note_trailing: Callable[[], None]) -> Iterator[bytes]:
    data = packed.read(READ_SIZE)
    data = _skip_frames(packed, data) if compression.skippable else data
    while data and compression.make:
        inner = compression.make()
        while not inner.eof:
            if inner.needs_input and not data:
                data = packed.read(READ_SIZE)
                if not data:
                    raise EOFError("its end is missing")
            block, data = inner.decompress(data, OUTPUT_SIZE), b""
            if block:
                yield block
        data = _next_member(packed, (inner.unused_data or b"") + data, compression)
        if data and not data.startswith(compression.marks):
            note_trailing()
            return


def _next_member(packed: BinaryIO, rest: bytes, compression: Compression) -> bytes:
    """Return what follows the padding: the next member, or trailing data."""
    while not rest.strip(b"\0"):
        rest = packed.read(READ_SIZE)
        if not rest:
            return b""
    rest = rest.lstrip(b"\0")
    if len(rest) < 8:
        rest += packed.read(READ_SIZE)
    return _skip_frames(packed, rest) if compression.skippable else rest


def _skip_frames(packed: BinaryIO, data: bytes) -> bytes:
    while data[1:4] == archive_types.SKIPPABLE and data[0] & 0xF0 == 0x50 and len(data) >= 8:
        size = 8 + struct.unpack_from("<I", data, 4)[0]
        if size > len(data):
            packed.seek(size - len(data), 1)
        data = data[size:]
        if len(data) < 8:
            data += packed.read(READ_SIZE)
    return data


def _errors() -> tuple[type[Exception], ...]:
    """What decompressors raise for damaged data. Nothing is imported here: the sandbox could not."""
    zstd = sys.modules.get("compression.zstd") or sys.modules.get("backports.zstd")
    of_zstd = (cast("type[Exception]", cast("Any", zstd).ZstdError),) if zstd else ()
    return (OSError, EOFError, ValueError, RuntimeError, lzma.LZMAError, struct.error, *of_zstd)


_LZ4_FRAMES = Compression(_lz4_frame, (b"\x04\x22\x4d\x18",), skippable=True)

#: Type of a file that is compressed as a whole -> how.
COMPRESSIONS: Mapping[str, Compression] = {
    archive_types.GZIP: Compression(lambda: _Zlib(31), (b"\x1f\x8b",)),
    archive_types.BZIP2: Compression(bz2.BZ2Decompressor, (b"BZh",)),
    archive_types.XZ: Compression(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, WINDOW), (b"\xfd7zXZ\x00",)),
    archive_types.LZMA: Compression(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, WINDOW)),
    archive_types.LZIP: Compression(_Lzip, (b"LZIP",)),
    archive_types.ZSTD: Compression(_zstd, (b"\x28\xb5\x2f\xfd",), skippable=True),
    archive_types.LZ4: Compression(stream=_lz4_blocks),
    archive_types.COMPRESS: Compression(stream=lambda packed, _: _lzw(packed)),
}

#: Method of a zip entry (APPNOTE 4.4.5) -> how, for those that are read.
ZIP_METHODS: Mapping[int, Compression] = {
    8: Compression(raw_deflate),
    9: Compression(stream=lambda packed, _: deflate64(packed)),
    12: Compression(bz2.BZ2Decompressor),
    14: Compression(stream=lambda packed, _: _zip_lzma(packed)),
    20: Compression(_zstd),
    93: Compression(_zstd),
    95: COMPRESSIONS[archive_types.XZ],
}
