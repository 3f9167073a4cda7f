"""Archives that unpack to far more than they weigh, lie about it, or point out of themselves."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache

import lz4.frame

from tests.archive_samples import compressed_z_zeros, in_comment, sevenzip, signed, sparse_tar, with_zip64
from tests.hostile.catalogue import hostile

MB = 1024 * 1024
GB = 1024 * MB


@cache
def deflated_zeros(megabytes: int) -> bytes:
    """A raw deflate stream of so many MiB of zeros, in about a thousandth of it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = bytes(MB)
    first = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * (megabytes - 1) + packer.flush()


def zlib_zeros(megabytes: int) -> bytes:
    """The same as a zlib stream. Its checksum is right."""
    return b"\x78\xda" + deflated_zeros(megabytes) + struct.pack(">I", (megabytes * MB % 65521) << 16 | 1)


@dataclass
class Entry:
    """A zip's entry, which may claim anything. ``at``: offset of another's local head that it shares."""

    name: bytes
    data: bytes = b""
    method: int = 0
    size: int | None = None
    packed: int | None = None
    flags: int = 0
    external: int = 0
    at: int | None = None
    extra: bytes = b""


def zipped(entries: list[Entry], *, count: int | None = None, directory_at: int | None = None) -> bytes:
    """A zip archive written by hand. Checksums are zero where anything was claimed."""
    body, directory = bytearray(), bytearray()
    for entry in entries:
        at = entry.at if entry.at is not None else len(body)
        size = len(entry.data) if entry.size is None else entry.size
        packed = len(entry.data) if entry.packed is None else entry.packed
        crc = zlib.crc32(entry.data) if entry.size is None else 0
        common = struct.pack(
            "<HHHHHIIIHH",
            20,
            entry.flags,
            entry.method,
            0,
            33,
            crc,
            packed & 0xFFFFFFFF,
            size & 0xFFFFFFFF,
            len(entry.name),
            len(entry.extra),
        )
        if entry.at is None:
            body += b"PK\3\4" + common + entry.name + entry.extra + entry.data
        tail = struct.pack("<HHHII", 0, 0, 0, entry.external, at)
        directory += b"PK\1\2" + struct.pack("<H", 0x031E) + common + tail + entry.name + entry.extra
    number = min(len(entries) if count is None else count, 0xFFFF)
    start = len(body) if directory_at is None else directory_at
    return bytes(body + directory + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, number, number, len(directory), start, 0))


@hostile("bomb.zip")
def zip_flat() -> bytes:
    """One entry that unpacks to 1 GiB."""
    return zipped([Entry(b"zeros", deflated_zeros(1024), 8, size=GB)])


@hostile("overlap.zip")
def zip_overlapping() -> bytes:
    """Twenty thousand entries that share one kernel of 1 GiB."""
    kernel = Entry(b"a", deflated_zeros(1024), 8, size=GB)
    others = [Entry(b"%x" % n, b"", 8, size=GB, packed=len(kernel.data), at=0) for n in range(20_000)]
    return zipped([kernel, *others])


@hostile("nested.zip")
def zip_nested() -> bytes:
    """Sixteen archives in each of sixteen archives, five deep, with zeros at the bottom."""
    content = zipped([Entry(b"zeros", deflated_zeros(64), 8, size=64 * MB)])
    for level in range(5):
        packed = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = packed.compress(content) + packed.flush()
        content = zipped([Entry(b"%d-%d.zip" % (level, n), data, 8, size=len(content)) for n in range(16)])
    return content


@hostile("many.zip")
def zip_of_many() -> bytes:
    """Sixty-five thousand empty entries."""
    return zipped([Entry(b"%d" % n) for n in range(65_000)])


@hostile("liar.zip")
def zip_that_lies() -> bytes:
    """The directory says ten bytes; the stream gives 256 MiB."""
    return zipped([Entry(b"small.txt", deflated_zeros(256), 8, size=10)])


@hostile("giant.zip")
def zip64_of_absurd_size() -> bytes:
    """A ZIP64 field that claims nine exabytes."""
    extra = struct.pack("<HHQQ", 1, 16, 2**63 - 1, 2**63 - 1)
    return zipped([Entry(b"x", b"abc", size=0xFFFFFFFF, packed=0xFFFFFFFF, extra=extra)] * 3)


