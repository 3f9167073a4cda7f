"""Byte ranges (RFC 9110 section 14)."""

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
    """The requested range is outside the representation: 416 with ``Content-Range: bytes */size``."""


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The range to send, or None to send everything.

    A malformed field and several ranges are ignored, as RFC 9110 14.2 allows, and so is any range of an empty
    representation: some clients send ``bytes=0-`` with every request. Raises UnsatisfiableRange for a single
    well-formed range outside the representation.
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
