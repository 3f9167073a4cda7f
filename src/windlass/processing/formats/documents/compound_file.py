"""Compound files of Microsoft (OLE storage, [MS-CFB]), read by olefile within bounds, and the type of document in one.

The type follows from the streams directly below the root entry and from the class of the root entry; what lies deeper
belongs to embedded documents. Names are compared without case.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from windlass.processing.contract import Unreadable, damaged
from windlass.processing.formats.read_limits import MB

SIGNATURE = bytes.fromhex("d0cf11e0a1b11ae1")
UNKNOWN = "application/x-ole-storage"

#: Bytes of the largest file, and of the largest stream, whose facts and text are read.
LARGEST, LARGEST_STREAM = 256 * MB, 64 * MB
#: Streams of any file: olefile holds all of its directory.
MOST_STREAMS = 10_000

_TYPE_BY_STREAM = {
    "worddocument": "application/msword",
    **dict.fromkeys(("workbook", "book"), "application/vnd.ms-excel"),
    **dict.fromkeys(("powerpoint document", "pp40", "pp97_dualstorage"), "application/vnd.ms-powerpoint"),
    "visiodocument": "application/vnd.visio",
    "quill": "application/vnd.ms-publisher",
    "__properties_version1.0": "application/vnd.ms-outlook",
    **dict.fromkeys(("props14", "props12", "props9"), "application/vnd.ms-project"),
    **dict.fromkeys(("fileheader", "hwpsummaryinformation"), "application/x-hwp"),
    "matost": "application/vnd.ms-works",
}

#: Class of the root entry ([MS-CFB] 2.6.1) -> type, for programs whose stream names are missing above or ambiguous.
_TYPE_BY_CLASS = {
    "000c1084-0000-0000-c000-000000000046": "application/x-msi",
    "000c1086-0000-0000-c000-000000000046": "application/x-msi",  # a patch
    "000c1082-0000-0000-c000-000000000046": "application/x-msi",  # a transform
    "00021201-0000-0000-00c0-000000000046": "application/vnd.ms-publisher",
    "0006f046-0000-0000-c000-000000000046": "application/vnd.ms-outlook",  # a template
    "00020d0b-0000-0000-c000-000000000046": "application/vnd.ms-outlook",
    "74b78f3a-c8c8-11d1-be11-00c04fb6faf1": "application/vnd.ms-project",
    "00021a14-0000-0000-c000-000000000046": "application/vnd.visio",
    "00021a13-0000-0000-c000-000000000046": "application/vnd.visio",
    "00020906-0000-0000-c000-000000000046": "application/msword",
    "00020900-0000-0000-c000-000000000046": "application/msword",
    "00020820-0000-0000-c000-000000000046": "application/vnd.ms-excel",
    "00020810-0000-0000-c000-000000000046": "application/vnd.ms-excel",
    "64818d10-4f9b-11cf-86ea-00aa00b929e8": "application/vnd.ms-powerpoint",
    "56616700-c154-11ce-8553-00aa00a1f95b": "image/vnd.fpx",
}


@dataclass(frozen=True, slots=True)
class Root:
    """The root entry: its class, and the names in lower case of what lies directly below it."""

    class_id: str
    names: frozenset[str]

    @property
    def is_locked(self) -> bool:
        """Whether it is an encrypted document of Office 2007 and later, whose type cannot be seen."""
        return "encryptedpackage" in self.names

    @property
    def mime_type(self) -> str:
        """A stream outweighs the class: some programs leave the class of another's file in theirs."""
        by_stream = next((kind for name, kind in _TYPE_BY_STREAM.items() if name in self.names), None)
        return by_stream or _TYPE_BY_CLASS.get(self.class_id, UNKNOWN)


def read_root(file: BinaryIO) -> Root | None:
    """Return the root entry of a file of any size; None for a damaged one."""
    try:
        with opened(file, largest=None) as document:
            return Root(document.root.clsid.lower(), frozenset(each.name.lower() for each in document.root.kids))
    except (Unreadable, MemoryError):
        return None


def read_stream(document: Any, name: str, size: int = -1) -> bytes:
    """Return the start of a stream, or all of it; empty for one that is missing, or too large for olefile, which reads
    streams whole."""
    if not document.exists(name) or document.get_size(name) > LARGEST_STREAM:
        return b""
    with document.openstream(name) as stream:
        data: bytes = stream.read(size)
    return data


@contextmanager
def opened(file: BinaryIO, largest: int | None = LARGEST) -> Iterator[Any]:
    """Open a compound file with olefile. Raises Unreadable, also for errors of damaged files in the ``with`` block."""
    import olefile.olefile

    if largest is not None and file.seek(0, 2) > largest:
        raise Unreadable(f"Such a file is read up to {largest // MB} MB.")
    file.seek(0)
    errors = (
        *(olefile.olefile.OleFileError, OSError, ValueError, IndexError, KeyError, TypeError, AttributeError),
        *(struct.error, RecursionError),
    )
    with damaged(*errors, what="document"), _bounded()(file) as document:
        yield document


def _bounded() -> Any:
    import olefile

    class Bounded(olefile.OleFileIO):  # type: ignore[type-arg]
        """Counts the directory entries while they are loaded."""

        loaded = 0

        def _load_direntry(self, sid: int) -> Any:
            self.loaded += 1
            if self.loaded > MOST_STREAMS:
                raise Unreadable(f"The document has more than {MOST_STREAMS} streams.")
            return super()._load_direntry(sid)

    return Bounded