@hostile("slip.zip")
def zip_slip() -> bytes:
    """Names that lead out, a symbolic link, a device, a name of nothing."""
    link = 0o120777 << 16
    return zipped(
        [
            Entry(b"../../../../tmp/slipped", b"out"),
            Entry(b"/etc/cron.d/slipped", b"out"),
            Entry(b"C:\\Windows\\slipped.exe", b"out"),
            Entry(b"..\\..\\slipped", b"out"),
            Entry(b"link", b"/etc/passwd", external=link),
            Entry(b"link/below", b"out"),
            Entry(b"nul\0byte", b"out"),
            Entry(b"", b"out"),
            Entry(b"\xff\xfe\xfd", b"out", flags=0x800),
            Entry(b"device", b"", external=0o060666 << 16),
            Entry(b"a" * 65_000, b"out"),
        ]
    )


@hostile("end.zip")
def zip_without_its_directory() -> bytes:
    """An end record that counts 65,535 entries where there is nothing."""
    return zipped([], count=0xFFFF, directory_at=0xFFFFFF00)


@hostile("locked.zip")
def zip_locked() -> bytes:
    """Says that it is encrypted, with methods that nobody knows."""
    return zipped([Entry(b"a", b"x" * 40, flags=1), Entry(b"b", b"y" * 40, method=99, flags=0x41)])


@hostile("bomb.gz")
def gzip_bomb() -> bytes:
    """1 GiB of zeros."""
    return b"\x1f\x8b\x08\0\0\0\0\0\2\xff" + deflated_zeros(1024) + struct.pack("<II", 0, 0)


@hostile("members.gz")
def gzip_of_many_members() -> bytes:
    """Twenty thousand members, each with a name that leads out."""
    return b"".join([b"\x1f\x8b\x08\x08\0\0\0\0\2\xff../../slip\0" + gzip.compress(b"x")[10:]] * 20_000)


@hostile("bomb.bz2")
def bzip2_bomb() -> bytes:
    """2 GiB of zeros in streams of 32 MiB."""
    return bz2.compress(bytes(32 * MB)) * 64


@hostile("bomb.xz")
def xz_bomb() -> bytes:
    """2 GiB of zeros in streams of 16 MiB."""
    return lzma.compress(bytes(16 * MB), preset=1) * 128


@hostile("dictionary.lzma")
def lzma_of_absurd_dictionary() -> bytes:
    """A head that asks for a dictionary of 4 GiB."""
    return b"\x5d" + struct.pack("<IQ", 0xFFFFFFFF, 2**64 - 1) + bytes(64)


@hostile("bomb.zst")
def zstd_bomb() -> bytes:
    """Ten thousand runs of 128 KiB: more than 1 GiB in 40 KB."""
    head = b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x58"
    run = struct.pack("<I", (128 * 1024) << 3 | 1 << 1)[:3] + b"\0"
    return head + run * 10_000 + struct.pack("<I", 1)[:3]


@hostile("slip.tar")
def tar_slip() -> bytes:
    """Links, devices, and names that lead out."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, kind, target in (
            ("../../slipped", tarfile.REGTYPE, ""),
            ("/etc/slipped", tarfile.REGTYPE, ""),
            ("link", tarfile.SYMTYPE, "/etc"),
            ("link/slipped", tarfile.REGTYPE, ""),
            ("hard", tarfile.LNKTYPE, "/etc/passwd"),
            ("device", tarfile.BLKTYPE, ""),
            ("pipe", tarfile.FIFOTYPE, ""),
            ("n" * 5000, tarfile.REGTYPE, ""),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            made.addfile(entry)
    return out.getvalue()


@hostile("giant.tar")
def tar_of_absurd_sizes() -> bytes:
    """Sizes in base 256, below zero, and of eight exabytes."""
    return b"".join(_tar_head(b"x%d" % n, size) for n, size in enumerate(_SIZES)) + bytes(1024)


_SIZES = (b"\x80" + b"\x7f" * 11, b"\xff" * 12, b"77777777777\0", b"\x80\0\0\0\x7f" + b"\xff" * 7, b"not octal!!\0")


@hostile("long.tar")
def tar_of_an_absurd_name() -> bytes:
    """A GNU long name that claims 8 GiB, and a pax head of as much."""
    return _tar_head(b"././@LongLink", b"77777777777\0", b"L") + _tar_head(b"pax", b"77777777777\0", b"x") + bytes(2048)


def _tar_head(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    head = bytearray(512)
    head[: len(name)] = name
    head[100:108], head[124:136], head[156:157], head[257:265] = b"0000644\0", size, kind, b"ustar\x0000"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


@hostile("bomb.tar.gz")
def tar_in_gzip_bomb() -> bytes:
    """A thousand files of 1 MiB of zeros, and the head of one of 1 TiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = _tar_head(b"zeros", b"%011o\0" % MB)
    data = b"".join(packer.compress(head + bytes(MB)) for _ in range(200))
    return data + packer.compress(_tar_head(b"huge", b"\x80" + (2**40).to_bytes(11, "big"))) + packer.flush()


