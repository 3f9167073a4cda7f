"""Unpacks the streams of a 7z file, where each is packed by coders that the standard library has.

A reader of 7z unpacks a stream to the size that the header gives, and no further.
"""

from __future__ import annotations

import bz2
import lzma
import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from windlass.processing.formats.archives.sevenzip_header import Folder
from windlass.processing.formats.archives.unpacking import MADE, READ, WINDOW, Decompressor, deflate64, raw_deflate

_COPY, _LZMA, _LZMA2, _DELTA = b"\x00", bytes.fromhex("030101"), b"\x21", b"\x03"
_DEFLATE64 = bytes.fromhex("040109")
_OTHERS: dict[bytes, Callable[[], Decompressor]] = {
    bytes.fromhex("040108"): raw_deflate,
    bytes.fromhex("040202"): bz2.BZ2Decompressor,
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


def unpacking_chain(folder: Folder) -> Callable[[BinaryIO], Iterator[bytes]] | None:
    """What unpacks the folder's stream; None where one of its coders is not read here."""
    if not folder.is_chain:
        return None
    if [coder for coder, _ in folder.coders] == [_COPY]:
        return lambda packed: _bounded(_as_it_is(packed), folder.size)
    if [coder for coder, _ in folder.coders] == [_DEFLATE64]:
        return lambda packed: _bounded(deflate64(packed), folder.size)
    if len(folder.coders) == 1 and folder.coders[0][0] in _OTHERS:
        make = _OTHERS[folder.coders[0][0]]
        return lambda packed: _bounded(_made(packed, make()), folder.size)
    filters = [_filter(coder, properties) for coder, properties in folder.coders]
    known = [each for each in filters if each is not None]
    if len(known) < len(filters) or known[-1]["id"] not in (lzma.FILTER_LZMA1, lzma.FILTER_LZMA2):
        return None
    return lambda packed: _bounded(_made(packed, lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=known)), folder.size)


def _filter(coder: bytes, properties: bytes) -> dict[str, Any] | None:
    """One coder as liblzma takes it. The window need not be larger than what is allowed."""
    if coder == _LZMA2 and properties:
        step = min(properties[0], 40)
        return {"id": lzma.FILTER_LZMA2, "dict_size": max(4096, min(2 | step & 1, 3) << min(step // 2 + 11, 26))}
    if coder == _LZMA and len(properties) >= 5:
        first, window = properties[0], struct.unpack_from("<I", properties, 1)[0]
        chain = {"id": lzma.FILTER_LZMA1, "lc": first % 9, "lp": first // 9 % 5, "pb": first // 45}
        return chain | {"dict_size": max(4096, min(window, WINDOW))}
    if coder == _DELTA and properties:
        return {"id": lzma.FILTER_DELTA, "dist": properties[0] + 1}
    return {"id": _BRANCHES[coder]} if coder in _BRANCHES else None


def _as_it_is(packed: BinaryIO) -> Iterator[bytes]:
    while block := packed.read(MADE):
        yield block


def _made(packed: BinaryIO, inner: Decompressor) -> Iterator[bytes]:
    """LZMA may have no mark at its end: it ends with its input."""
    while not inner.eof:
        fed = packed.read(READ) if inner.needs_input else b""
        if inner.needs_input and not fed:
            return
        yield inner.decompress(fed, MADE)


def _bounded(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    left = size
    while left > 0 and (block := next(blocks, None)) is not None:
        if block[:left]:
            yield block[:left]
        left -= len(block)
