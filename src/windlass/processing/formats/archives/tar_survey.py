"""The headers of a tar file, read forward: ustar, GNU and pax, sparse files too. No entry is kept; long names are
bounded.

After POSIX.1-2008 (pax, "ustar interchange format") and the GNU tar manual, "Basic Tar Format" and "Storing Sparse
Files".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives.survey import Entry, Survey
from windlass.processing.formats.archives.unpacking import FARTHEST, file_part

if TYPE_CHECKING:
    from windlass.processing.formats.archives.surveyor import Surveyor

RECORD = 512
_LONGEST_HEADER = 64 * 1024
_DIRECTORY, _LINKS, _DEVICES, _SPARSE = b"5", b"12", b"346", b"S"


def survey(file: BinaryIO, found: Survey, surveyor: Surveyor) -> None:
    """Ends at the end mark, or where the file ends between two entries. Raises Unreadable."""
    said: dict[str, str] = {}
    reached = 0
    while (header := _read_record(file, reached)).strip(b"\0"):
        if len(header) < RECORD or not _has_right_checksum(header):
            raise Unreadable("The archive is damaged: one of its headers is wrong.")
        kind, size = header[156:157], _number(header[124:136])
        reached += RECORD
        if kind in b"xLK" and kind:
            said |= _extended_header(kind, file.read(min(size, _LONGEST_HEADER)))
            reached += _round_up(size)
            continue
        first_map, begins = reached, reached + _sparse_records(file, header, reached)
        size = 0 if kind in _LINKS + _DEVICES + _DIRECTORY else _content_size(said, size)
        reached = begins + _round_up(size)
        if kind != b"g":
            if not found.add(_entry(header, kind, _real_size(file, header, said, (first_map, begins), size), said)):
                return
            if size:
                surveyor.survey_nested(file_part(file, begins, size))
        said = {}
    if reached > file.seek(0, 2):
        raise Unreadable("The archive is damaged: it ends in the middle of an entry.")


def _read_record(file: BinaryIO, place: int) -> bytes:
    file.seek(min(place, FARTHEST))
    return file.read(RECORD)


def _sparse_records(file: BinaryIO, header: bytes, begins: int) -> int:
    """Bytes of the records that go on with the map of a sparse file (GNU tar, old format)."""
    size, more = 0, header[156:157] == _SPARSE and header[482] != 0
    while more and (record := _read_record(file, begins + size)):
        size += RECORD
        more = len(record) == RECORD and record[504] != 0
    return size


def _real_size(file: BinaryIO, header: bytes, said: dict[str, str], places: tuple[int, int], size: int) -> int:
    """What an entry takes once it is unpacked; of a sparse one with its holes: what it says, or what its map reaches
    to, whichever is more. ``places``: where its map goes on, and where its content begins."""
    first_map, begins = places
    if header[156:157] == _SPARSE:
        more = (_read_record(file, place)[:504] for place in range(first_map, begins, RECORD))
        rows = [row for data in (header[386:482], *more) for row in _rows(data) if row.strip(b"\0 ")]
        reached = [_number(row[:12]) + _number(row[12:]) for row in rows]
        return max([size, _number(header[483:495]), *reached])
    numbers = [said.get("GNU.sparse.realsize", ""), said.get("GNU.sparse.size", "")]
    told = [int(number) for number in numbers if _is_number(number)]
    mapped = said.get("GNU.sparse.map", "")
    if said.get("GNU.sparse.major") == "1":
        file.seek(min(begins, FARTHEST))
        mapped = ",".join(file.read(min(size, _LONGEST_HEADER)).decode("ascii", "replace").split("\n")[1:])
    steps = [int(number) if _is_number(number) else 0 for number in mapped.split(",")]
    return max([size, *told, *(offset + length for offset, length in zip(steps[::2], steps[1::2], strict=False))])


def _rows(data: bytes) -> Iterator[bytes]:
    return (data[place : place + 24] for place in range(0, len(data) - 23, 24))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _entry(header: bytes, kind: bytes, size: int, said: dict[str, str]) -> Entry:
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    name = (
        said.get("GNU.sparse.name")
        or said.get("path")
        or (f"{prefix}/{_text(header[:100])}" if prefix else _text(header[:100]))
    )
    link = bool(kind) and kind in _LINKS
    plain = not link and kind not in _DEVICES + _DIRECTORY
    return Entry(
        name,
        size if plain else 0,
        is_directory=kind == _DIRECTORY,
        is_link=link,
        target=(said.get("linkpath") or _text(header[157:257])) if link else None,
        is_device=bool(kind) and kind in _DEVICES,
    )


def _extended_header(kind: bytes, body: bytes) -> dict[str, str]:
    """The long name of GNU's tar, or the records of pax: ``length key=value\\n``."""
    if kind in b"LK":
        return {"path" if kind == b"L" else "linkpath": _text(body)}
    found: dict[str, str] = {}
    place = 0
    while place < len(body):
        length, _, _ = body[place : place + 20].partition(b" ")
        if not length.isdigit() or int(length) < 5:
            break
        record = body[place + len(length) + 1 : place + int(length) - 1]
        key, _, value = record.partition(b"=")
        if key.startswith(b"GNU.sparse.") or key in (b"path", b"linkpath", b"size"):
            _add_record(found, key.decode("utf-8", "replace"), value.decode("utf-8", "replace"))
        place += int(length)
    return found


def _add_record(found: dict[str, str], key: str, value: str) -> None:
    """Offsets and lengths of the map may come one by one (GNU.sparse format 0.0)."""
    if key in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
        found["GNU.sparse.map"] = f"{found['GNU.sparse.map']},{value}" if "GNU.sparse.map" in found else value
    else:
        found[key] = value


def _content_size(said: dict[str, str], size: int) -> int:
    told = said.get("size", "")
    return int(told) if _is_number(told) else size


def _number(field: bytes) -> int:
    """Octal, or base 256 where the first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big") & (2**62 - 1)
    digits = field.strip(b" \0")
    try:
        return int(digits, 8) if digits else 0
    except ValueError as error:
        raise Unreadable("The archive is damaged: one of its headers has no size.") from error


def _has_right_checksum(header: bytes) -> bool:
    summed = sum(header[:148]) + sum(header[156:]) + 8 * 32
    return summed == _number(header[148:156])


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _round_up(size: int) -> int:
    return -(-size // RECORD) * RECORD
