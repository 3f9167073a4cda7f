"""Single parts of a zip, in memory and within bounds: nothing is unpacked to disk, and nothing that claims too much."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from windlass.processing.contract import Unreadable

#: What is read of a part at most, and how far the zip's list of them may reach.
LARGEST_PART = 32 * 1024 * 1024
LARGEST_LIST = 32 * 1024 * 1024

_END, _END_SIZE = b"PK\x05\x06", 22
_ENCRYPTED = 0x1
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def opened(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Raises Unreadable, inside the block too where a part is damaged."""
    if _list_size(file) > LARGEST_LIST:
        raise Unreadable("The document cannot be read: it lists too many parts.")
    try:
        with zipfile.ZipFile(file) as parts:
            yield parts
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise Unreadable(f"The document cannot be read: {error}.") from error


def part(parts: zipfile.ZipFile, name: str, most: int = LARGEST_PART) -> bytes | None:
    """The part's bytes; None where there is none, or it is locked or larger than ``most``."""
    try:
        told = parts.getinfo(name)
    except KeyError:
        return None
    if told.flag_bits & _ENCRYPTED or told.compress_type not in _READABLE or told.file_size > most:
        return None
    with parts.open(told) as reading:
        return reading.read(most)


def _list_size(file: BinaryIO) -> int:
    """Bytes of the central directory, by the record at the zip's end; zipfile reads all of them at once."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END_SIZE - 65535))
    tail = file.read()
    at = tail.rfind(_END)
    file.seek(0)
    claimed = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    return size if claimed == 0xFFFFFFFF else claimed