@hostile("header.7z")
def seven_zip_of_absurd_header() -> bytes:
    """The next header is at eight exabytes, and has as many bytes."""
    tail = struct.pack("<QQI", 2**63 - 1, 2**63 - 1, 0)
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", zlib.crc32(tail)) + tail + bytes(64)


@hostile("header.rar")
def rar_of_absurd_header() -> bytes:
    """Heads of the largest size."""
    return b"Rar!\x1a\x07\x01\0" + b"\xff" * 512 + b"Rar!\x1a\x07\0" + b"\0\0\x74\xff\xff\xff\xff" * 50


@hostile("loop.cab")
def cabinet_of_absurd_counts() -> bytes:
    """Sixty-five thousand folders and files that are not there."""
    return b"MSCF" + struct.pack("<IIIIIBBHHHHH", 0, 2**31, 0, 44, 0, 3, 1, 65535, 65535, 7, 1, 0) + bytes(64)


@hostile("stored.zip")
def zip_in_itself() -> bytes:
    """An archive that holds its own beginning, two hundred times over."""
    content = zipped([Entry(b"a.txt", b"a")])
    for _ in range(200):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as made:
            made.writestr(zipfile.ZipInfo("inner.zip"), content)
        content = out.getvalue()
    return content


@hostile("redundant.zip")
def zip_with_redundant_zip64_records() -> bytes:
    """A flat bomb with a zip64 end record and a locator that nothing needs."""
    return with_zip64(zip_flat())


@hostile("signed.zip")
def zip_with_a_signature_record() -> bytes:
    """A flat bomb with a digital signature record behind its directory."""
    return signed(zip_flat())


@hostile("polyglot.zip")
def zip_behind_one_byte() -> bytes:
    """A flat bomb behind one byte, so that the file does not begin as a zip file."""
    return b"x" + zip_flat()


@hostile("bomb.cbz")
def zip_named_as_comics() -> bytes:
    """A flat bomb with the name of a comic book."""
    return zip_flat()


@hostile("bomb.kmz")
def zip_of_a_map() -> bytes:
    """A flat bomb that is a map by the name of its entry."""
    return zipped([Entry(b"doc.kml", deflated_zeros(1024), 8, size=GB)])


@hostile("liar.docx")
def docx_with_an_unknown_method() -> bytes:
    """A document with a part that says 1 and is 1 GiB, and one of a method that nobody knows."""
    parts = [Entry(b"[Content_Types].xml", b"<x/>"), Entry(b"word/document.xml", b"<x/>")]
    return zipped([*parts, Entry(b"word/a.bin", deflated_zeros(1024), 8, size=1), Entry(b"word/b.bin", b"x", 99)])


@hostile("comment.zip")
def zip_with_a_directory_in_a_comment() -> bytes:
    """A harmless directory; the comment of its entry holds the directory of a bomb."""
    return in_comment(zip_flat())


@hostile("inner.zip")
def zip_in_a_stored_zip() -> bytes:
    """A bomb as it is within another archive."""
    return zipped([Entry(b"inner.bin", zip_flat())])


@hostile("bomb.gz.gz")
def gzip_of_gzip() -> bytes:
    """A bomb that is packed twice."""
    return gzip.compress(gzip_bomb())


@hostile("behind.gz")
def gzip_with_a_byte_behind_it() -> bytes:
    """A bomb, and one byte behind its end."""
    return gzip.compress(bytes(64 * MB)) + b"x"


@hostile("bomb.lzma")
def lzma_bomb() -> bytes:
    """256 MiB of zeros in the old format."""
    return lzma.compress(bytes(256 * MB), lzma.FORMAT_ALONE, preset=1)


@hostile("bomb.lz4")
def lz4_bomb() -> bytes:
    """2 GiB of zeros in frames of 32 MiB."""
    return lz4.frame.compress(bytes(32 * MB)) * 64


@hostile("bomb.Z")
def compress_bomb() -> bytes:
    """Each string one longer than the one before: 50 MB in ten thousand codes."""
    return compressed_z_zeros(10_000)


@hostile("claims.7z")
def seven_zip_of_absurd_count() -> bytes:
    """Says that it has two million files."""
    return sevenzip({"a": b"a"}, count=2_000_000)


@hostile("sparse.tar")
def tar_of_a_sparse_file() -> bytes:
    """A file of 1 TiB with 512 bytes in it."""
    return sparse_tar("1.0", 1 << 40)
