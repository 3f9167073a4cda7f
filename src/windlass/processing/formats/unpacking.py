"""What a compressed file unpacks to, counted by unpacking it: nothing is kept, and it ends at a ceiling."""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import BinaryIO, Protocol

from windlass.processing.contract import Unreadable
from windlass.processing.formats.bounds import BLOCK, MB, Clock

#: How much memory a file may make its decompressor take for its window.
_WINDOW = 128 * MB


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """zlib's object in the shape of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max(max_length, 0))


def _zstd() -> _Decompressor:
    """Of the standard library from Python 3.14 on; before that its backport."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 27})


#: Type of the file -> its decompressor.
_KINDS: Mapping[str, Callable[[], _Decompressor]] = {
    "application/gzip": _Gzip,
    "application/x-bzip2": bz2.BZ2Decompressor,
    "application/x-xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _WINDOW),
    "application/x-lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, _WINDOW),
    "application/zstd": _zstd,
}
KINDS = frozenset(_KINDS)


def prepare() -> None:
    """Load what is loaded at first use."""
    _zstd()


class Unpacking:
    """A forward reader over the unpacked bytes, several members one after the other being one stream.

    Ends early, and ``cut`` is set, after ``ceiling`` bytes or when the clock is over. Raises Unreadable.
    """

    def __init__(self, file: BinaryIO, mime_type: str, ceiling: int, clock: Clock) -> None:
        self._file, self._make, self._ceiling, self._clock = file, _KINDS[mime_type], ceiling, clock
        self._inner: _Decompressor = self._make()
        self._fed = b""
        self._ready = b""
        self.count = 0
        self.cut = False
        file.seek(0)

    def read(self, size: int) -> bytes:
        pieces, have = [], 0
        while have < size and (block := self._ready or self._more()):
            piece, self._ready = block[: size - have], block[size - have :]
            pieces.append(piece)
            have += len(piece)
        return b"".join(pieces)

    def skip(self, size: int) -> int:
        left = size
        while left > 0 and (block := self._ready or self._more()):
            self._ready = block[left:]
            left -= min(left, len(block))
        return size - left

    def peek(self, size: int) -> bytes:
        head = self.read(size)
        self._ready = head + self._ready
        return head

    def _more(self) -> bytes:
        """The next unpacked bytes, b"" at the end."""
        if self.count > self._ceiling or self._clock.over():
            self.cut = True
            return b""
        try:
            block = self._unpack()
        except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
            raise Unreadable("The file cannot be unpacked: it is damaged or ends too early.") from error
        self.count += len(block)
        return block

    def _unpack(self) -> bytes:
        while True:
            if self._inner.eof and not self._next_member():
                return b""
            if self._inner.needs_input and not self._fed:
                self._fed = self._file.read(BLOCK)
                if not self._fed:
                    raise EOFError("its end is missing")
            fed, self._fed = self._fed, b""
            block = self._inner.decompress(fed, BLOCK)
            if block:
                return block

    def _next_member(self) -> bool:
        """Zeros between and after members are padding."""
        rest = self._inner.unused_data + self._fed
        while not rest.strip(b"\0"):
            rest = self._file.read(BLOCK)
            if not rest:
                return False
        self._inner, self._fed = self._make(), rest.lstrip(b"\0")
        return True
