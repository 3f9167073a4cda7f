"""What a zip file really is, by its central directory: the entries may stand in any order.

Bounded: at most ``MOST_ENTRIES`` entries are looked at, and a hundred bytes are unpacked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from windlass.kernel.formats import zip_structure
from windlass.kernel.formats.zip_structure import BadZip, Member

#: Entries of a directory that are looked at.
MOST_ENTRIES = 50_000

_OOXML = "application/vnd.openxmlformats-officedocument"

#: An entry -> the type of a file that has it. The first that is there decides.
_TELLING = {
    "AndroidManifest.xml": "application/vnd.android.package-archive",
    "3D/3dmodel.model": "model/3mf",
    "doc.kml": "application/vnd.google-earth.kmz",
    "META-INF/MANIFEST.MF": "application/java-archive",
}

#: What a file may say of itself, to the last letter: it becomes the type that is served.
_DECLARED = re.compile(r"application/(?:epub\+zip|vnd\.oasis\.opendocument\.[a-z0-9.-]{1,60})")

#: The folder of a Microsoft document -> its type without macros, and with.
_OFFICE = {
    "word/": (f"{_OOXML}.wordprocessingml.document", "application/vnd.ms-word.document.macroenabled.12"),
    "xl/": (f"{_OOXML}.spreadsheetml.sheet", "application/vnd.ms-excel.sheet.macroenabled.12"),
    "ppt/": (f"{_OOXML}.presentationml.presentation", "application/vnd.ms-powerpoint.presentation.macroenabled.12"),
}


@dataclass(frozen=True, slots=True)
class Directory:
    """``begins``: where the zip file begins in the file; more than 0 behind something else."""

    begins: int
    entries: tuple[Member, ...]


def directory(file: BinaryIO) -> Directory | None:
    """None where the file does not end as a zip file does, or its directory is not where the end says."""
    found = zip_structure.directory(file)
    if found is None:
        return None
    try:
        return Directory(found.begins, tuple(islice(zip_structure.members(file, found), MOST_ENTRIES)))
    except BadZip:
        return None


def kind(file: BinaryIO, found: Directory) -> str:
    """The type of the zip file."""
    names = {entry.name for entry in found.entries}
    declared = next((entry for entry in found.entries if entry.name == "mimetype"), None)
    said = _text(file, declared) if declared is not None else ""
    if _DECLARED.fullmatch(said):
        return said
    for folder, (plain, macros) in _OFFICE.items():
        if "[Content_Types].xml" in names and any(name.startswith(folder) for name in names):
            return macros if f"{folder}vbaProject.bin" in names else plain
    return next((kind for name, kind in _TELLING.items() if name in names), "application/zip")


def _text(file: BinaryIO, entry: Member) -> str:
    """The beginning of an entry, as text; empty where it cannot be read."""
    return zip_structure.content(file, entry, 100).decode("ascii", "replace").strip()
