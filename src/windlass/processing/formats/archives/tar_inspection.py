"""Inspection of a tar file: headers of ustar, GNU and pax, sparse files included, read forward. Long names are bounded.

After POSIX.1-2008 (pax, "ustar interchange format") and the GNU tar manual, "Basic Tar Format" and "Storing Sparse
Files".
"""

from __future__ import annotations

from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives.inspection import Entry, Inspection, Inspector
from windlass.processing.formats.archives.unpacking import FARTHEST, FilePart
from windlass.processing.formats.read_limits import round_up

RECORD = 512
_LONGEST_HEADER = 64 * 1024
_DIRECTORY, _HARD_LINK, _SYMLINK, _DEVICES, _SPARSE = b"5", b"1", b"2", b"346", b"S"


def inspect(file: BinaryIO, inspection: Inspection, inspector: Inspector) -> None:
    """Fill in the inspection, up to the end mark or the end of the file between two entries. Raises Unreadable."""
    records: dict[str, str] = {}
    offset = 0
    while (header := _read_record(file, offset)).strip(b"\0"):
        if len(header) < RECORD or not _has_right_checksum(header):
            raise Unreadable("The archive is damaged: one of its headers is wrong.")
        kind, size = header[156:157], _number(header[124:136])
        offset += RECORD
        if kind in b"xLK":
            records |= _extended_header(kind, file.read(min(size, _LONGEST_HEADER)))
            offset += round_up(size, RECORD)
            continue
        map_start, start = offset, offset + _sparse_records(file, header, offset)
        size = int(records["size"]) if _is_number(records.get("size", "")) else size
        size = 0 if kind in _HARD_LINK + _SYMLINK + _DEVICES + _DIRECTORY else size
        offset = start + round_up(size, RECORD)
        if kind != b"g":
            real_size = _real_size(file, header, records, (map_start, start), size)
            if not inspection.add(_entry(header, kind, real_size, records)):
                return
            if size:
                inspector.inspect_nested(FilePart(file, start, size))
        records = {}
    if offset > file.seek(0, 2):
        raise Unreadable("The archive is damaged: it ends in the middle of an entry.")


def _read_record(file: BinaryIO, offset: int) -> bytes:
    file.seek(min(offset, FARTHEST))
    return file.read(RECORD)


def _sparse_records(file: BinaryIO, header: bytes, start: int) -> int:
    """Return the bytes of the records that continue the map of a sparse file (GNU tar, old format)."""
    size, has_more = 0, header[156:157] == _SPARSE and header[482] != 0
    while has_more and (record := _read_record(file, start + size)):
        size += RECORD
        has_more = len(record) == RECORD and record[504] != 0
    return size


def _real_size(file: BinaryIO, header: bytes, records: dict[str, str], offsets: tuple[int, int], size: int) -> int:
    """Return the unpacked size of an entry; of a sparse one with its holes: the larger of its declared size and the end
    of its map. ``offsets``: where its map continues, and where its content begins."""
    map_start, start = offsets
    if header[156:157] == _SPARSE:
        more = (_read_record(file, offset)[:504] for offset in range(map_start, start, RECORD))
        maps = (header[386:482], *more)
        rows = (data[offset : offset + 24] for data in maps for offset in range(0, len(data) - 23, 24))
        ends = [_number(row[:12]) + _number(row[12:]) for row in rows if row.strip(b"\0 ")]
        return max([size, _number(header[483:495]), *ends])
    numbers = [records.get("GNU.sparse.realsize", ""), records.get("GNU.sparse.size", "")]
    declared = [int(number) for number in numbers if _is_number(number)]
    sparse_map = records.get("GNU.sparse.map", "")
    if records.get("GNU.sparse.major") == "1":
        file.seek(min(start, FARTHEST))
        sparse_map = ",".join(file.read(min(size, _LONGEST_HEADER)).decode("ascii", "replace").split("\n")[1:])
    steps = [int(number) if _is_number(number) else 0 for number in sparse_map.split(",")]
    return max([size, *declared, *(offset + length for offset, length in zip(steps[::2], steps[1::2], strict=False))])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _entry(header: bytes, kind: bytes, size: int, records: dict[str, str]) -> Entry:
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    short_name = f"{prefix}/{_text(header[:100])}" if prefix else _text(header[:100])
    name = records.get("GNU.sparse.name") or records.get("path") or short_name
    if kind in _HARD_LINK + _SYMLINK:
        target = records.get("linkpath") or _text(header[157:257])
        return Entry(name, 0, is_link=kind == _SYMLINK, is_hard_link=kind == _HARD_LINK, target=target)
    if kind in _DEVICES + _DIRECTORY:
        return Entry(name, 0, is_directory=kind == _DIRECTORY, is_device=kind in _DEVICES)
    return Entry(name, size)


def _extended_header(kind: bytes, body: bytes) -> dict[str, str]:
    """Parse the long name of GNU tar, or the records of pax: ``length key=value\\n``."""
    if kind in b"LK":
        return {"path" if kind == b"L" else "linkpath": _text(body)}
    records: dict[str, str] = {}
    offset = 0
    while offset < len(body):
        length, _, _ = body[offset : offset + 20].partition(b" ")
        if not length.isdigit() or int(length) < 5:
            break
        record = body[offset + len(length) + 1 : offset + int(length) - 1]
        key, _, value = record.partition(b"=")
        name, text = key.decode("utf-8", "replace"), value.decode("utf-8", "replace")
        if name in ("GNU.sparse.offset", "GNU.sparse.numbytes"):  # one by one in format 0.0
            sparse_map = records.get("GNU.sparse.map")
            records["GNU.sparse.map"] = text if sparse_map is None else f"{sparse_map},{text}"
        elif name.startswith("GNU.sparse.") or name in ("path", "linkpath", "size"):
            records[name] = text
        offset += int(length)
    return records


def _number(field: bytes) -> int:
    """Read an octal field, or one of base 256 where its first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big") & (2**62 - 1)
    digits = field.strip(b" \0")
    try:
        return int(digits, 8) if digits else 0
    except ValueError as error:
        raise Unreadable("The archive is damaged: one of its headers has no size.") from error


def _has_right_checksum(header: bytes) -> bool:
    checksum = sum(header[:148]) + sum(header[156:]) + 8 * 32
    return checksum == _number(header[148:156])


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")
