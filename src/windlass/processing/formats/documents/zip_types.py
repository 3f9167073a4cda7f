"""What a zip file really is, by its central directory: the entries may stand in any order.

Bounded: at most ``MOST_ENTRIES`` entries are looked at, and few of them are unpacked, to a limit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from windlass.processing.formats.archives import zip_directory
from windlass.processing.formats.archives.zip_directory import BadZip, Member
from windlass.processing.formats.documents import package_types
from windlass.processing.formats.documents.package_types import normalized

#: Entries of a directory that are looked at.
MOST_ENTRIES = 50_000

#: What a zip file begins with: an entry, the end of one without entries, the marks of one that was split (APPNOTE 8.5).
SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08PK\x03\x04", b"PK00PK\x03\x04")

#: An entry -> the type of a file that has it. The first that is there decides.
_TELLING = {
    "AndroidManifest.xml": "application/vnd.android.package-archive",
    "doc.kml": "application/vnd.google-earth.kmz",
    "META-INF/MANIFEST.MF": "application/java-archive",
}

#: What a file may say of itself, to the last letter: it becomes the type that is served.
_DECLARED = re.compile(
    r"application/(?:epub\+zip|vnd\.(?:oasis\.opendocument|sun\.xml)\.[a-z0-9.-]{1,60})|image/openraster"
)


@dataclass(frozen=True, slots=True)
class Directory:
    """``begins``: where the zip file begins in the file; more than 0 behind something else."""

    begins: int
    entries: tuple[Member, ...]


def directories(file: BinaryIO) -> list[Directory]:
    """Each directory that a reader may take for the file's, the one that most take first; without those that are
    damaged."""
    found = []
    for each in zip_directory.directories(file):
        try:
            found.append(Directory(each.begins, tuple(islice(zip_directory.members(file, each), MOST_ENTRIES))))
        except BadZip:
            continue
    return found


def directory(file: BinaryIO) -> Directory | None:
    """None where the file does not end as a zip file does, or its directory is not where the end says."""
    return next(iter(directories(file)), None)


def kind(file: BinaryIO, found: Directory) -> str:
    """The type of the zip file."""
    entries = {entry.name: entry for entry in found.entries}
    said = _text(file, entries["mimetype"]) if "mimetype" in entries else ""
    if _DECLARED.fullmatch(said):
        return said
    parts = {normalized(name): entry for name, entry in entries.items()}

    def read(name: str) -> bytes:
        return zip_directory.content(file, parts[name], package_types.LONGEST)

    package = package_types.kind(parts.keys(), read)
    return package or next((kind for name, kind in _TELLING.items() if name in entries), "application/zip")


def _text(file: BinaryIO, entry: Member) -> str:
    """The beginning of an entry, as text; empty where it cannot be read."""
    return zip_directory.content(file, entry, 100).decode("ascii", "replace").strip()
