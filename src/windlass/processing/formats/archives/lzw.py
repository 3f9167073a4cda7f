"""Decompressor of ``compress`` (``.Z``), which the standard library does not have.

After compress 4.2.4: codes of 9 to ``bits`` bits, least significant bit first, in groups of eight codes; a change of
width, and a clear, end a group early. There is no mark at the end: it ends with the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

_CLEAR = 256
_OUTPUT_SIZE = 256 * 1024
#: Bytes that the strings of one table may take. Text takes a hundredth of that; endless repetition takes more.
_LARGEST_TABLE = 256 * 1024 * 1024


def blocks(packed: BinaryIO) -> Iterator[bytes]:
    """Yield the unpacked bytes. Raises ValueError for a damaged file, MemoryError where its table grows too large."""
    head = packed.read(3)
    bits, has_clear = head[2] & 31 if len(head) == 3 else 0, len(head) == 3 and bool(head[2] & 128)
    if not 9 <= bits <= 16:
        raise ValueError("not a compressed file")
    output = bytearray()
    for piece in _strings(packed, bits, has_clear=has_clear):
        output += piece
        if len(output) >= _OUTPUT_SIZE:
            yield bytes(output)
            output.clear()
    yield bytes(output)


def _strings(packed: BinaryIO, bits: int, *, has_clear: bool) -> Iterator[bytes]:
    table, width, previous, table_size = _fresh(has_clear), 9, b"", 0
    while group := packed.read(width):
        value, mask = int.from_bytes(group, "little"), (1 << width) - 1
        for _ in range(8 * len(group) // width):
            code, value = value & mask, value >> width
            if code == _CLEAR and has_clear:
                table, width, previous, table_size = _fresh(has_clear), 9, b"", 0
                break
            string = _string(table, code, previous)
            yield string
            if previous and len(table) < 1 << bits:
                table.append(previous + string[:1])
                table_size += len(previous)
                if table_size > _LARGEST_TABLE:
                    raise MemoryError
            previous = string
            if len(table) > mask and width < bits:
                width += 1
                break


def _fresh(has_clear: bool) -> list[bytes]:
    return [bytes([value]) for value in range(256)] + [b""] * has_clear


def _string(table: list[bytes], code: int, previous: bytes) -> bytes:
    if code < len(table) and (code < _CLEAR or table[code]):
        return table[code]
    if code == len(table) and previous:
        return previous + previous[:1]
    raise ValueError("a code that is not in the table")
