"""Archives of formats that the standard library does not write, made by hand and small."""

from __future__ import annotations

import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping

Files = Mapping[str, bytes]


def zip_of(files: Files, method: int = zipfile.ZIP_STORED, *, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, content in files.items():
            made.writestr(zipfile.ZipInfo(name), content, method)
        made.comment = comment
    return out.getvalue()


def end_of(content: bytes) -> tuple[int, int, int, int]:
    """Place of the end record; entries, size and offset by it."""
    place = content.rfind(b"PK\5\6")
    count, size, offset = struct.unpack_from("<HII", content, place + 10)
    return place, count, size, offset


def records64(count: int, size: int, offset: int, place: int, *, locator: int | None = None) -> bytes:
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    return record + struct.pack("<4sIQI", b"PK\6\7", 0, place if locator is None else locator, 1)


def with_zip64(content: bytes, *, locator: int | None = None, full: bool = False) -> bytes:
    """The same with the records of zip64, whose fields say nothing else."""
    place, count, size, offset = end_of(content)
    end = bytearray(content[place:])
    if full:
        struct.pack_into("<2H2I", end, 8, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    return content[:place] + records64(count, size, offset, place, locator=locator) + end


def signed(content: bytes) -> bytes:
    """A digital signature record behind the entries (APPNOTE 4.3.13), which the directory's size does not count."""
    place = end_of(content)[0]
    return content[:place] + b"PK\5\5" + struct.pack("<H", 8) + bytes(8) + content[place:]


def block_before_directory(content: bytes) -> bytes:
    """As the signing block of an Android package."""
    place, _, _, offset = end_of(content)
    moved = bytearray(content[:offset] + bytes(100) + content[offset:])
    struct.pack_into("<I", moved, place + 100 + 16, offset + 100)
    return bytes(moved)


def in_comment(other: bytes) -> bytes:
    """A harmless directory; the comment of its last entry holds the directory of the other, and records of zip64."""
    place, count, size, offset = end_of(other)
    out = io.BytesIO(other[:offset])
    out.seek(0, 2)
    with zipfile.ZipFile(out, "a") as made:
        info = zipfile.ZipInfo("harmless.txt")
        info.comment = other[offset:place] + records64(count, size, offset, 0)
        made.writestr(info, b"")
    return out.getvalue()


def tar(files: Files) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _tar_header(name: str, size: int, kind: bytes = b"0", *, at: Mapping[int, bytes] | None = None) -> bytes:
    head = bytearray(512)
    head[: len(name)] = name.encode()
    head[100:108], head[124:136], head[156:157], head[257:265] = b"0000644\0", b"%011o\0" % size, kind, b"ustar  \0"
    for place, field in (at or {}).items():
        head[place : place + len(field)] = field
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def _pax(records: list[tuple[str, object]]) -> bytes:
    body = b""
    for key, value in records:
        line = f" {key}={value}\n".encode()
        length = len(line) + len(str(len(line)))
        length = len(line) + len(str(length))
        body += str(length).encode() + line
    return _tar_header("pax", len(body), b"x") + body.ljust(-(-len(body) // 512) * 512, b"\0")


def sparse_tar(form: str, size: int) -> bytes:
    """One file of so many bytes, of which the last 512 are there (GNU tar manual, "Storing Sparse Files")."""
    data, hole = b"x" * 512, size - 512
    large = b"\x80" + size.to_bytes(11, "big")
    if form == "S":
        at = {386: b"\x80" + hole.to_bytes(11, "big") + b"%011o\0" % 512, 483: large}
        return _tar_header("sparse", 512, b"S", at=at) + data + bytes(1024)
    if form == "0.0":
        records = [("GNU.sparse.size", size), ("GNU.sparse.numblocks", 1), ("GNU.sparse.offset", hole)]
        records.append(("GNU.sparse.numbytes", 512))
    elif form == "0.1":
        records = [("GNU.sparse.size", size), ("GNU.sparse.numblocks", 1), ("GNU.sparse.map", f"{hole},512")]
    else:
        records = [("GNU.sparse.major", 1), ("GNU.sparse.minor", 0), ("GNU.sparse.name", "s")]
        records.append(("GNU.sparse.realsize", size))
        data = f"1\n{hole}\n512\n".encode().ljust(512, b"\0") + data
    return _pax([(key, value) for key, value in records]) + _tar_header("sparse", len(data)) + data + bytes(1024)


def lzip(content: bytes) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 2}]
    packed = lzma.LZMACompressor(lzma.FORMAT_ALONE, filters=filters)
    body = (packed.compress(content) + packed.flush())[13:]
    return b"LZIP\1\x14" + body + struct.pack("<IQQ", zlib.crc32(content), len(content), len(body) + 26)


def compressed_z(content: bytes, bits: int = 16) -> bytes:
    """As compress 4.2.4 writes it, without clears."""
    codes, table, string = [], {bytes([n]): n for n in range(256)}, b""
    for place in range(len(content)):
        byte = content[place : place + 1]
        if string + byte in table:
            string += byte
            continue
        codes.append(table[string])
        if len(table) < (1 << bits) - 1:
            table[string + byte] = len(table) + 1
        string = byte
    return _z_of([*codes, table[string]], bits)


def compressed_z_zeros(codes: int) -> bytes:
    """One zero, two, three and so on: half the square of so many."""
    return _z_of([0, *range(257, 256 + codes)], 16)


def _z_of(codes: list[int], bits: int) -> bytes:
    out, group, width, free = bytearray(b"\x1f\x9d" + bytes([0x80 | bits])), list[int](), 9, 257
    for code in codes:
        group.append(code)
        free += free < 1 << bits
        wider = free > 1 << width and width < bits
        if len(group) == 8 or wider:
            out += _z_group(group, width)
            group.clear()
        width += wider
    return bytes(out + _z_group(group, width).rstrip(b"\0"))


def _z_group(group: list[int], width: int) -> bytes:
    value = sum(code << (width * place) for place, code in enumerate(group))
    return value.to_bytes(width, "little") if group else b""


def cpio(files: Files) -> bytes:
    out = b""
    for name, content in [*files.items(), ("TRAILER!!!", b"")]:
        fields = [1, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += head.ljust(-(-len(head) // 4) * 4, b"\0") + content.ljust(-(-len(content) // 4) * 4, b"\0")
    return out


def ar(files: Files) -> bytes:
    out = b"!<arch>\n"
    for name, content in files.items():
        out += f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    return out


def rpm(payload: bytes) -> bytes:
    header = b"\x8e\xad\xe8\1" + bytes(4) + struct.pack(">2I", 0, 0)
    return b"\xed\xab\xee\xdb\3\0".ljust(96, b"\0") + header + header + payload


def cabinet(files: Files, *, size: int = 0) -> bytes:
    """Files that are stored in one folder; each claims ``size`` bytes, where that is given."""
    data = b"".join(files.values())
    block = struct.pack("<IHH", 0, len(data), len(data)) + data
    listed, begins = b"", 0
    for name, content in files.items():
        listed += struct.pack("<IIHHHH", size or len(content), begins, 0, 0, 0, 32) + name.encode() + b"\0"
        begins += len(content)
    files_at = 36 + 8
    data_at = files_at + len(listed)
    folder = struct.pack("<IHH", data_at, 1, 0)
    whole = data_at + len(block)
    head = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, whole, 0, files_at, 0, 3, 1, 1, len(files), 0, 1, 0)
    return head + folder + listed + block


def disc(files: Files) -> bytes:
    """An image of ISO 9660 with one directory."""

    def record(name: bytes, sector: int, size: int, flags: int = 0) -> bytes:
        both = struct.pack("<I", sector) + struct.pack(">I", sector) + struct.pack("<I", size) + struct.pack(">I", size)
        body = b"\0" + both + bytes(7) + bytes([flags, 0, 0]) + bytes(4) + bytes([len(name)]) + name
        body += b"\0" * (len(body) % 2 == 0)
        return bytes([len(body) + 1]) + body

    sector, records, contents = 19, record(b"\0", 18, 2048, 2) + record(b"\1", 18, 2048, 2), b""
    for name, content in files.items():
        records += record(name.encode() + b";1", sector, len(content))
        padded = content.ljust(-(-len(content) // 2048) * 2048, b"\0")
        contents, sector = contents + padded, sector + len(padded) // 2048
    primary = (b"\1CD001\1\0" + bytes(148) + record(b"\0", 18, 2048, 2)).ljust(2048, b"\0")
    return bytes(32768) + primary + b"\xffCD001\1".ljust(2048, b"\0") + records.ljust(2048, b"\0") + contents


def _seven_number(value: int) -> bytes:
    for extra in range(8):
        if value < 1 << (7 * (extra + 1)):
            first = (0xFF << (8 - extra)) & 0xFF | value >> (8 * extra)
            return bytes([first]) + (value & ((1 << 8 * extra) - 1)).to_bytes(extra, "little")
    return b"\xff" + value.to_bytes(8, "little")


def sevenzip(files: Files, *, coder: bytes = b"\x21\x21\1\x18", packed: bytes | None = None, count: int = 0) -> bytes:
    """One folder of LZMA2, or of the coder and the packed bytes given; the names follow as they are. ``count``: what is
    said of the number of files."""
    n = _seven_number
    content = b"".join(files.values())
    body = packed
    if body is None:
        chain = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
        body = lzma.compress(content, lzma.FORMAT_RAW, filters=chain)
    streams = b"\6" + n(0) + n(1) + b"\x09" + n(len(body)) + b"\0"
    streams += b"\7\x0b" + n(1) + b"\0" + n(1) + coder + b"\x0c" + n(len(content)) + b"\0"
    sizes = b"".join(n(len(each)) for each in list(files.values())[:-1])
    streams += b"\x08\x0d" + n(len(files)) + (b"\x09" + sizes if sizes else b"") + b"\0\0"
    names = b"\0" + b"".join(name.encode("utf-16-le", "surrogatepass") + b"\0\0" for name in files)
    header = b"\1\4" + streams + b"\5" + n(count or len(files)) + b"\x11" + n(len(names)) + names + b"\0\0"
    tail = struct.pack("<QQI", len(body), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", zlib.crc32(tail)) + tail + body + header


def _vint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def rar5(files: Files, *, claims: int | None = None, method: int = 0, volume: int = 0, flags: int = 0) -> bytes:
    """``volume``: flags of a part of an archive: 8 where the file goes on from the volume before, 16 into the next."""

    def block(kind: int, body: bytes, flags: int = 0, data: bytes = b"") -> bytes:
        head = _vint(kind) + _vint(flags | 2 * bool(data)) + (_vint(len(data)) if data else b"") + body
        whole = _vint(len(head)) + head
        return struct.pack("<I", zlib.crc32(whole)) + whole + data

    out = b"Rar!\x1a\x07\x01\x00" + block(1, _vint(0))
    for name, content in files.items():
        size = len(content) if claims is None else claims
        body = _vint(flags) + _vint(size) + _vint(0) + _vint(method << 7) + _vint(1) + _vint(len(name)) + name.encode()
        out += block(2, body, volume, content)
    return out + block(5, _vint(0))


def rar4(files: Files) -> bytes:
    out = b"Rar!\x1a\x07\x00" + struct.pack("<HBHHIH", 0, 0x73, 0, 13, 0, 0)
    for name, content in files.items():
        body = struct.pack("<2IB2I2BHI", len(content), len(content), 3, 0, 0, 20, 0x30, len(name), 0) + name.encode()
        out += struct.pack("<HBHH", 0, 0x74, 0x8000, 7 + len(body)) + body + content
    return out + struct.pack("<HBHH", 0, 0x7B, 0, 7)
