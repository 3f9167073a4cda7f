"""Which containers the bytes of a file are, by their structure: files that hold others, or packed bytes.

The name, the declared type and libmagic are not asked. The same bytes may be several, such as a zip file behind a tar.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from windlass.processing.formats.archives import zip_directory

ZIP, GZIP, BZIP2, XZ = "application/zip", "application/gzip", "application/x-bzip2", "application/x-xz"
LZMA, ZSTD, LZ4, LZIP = "application/x-lzma", "application/zstd", "application/x-lz4", "application/x-lzip"
COMPRESS, SEVEN_ZIP, RAR, TAR = (
    "application/x-compress",
    "application/x-7z-compressed",
    "application/vnd.rar",
    "application/x-tar",
)
CPIO, AR, RPM, CAB, ISO = (
    "application/x-cpio",
    "application/x-archive",
    "application/x-rpm",
    "application/vnd.ms-cab-compressed",
    "application/x-iso9660-image",
)
CONTAINERS = (*(ZIP, GZIP, BZIP2, XZ, LZMA, ZSTD, LZ4, LZIP, COMPRESS, SEVEN_ZIP, RAR, TAR, CPIO, AR, RPM, CAB, ISO),)

SEVEN_ZIP_MARK, RAR4_MARK, RAR5_MARK = b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00"
LZ4_OLD_MARK = b"\x02\x21\x4c\x18"
#: Frames of zstd and lz4 that readers pass over: the last hex digit of the first byte may be any.
SKIPPABLE = b"\x2a\x4d\x18"

_MARKS = (
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"PK\x06\x06", ZIP),
    (b"PK00PK\x03\x04", ZIP),
    (b"PK\x07\x08PK\x03\x04", ZIP),
    (b"\xfd7zXZ\x00", XZ),
    (b"\x28\xb5\x2f\xfd", ZSTD),
    (b"\x04\x22\x4d\x18", LZ4),
    (LZ4_OLD_MARK, LZ4),
    (b"LZIP\x01", LZIP),
    (SEVEN_ZIP_MARK, SEVEN_ZIP),
    (RAR4_MARK, RAR),
    (RAR5_MARK, RAR),
    *((mark, CPIO) for mark in (b"070701", b"070702", b"070707")),
    (b"!<arch>\n", AR),
    (b"\xed\xab\xee\xdb", RPM),
    (b"MSCF\x00\x00\x00\x00", CAB),
)
_FIRST_BYTES = (
    *(mark[:2] for mark, _ in _MARKS),
    *(b"BZ", b"\x1f\x8b", b"\x1f\x9d", b"\xc7\x71", b"\x71\xc7", b"MZ", b"\x7fE"),
    *(bytes([0x50 | low, 0x2A]) for low in range(16)),
)
_BZIP2_BLOCKS = (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90")
#: A program in front of a 7z or rar archive that unpacks itself is sought through for its beginning so far.
_STUB = 1024 * 1024
_PROGRAMS = (b"MZ", b"\x7fELF")
_ISO_AT, _TAR_RECORD = 32768, 512


def containers(file: BinaryIO) -> list[str]:
    """The types of all that the bytes are; empty for what is no container."""
    found = by_head(file)
    if ZIP not in found and has_zip_entries(file):
        found.append(ZIP)
    file.seek(0)
    return found


def by_head(file: BinaryIO) -> list[str]:
    """Those that show in the first bytes: 32 KiB, and 1 MiB of a program. The file stands at its start afterwards."""
    file.seek(0)
    head = file.read(_TAR_RECORD)
    found = [kind for kind in (_by_mark(file, head), _by_fields(head)) if kind]
    if head.startswith(_PROGRAMS) and not found:
        found += self_extracting(file)
    if len(head) == _TAR_RECORD:
        file.seek(_ISO_AT)
        if file.read(6)[1:] == b"CD001":
            found.append(ISO)
    file.seek(0)
    return found


def is_surely_none(content: bytes) -> bool:
    """Whether these bytes, all that there are, are no container for certain; quicker than ``containers``."""
    if len(content) > _ISO_AT or b"PK\x05\x06" in content or content.startswith(_FIRST_BYTES):
        return False
    return not _is_lzma(content[:18]) and not is_tar(content[:_TAR_RECORD])


def has_zip_entries(file: BinaryIO) -> bool:
    """Whether the file ends as a zip file does, and its directory is there and not empty."""
    return zip_directory.has_end(file) and any(found.claimed or found.size for found in zip_directory.directories(file))


def self_extracting(file: BinaryIO) -> list[str]:
    """What follows a program that unpacks it."""
    place = archive_behind(file)
    file.seek(place or 0)
    mark = file.read(8) if place else b""
    return [RAR if mark.startswith(b"Rar!") else SEVEN_ZIP] if mark else []


def archive_behind(file: BinaryIO) -> int:
    """Where a 7z or rar archive begins within the first MiB of a file; 0 where there is none but at its start."""
    file.seek(0)
    head = file.read(_STUB)
    for mark, proven in ((SEVEN_ZIP_MARK, _is_seven_zip), (b"Rar!\x1a\x07", _is_rar)):
        place = head.find(mark, 1)
        while place > 0:
            file.seek(place)
            if proven(file.read(40)):
                return place
            place = head.find(mark, place + 1)
    return 0


def is_tar(head: bytes) -> bool:
    """Whether a record is a tar header: its checksum is right."""
    if len(head) < _TAR_RECORD or not head[0]:
        return False
    digits = head[148:156].strip(b" \0")
    if not digits or len(digits) > 7 or digits.strip(b"01234567"):
        return False
    plain = head[:148] + b" " * 8 + head[156:]
    summed = sum(plain)
    return int(digits, 8) in (summed, summed - 256 * sum(byte >= 128 for byte in plain))


def _by_mark(file: BinaryIO, head: bytes) -> str | None:
    if head[1:4] == SKIPPABLE and head[0] & 0xF0 == 0x50:
        return _behind_skippable(file)
    return next((kind for mark, kind in _MARKS if head.startswith(mark)), None)


def _behind_skippable(file: BinaryIO) -> str:
    """The first frame that is not passed over; zstd where there are none but those."""
    place = 0
    for _ in range(1000):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8 or head[1:4] != SKIPPABLE or head[0] & 0xF0 != 0x50:
            return LZ4 if head.startswith((b"\x04\x22\x4d\x18", LZ4_OLD_MARK)) else ZSTD
        place += 8 + struct.unpack_from("<I", head, 4)[0]
    return ZSTD


def _by_fields(head: bytes) -> str | None:
    """Formats without a mark of their own at the start, or with one that is short."""
    if is_tar(head):
        return TAR
    if head.startswith(b"BZh") and head[3:4] in b"123456789" and head[4:10] in _BZIP2_BLOCKS:
        return BZIP2
    if head.startswith(b"\x1f\x8b\x08") and len(head) >= 18 and head[3] < 0x20:
        return GZIP
    if head.startswith(b"\x1f\x9d") and len(head) > 3 and 9 <= head[2] & 31 <= 16 and not head[2] & 96:
        return COMPRESS
    if head[:2] in (b"\xc7\x71", b"\x71\xc7") and _is_old_cpio(head):
        return CPIO
    return LZMA if _is_lzma(head) else None


def _is_old_cpio(head: bytes) -> bool:
    """Whether the name that the header announces is there, with its end."""
    if len(head) < 28:
        return False
    length = struct.unpack_from("<H" if head.startswith(b"\xc7") else ">H", head, 20)[0]
    return 1 < length <= len(head) - 26 and head[26 + length - 1] == 0 and b"\0" not in head[26 : 26 + length - 1]


def _is_lzma(head: bytes) -> bool:
    """As liblzma decides: the window is a power of two or the sum of two such, the size is unknown or below 256 GiB."""
    if len(head) < 18 or head[0] >= 225 or head[13]:
        return False
    window, size = struct.unpack_from("<IQ", head, 1)
    usual = window >= 4096 and (window & (window - 1) == 0 or (window.bit_count() == 2 and window & (window >> 1)))
    return bool(usual or window == 0xFFFFFFFF) and (size == 2**64 - 1 or 0 < size < 2**38)


def _is_seven_zip(head: bytes) -> bool:
    return len(head) >= 32 and zlib.crc32(head[12:32]) == struct.unpack_from("<I", head, 8)[0]


def _is_rar(head: bytes) -> bool:
    """Whether the first header's checksum is right (version 5), or it is the main header of version 4."""
    if head.startswith(RAR5_MARK):
        size = head[12] if len(head) > 12 else 0
        whole = head[12 : 13 + size]
        return 0 < size < 0x80 and (len(whole) <= size or zlib.crc32(whole) == struct.unpack_from("<I", head, 8)[0])
    own = zlib.crc32(head[9:20]) & 0xFFFF
    return head.startswith(RAR4_MARK) and head[9:10] == b"\x73" and own == struct.unpack_from("<H", head, 7)[0]
