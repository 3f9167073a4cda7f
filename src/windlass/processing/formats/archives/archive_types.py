"""Which types of archive a file is, by its structure: files that hold other files, or compressed bytes.

Name, declared type and libmagic play no part. The same bytes may be several, such as a zip file behind a tar.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from windlass.processing.formats.archives import zip_directory

ZIP, GZIP, BZIP2, XZ = "application/zip", "application/gzip", "application/x-bzip2", "application/x-xz"
LZMA, ZSTD, LZ4, LZIP = "application/x-lzma", "application/zstd", "application/x-lz4", "application/x-lzip"
COMPRESS, SEVEN_ZIP, RAR = "application/x-compress", "application/x-7z-compressed", "application/vnd.rar"
TAR, CPIO, AR, RPM = "application/x-tar", "application/x-cpio", "application/x-archive", "application/x-rpm"
CAB, ISO = "application/vnd.ms-cab-compressed", "application/x-iso9660-image"

SEVEN_ZIP_MARK, RAR4_MARK, RAR5_MARK = b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00"
LZ4_OLD_MARK = b"\x02\x21\x4c\x18"
#: Frames of zstd and lz4 that readers skip; the last hex digit of the first byte may be any.
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
#: Bytes of a self-extracting program that are searched for the 7z or rar archive behind it.
_STUB = 1024 * 1024
_PROGRAMS = (b"MZ", b"\x7fELF")
_ISO_AT, _TAR_RECORD = 32768, 512


def types_by_structure(file: BinaryIO) -> list[str]:
    """Return every type of archive that the bytes are; empty for a file that is none."""
    kinds = types_by_head(file)
    if ZIP not in kinds and has_zip_entries(file):
        kinds.append(ZIP)
    file.seek(0)
    return kinds


def types_by_head(file: BinaryIO) -> list[str]:
    """Return the types that show in the first 32 KiB, of a program in the first MiB. Rewinds the file."""
    file.seek(0)
    head = file.read(_TAR_RECORD)
    kinds = [kind for kind in (_by_mark(file, head), _by_fields(head)) if kind]
    if head.startswith(_PROGRAMS) and not kinds:
        kinds += _self_extracting(file)
    if len(head) == _TAR_RECORD:
        file.seek(_ISO_AT)
        if file.read(6)[1:] == b"CD001":
            kinds.append(ISO)
    file.seek(0)
    return kinds


def is_certainly_no_archive(content: bytes) -> bool:
    """Whether a whole content is no archive for certain; quicker than ``types_by_structure``."""
    if len(content) > _ISO_AT or b"PK\x05\x06" in content or content.startswith(_FIRST_BYTES):
        return False
    return not _is_lzma(content[:18]) and not is_tar(content[:_TAR_RECORD])


def has_zip_entries(file: BinaryIO) -> bool:
    """Whether the file ends like a zip file, and its directory is there and not empty."""
    return any(directory.claimed or directory.size for directory in zip_directory.directories(file))


def _self_extracting(file: BinaryIO) -> list[str]:
    """The type of the archive behind a program that unpacks it."""
    offset = embedded_archive_offset(file)
    file.seek(offset)
    mark = file.read(8) if offset else b""
    return [RAR if mark.startswith(b"Rar!") else SEVEN_ZIP] if mark else []


def embedded_archive_offset(file: BinaryIO) -> int:
    """Return the offset of a 7z or rar archive behind other content in the first MiB; 0 where there is none."""
    file.seek(0)
    head = file.read(_STUB)
    for mark, is_header in ((SEVEN_ZIP_MARK, _is_seven_zip), (b"Rar!\x1a\x07", _is_rar)):
        offset = head.find(mark, 1)
        while offset > 0:
            file.seek(offset)
            if is_header(file.read(40)):
                return offset
            offset = head.find(mark, offset + 1)
    return 0


def is_tar(head: bytes) -> bool:
    """Whether a record is a tar header with the right checksum."""
    if len(head) < _TAR_RECORD or not head[0]:
        return False
    digits = head[148:156].strip(b" \0")
    if not digits or len(digits) > 7 or digits.strip(b"01234567"):
        return False
    blanked = head[:148] + b" " * 8 + head[156:]
    checksum = sum(blanked)
    return int(digits, 8) in (checksum, checksum - 256 * sum(byte >= 128 for byte in blanked))


def _by_mark(file: BinaryIO, head: bytes) -> str | None:
    if head[1:4] == SKIPPABLE and head[0] & 0xF0 == 0x50:
        return _type_behind_skippable(file)
    return next((kind for mark, kind in _MARKS if head.startswith(mark)), None)


def _type_behind_skippable(file: BinaryIO) -> str:
    """The type of the first frame that is not skippable; zstd where there is none."""
    offset = 0
    for _ in range(1000):
        file.seek(offset)
        head = file.read(8)
        if len(head) < 8 or head[1:4] != SKIPPABLE or head[0] & 0xF0 != 0x50:
            return LZ4 if head.startswith((b"\x04\x22\x4d\x18", LZ4_OLD_MARK)) else ZSTD
        offset += 8 + struct.unpack_from("<I", head, 4)[0]
    return ZSTD


def _by_fields(head: bytes) -> str | None:
    """Formats without a mark at the start, or with a short one, by further fields of their header."""
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
    """Whether the name that the header announces is there and ends with a zero."""
    if len(head) < 28:
        return False
    length = struct.unpack_from("<H" if head.startswith(b"\xc7") else ">H", head, 20)[0]
    return 1 < length <= len(head) - 26 and head[26 + length - 1] == 0 and b"\0" not in head[26 : 26 + length - 1]


def _is_lzma(head: bytes) -> bool:
    """As liblzma decides: the window is a power of two or the sum of two, the size is unknown or below 256 GiB."""
    if len(head) < 18 or head[0] >= 225 or head[13]:
        return False
    window, size = struct.unpack_from("<IQ", head, 1)
    is_usual = window >= 4096 and (window & (window - 1) == 0 or (window.bit_count() == 2 and window & (window >> 1)))
    return bool(is_usual or window == 0xFFFFFFFF) and (size == 2**64 - 1 or 0 < size < 2**38)


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
