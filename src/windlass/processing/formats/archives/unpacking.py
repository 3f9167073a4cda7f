"""What packed bytes unpack to, as a file that is never held whole: counted as it is made, up to a limit."""

from __future__ import annotations

import bz2
import lzma
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol, cast

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import archive_types, lzw
from windlass.processing.formats.read_limits import MB, Clock

#: How much memory a file may make its decompressor take for its window.
WINDOW = 128 * MB
#: Packed bytes read, and unpacked bytes made, at a time.
READ, MADE = 64 * 1024, 256 * 1024
#: Unpacked bytes that can be gone back to without unpacking again: the end of a zip file is looked for in them.
KEPT = MB
#: No file reaches so far, whatever it says.
FARTHEST = 2**62
#: Unpacking again, to go back, may cost so many times what may be unpacked.
AGAIN = 4


class Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class CountingEnds(Exception):
    """Enough has been unpacked to know that the limit is passed."""


class WindowTooLarge(Unreadable):
    """It is packed so that readers refuse it unless they are told to take more memory."""


class NotMeasured(Exception):
    """What is in the file cannot be measured. The message is part of a sentence for the file's owner."""


@dataclass(slots=True)
class Meter:
    """Counts what is unpacked of one file, at every depth. ``most``: bytes after which counting ends. ``is_asked``:
    whether a rule needs to know what the entries of an archive really unpack to. ``memory``: bytes of archives in
    archives that may be held to be read in any order."""

    most: int
    is_asked: bool
    clock: Clock
    counted: int = 0
    worked: int = 0
    entries: int = 0
    memory: int = 256 * MB
    report: Callable[[], None] = field(default=lambda: None)

    def add(self, size: int, fresh: int) -> None:
        """Raises CountingEnds, NotMeasured."""
        self.counted, self.worked = self.counted + fresh, self.worked + size
        if self.counted > self.most:
            raise CountingEnds
        if self.clock.over() or self.worked > AGAIN * self.most:
            raise NotMeasured("unpacking it took too long")
        self.report()


class _Zlib:
    """zlib's object in the shape of the others, by zlib-ng, which is several times as fast."""

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
            made = self._inner.decompress(self._inner.unconsumed_tail + data, max(max_length, 0))
            self._has_more = len(made) == max_length  # though it may have taken all of its input
            return made
        except self._errors as error:
            raise ValueError(str(error)) from error


class _Zstd:
    """Of the standard library from Python 3.14 on; before that its backport."""

    def __init__(self) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd

        self._inner = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 27})
        self._errors = zstd.ZstdError

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return self._inner.needs_input

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        try:
            return self._inner.decompress(data, max_length)
        except self._errors as error:
            raise ValueError(str(error)) from error


class _Lzip:
    """A member of lzip: LZMA without its own end of the header, and with a trailer of 20 bytes."""

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
            filters = [
                {"id": lzma.FILTER_LZMA1, "dict_size": min(max(window, 4096), WINDOW), "lc": 3, "lp": 0, "pb": 2}
            ]
            self._inner, data = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters), self._head[6:]
        if self._inner.eof:
            raise EOFError("its end is missing")
        return self._inner.decompress(data, max_length)


def zstd() -> Decompressor:
    return _Zstd()


def _lz4_blocks(packed: BinaryIO, note_trailing: Callable[[], None]) -> Iterator[bytes]:
    """Frames; or the older form, which kernels are packed by: blocks that unpack to 8 MiB at most, behind a mark."""
    if packed.read(4) != archive_types.LZ4_OLD_MARK:
        packed.seek(-4, 1)
        yield from _members(packed, _LZ4_FRAMES, note_trailing)
        return
    from lz4 import block

    untyped = cast("Any", block)
    unpack, errors = untyped.decompress, untyped.LZ4BlockError
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
            yield unpack(data, uncompressed_size=8 * MB)
        except errors as error:
            raise ValueError(str(error)) from error


def _lz4() -> Decompressor:
    from lz4.frame import LZ4FrameDecompressor

    make = cast("Callable[[], Decompressor]", LZ4FrameDecompressor)
    return make()


def raw_deflate() -> Decompressor:
    return _Zlib(-15)


