"""The headers of a tar file, read forward: ustar, GNU and pax. No entry is kept; long names are bounded.

After POSIX.1-2008 (pax, "ustar interchange format") and the GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol

from windlass.processing.contract import Unreadable
from windlass.processing.formats.entries import Entry

RECORD = 512
_LONGEST_HEADER = 64 * 1024
_DIRECTORY, _LINKS, _DEVICES = b"5", b"12", b"346"


class Forward(Protocol):
    """Read in order. Both give less than was asked for at the end only."""

    def read(self, size: int) -> bytes: ...

    def skip(self, size: int) -> int: ...


class Plain:
    """A forward reader over the bytes as they are; skips by seeking."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._end = file, file.seek(0, 2)
        file.seek(0)

    def read(self, size: int) -> bytes:
        return self._file.read(size)

    def skip(self, size: int) -> int:
        here = self._file.tell()
        return self._file.seek(min(here + size, self._end)) - here


def is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar" and len(head) >= RECORD


def entries(source: Forward) -> Iterator[Entry]:
    """Ends at the end mark, or where the source ends between two entries. Raises Unreadable."""
    said: dict[str, str] = {}
    while (header := source.read(RECORD)) and header.strip(b"\0"):
        if len(header) < RECORD or not _sum_is_right(header):
            raise Unreadable("The archive is damaged: one of its headers is wrong.")
        kind, size = header[156:157], _number(header[124:136])
        if kind in b"xLK" and kind:
            said |= _said(kind, source.read(min(size, _LONGEST_HEADER)))
            source.skip(_padded(size) - min(size, _LONGEST_HEADER))
            continue
        if kind != b"g":
            yield _entry(header, kind, size, said)
        source.skip(_padded(_size(said, size)) if kind not in _LINKS + _DEVICES + _DIRECTORY else 0)
        said = {}


def _entry(header: bytes, kind: bytes, size: int, said: dict[str, str]) -> Entry:
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    name = said.get("path") or (f"{prefix}/{_text(header[:100])}" if prefix else _text(header[:100]))
    link = bool(kind) and kind in _LINKS
    plain = not link and kind not in _DEVICES + _DIRECTORY
    return Entry(
        name,
        _size(said, size) if plain else 0,
        is_directory=kind == _DIRECTORY,
        is_link=link,
        target=(said.get("linkpath") or _text(header[157:257])) if link else None,
        is_device=bool(kind) and kind in _DEVICES,
    )


def _said(kind: bytes, body: bytes) -> dict[str, str]:
    """The long name of GNU's tar, or the records of pax: ``length key=value\\n``."""
    if kind in b"LK":
        return {"path" if kind == b"L" else "linkpath": _text(body)}
    found, place = {}, 0
    while place < len(body):
        length, _, _ = body[place : place + 20].partition(b" ")
        if not length.isdigit() or int(length) < 5:
            break
        record = body[place + len(length) + 1 : place + int(length) - 1]
        key, _, value = record.partition(b"=")
        if key in (b"path", b"linkpath", b"size"):
            found[key.decode()] = value.decode("utf-8", "replace")
        place += int(length)
    return found


def _size(said: dict[str, str], size: int) -> int:
    told = said.get("size", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < 19 else size


def _number(field: bytes) -> int:
    """Octal, or base 256 where the first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big") & (2**62 - 1)
    digits = field.strip(b" \0")
    try:
        return int(digits, 8) if digits else 0
    except ValueError as error:
        raise Unreadable("The archive is damaged: one of its headers has no size.") from error


def _sum_is_right(header: bytes) -> bool:
    summed = sum(header[:148]) + sum(header[156:]) + 8 * 32
    return summed == _number(header[148:156])


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _padded(size: int) -> int:
    return -(-size // RECORD) * RECORD
