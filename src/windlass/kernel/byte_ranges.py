"""Byte ranges of RFC 9110 section 14, decided without I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGES = re.compile(r"\s*bytes\s*=\s*(.+)", re.IGNORECASE)
#: Bounded, because int() refuses to read numbers of thousands of digits; no size needs more than twenty.
_ONE = re.compile(r"\s*([0-9]{0,100})\s*-\s*([0-9]{0,100})\s*")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """``start`` inclusive, ``stop`` exclusive, both within the representation."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.stop - 1}/{size}"


class UnsatisfiableRange(ValueError):
    """Every range asked for lies outside the representation: 416 with ``Content-Range: bytes */size``."""


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The one range to send, or None for the whole.

    A malformed field or several ranges mean the whole (RFC 9110 14.2 lets a server ignore the field), and so does
    any range of an empty representation: some clients send ``bytes=0-`` with everything, and nothing can be missing.
    Raises UnsatisfiableRange where a single well-formed range has nothing in it.
    """
    matched = _RANGES.fullmatch(header or "")
    if not matched or "," in matched[1] or size == 0:
        return None
    one = _ONE.fullmatch(matched[1])
    if not one or (not one[1] and not one[2]):
        return None
    first, last = one[1], one[2]
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        if last and int(last) < int(first):
            return None
        start, stop = int(first), min(size, int(last) + 1 if last else size)
    if start >= stop:
        raise UnsatisfiableRange(header)
    return ByteRange(start, stop)