def deflate64(packed: BinaryIO) -> Iterator[bytes]:
    """As Windows packs files above 2 GiB. Its decompressor has no bound of its own: it is fed little at a time, which
    makes 60 MB at most."""
    from inflate64 import Inflater

    inner = Inflater()
    while not inner.eof:
        fed = packed.read(2048)
        if not fed:
            raise EOFError("its end is missing")
        yield inner.inflate(fed)


@dataclass(frozen=True, slots=True)
class Packing:
    """How a format packs. ``marks``: what each further member begins with; bytes that do not are behind the end, and
    readers pass over them. Zeros between members are padding. ``stream``: all of it, for what has no members."""

    make: Callable[[], Decompressor] | None = None
    marks: tuple[bytes, ...] = ()
    skippable: bool = False
    stream: Callable[[BinaryIO], Iterator[bytes]] | None = None
    noting_stream: Callable[[BinaryIO, Callable[[], None]], Iterator[bytes]] | None = None


_LZ4_FRAMES = Packing(_lz4, (b"\x04\x22\x4d\x18",), skippable=True)
#: A block of 8 MiB that cannot be packed.
_LARGEST_LZ4_BLOCK = 8 * MB + 8 * MB // 255 + 16

#: Type of a file that is packed as a whole -> how.
PACKINGS: Mapping[str, Packing] = {
    archive_types.GZIP: Packing(lambda: _Zlib(31), (b"\x1f\x8b",)),
    archive_types.BZIP2: Packing(bz2.BZ2Decompressor, (b"BZh",)),
    archive_types.XZ: Packing(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, WINDOW), (b"\xfd7zXZ\x00",)),
    archive_types.LZMA: Packing(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, WINDOW)),
    archive_types.LZIP: Packing(_Lzip, (b"LZIP",)),
    archive_types.ZSTD: Packing(zstd, (b"\x28\xb5\x2f\xfd",), skippable=True),
    archive_types.LZ4: Packing(noting_stream=_lz4_blocks),
    archive_types.COMPRESS: Packing(stream=lzw.blocks),
}

_ERRORS = (OSError, EOFError, ValueError, RuntimeError, lzma.LZMAError, struct.error)


def prepare() -> None:
    """Load what is loaded at first use."""
    for make in (zstd, _lz4, raw_deflate):
        make()


def blocks(packed: BinaryIO, packing: Packing, note_trailing: Callable[[], None]) -> Iterator[bytes]:
    """What the file unpacks to from where it stands, several members one after the other being one stream.

    ``note_trailing`` is called where bytes follow that are no member. Raises Unreadable for a damaged one, NotMeasured
    where it asks for too much memory.
    """
    try:
        if packing.noting_stream:
            yield from packing.noting_stream(packed, note_trailing)
        else:
            yield from packing.stream(packed) if packing.stream else _members(packed, packing, note_trailing)
    except MemoryError as error:
        raise NotMeasured("it needs more memory to be unpacked than is given to it") from error
    except _ERRORS as error:
        if "requires too much memory" in str(error):
            raise WindowTooLarge("it needs more memory to be unpacked than readers take") from error
        if "emory usage limit" in str(error):
            raise NotMeasured("it needs more memory to be unpacked than is given to it") from error
        raise Unreadable("The archive is damaged: it can be unpacked in part only.") from error


def _members(packed: BinaryIO, packing: Packing, note_trailing: Callable[[], None]) -> Iterator[bytes]:
    fed = _past_skippable(packed, packed.read(READ)) if packing.skippable else packed.read(READ)
    while fed and packing.make:
        inner = packing.make()
        while not inner.eof:
            if inner.needs_input and not fed:
                fed = packed.read(READ)
                if not fed:
                    raise EOFError("its end is missing")
            block, fed = inner.decompress(fed, MADE), b""
            if block:
                yield block
        fed = _next_member(packed, (inner.unused_data or b"") + fed, packing)
        if fed and not fed.startswith(packing.marks):
            note_trailing()
            return


def _next_member(packed: BinaryIO, rest: bytes, packing: Packing) -> bytes:
    """What follows but padding: the next member, or what is none."""
    while not rest.strip(b"\0"):
        rest = packed.read(READ)
        if not rest:
            return b""
    rest = rest.lstrip(b"\0")
    if len(rest) < 8:
        rest += packed.read(READ)
    return _past_skippable(packed, rest) if packing.skippable else rest


def _past_skippable(packed: BinaryIO, rest: bytes) -> bytes:
    while rest[1:4] == archive_types.SKIPPABLE and rest[0] & 0xF0 == 0x50 and len(rest) >= 8:
        size = 8 + struct.unpack_from("<I", rest, 4)[0]
        if size > len(rest):
            packed.seek(size - len(rest), 1)
        rest = rest[size:]
        if len(rest) < 8:
            rest += packed.read(READ)
    return rest


class Part:
    """Some bytes of a file as a file of their own."""

    def __init__(self, file: BinaryIO, begins: int, size: int) -> None:
        self._file, self._begins, self._size, self._place = file, begins, max(size, 0), 0
        self.goes_back_slowly = getattr(file, "goes_back_slowly", False)

    def read(self, size: int = -1) -> bytes:
        left = max(self._size - self._place, 0)
        self._file.seek(min(self._begins + self._place, FARTHEST))
        found = self._file.read(left if size < 0 else min(size, left))
        self._place += len(found)
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = max(0, offset + (0, self._place, self._size)[whence])
        return self._place

    def tell(self) -> int:
        return self._place


def part(file: BinaryIO, begins: int, size: int) -> BinaryIO:
    return cast("BinaryIO", Part(file, begins, size))


class Unpacked:
    """The unpacked bytes as a file. Going back further than ``KEPT`` bytes unpacks again from the start.

    Every read may raise Unreadable, CountingEnds, NotMeasured.
    """

    goes_back_slowly = True

    def __init__(self, packed: BinaryIO, packing: Packing, meter: Meter) -> None:
        self._packed, self._packing, self._meter = packed, packing, meter
        self._place = self._reached = 0
        self._size: int | None = None
        self.has_trailing = False
        self._failure: Unreadable | None = None
        self._restart()

    @property
    def counted(self) -> int:
        """Bytes that came out so far."""
        return self._reached

    def read(self, size: int = -1) -> bytes:
        pieces, left = [], size if size >= 0 else self.seek(0, 2) - self.tell()
        while left > 0 and (piece := self._at(self._place)[:left]):
            pieces.append(piece)
            self._place += len(piece)
            left -= len(piece)
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._place, self._length() if whence == 2 else 0)[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def _length(self) -> int:
        while self._size is None:
            self._more()
        return self._size

    def _at(self, place: int) -> bytes:
        """Unpacked bytes from this place on, as many as there are at hand; none at the end."""
        if place < (self._kept[0][0] if self._kept else self._made):
            self._restart()
        while self._made <= place:
            if not self._more():
                return b""
        begins, block = next(each for each in reversed(self._kept) if each[0] <= place)
        return block[place - begins :]

    def _more(self) -> bool:
        block = self._next_block()
        if not block:
            self._size = self._made
            return False
        self._kept.append((self._made, block))
        self._made += len(block)
        fresh = max(self._made - self._reached, 0)
        self._reached += fresh
        while self._made - self._kept[0][0] - len(self._kept[0][1]) > KEPT:
            self._kept.popleft()
        self._meter.add(len(block), fresh)
        return True

    def _next_block(self) -> bytes:
        """Short blocks are joined: there may be a million of one byte. What came before damage is given first."""
        if self._failure is not None:
            raise self._failure
        pieces: list[bytes] = []
        size = 0
        try:
            while size < READ and (block := next(filter(None, self._blocks), b"")):
                pieces.append(block)
                size += len(block)
        except Unreadable as error:
            if not pieces:
                raise
            self._failure = error
        return b"".join(pieces)

    def _note_trailing(self) -> None:
        self.has_trailing = True

    def _restart(self) -> None:
        self._packed.seek(0)
        self._failure = None
        self._blocks, self._made = blocks(self._packed, self._packing, self._note_trailing), 0
        self._kept: deque[tuple[int, bytes]] = deque()


def unpacked(packed: BinaryIO, packing: Packing, meter: Meter) -> tuple[BinaryIO, Unpacked]:
    """The unpacked bytes, and what counts them."""
    made = Unpacked(packed, packing, meter)
    return cast("BinaryIO", made), made
