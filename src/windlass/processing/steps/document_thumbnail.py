"""The small picture that an office document or a book carries."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from urllib.parse import unquote

from windlass.processing.contract import About, StepContext, StepResult, damaged
from windlass.processing.formats.documents import compound_file, epub
from windlass.processing.formats.documents.zip_package import ZipPackage
from windlass.processing.formats.read_limits import MB
from windlass.processing.formats.text import xml_events
from windlass.processing.toolkit import pictures

EPUB = "application/epub+zip"

#: Where programs put their previews: Office, OpenDocument, Apple's.
PLACES = (
    "docProps/thumbnail.jpeg",
    "docProps/thumbnail.jpg",
    "docProps/thumbnail.png",
    "Thumbnails/thumbnail.png",
)
#: Where Office puts them in formats of Windows' own drawings.
DRAWINGS = ("docProps/thumbnail.emf", "docProps/thumbnail.wmf")

LARGEST_MARKUP, LARGEST_PICTURE = 4 * MB, 32 * MB


class DocumentThumbnail:
    """The preview that the program left in the document, or a book's cover. A document without one has no thumbnail:
    laying it out takes an office program.
    """

    about = About(
        name="document_thumbnail",
        stage="derive",
        title="Looking for the preview",
        order=10,
        isolated=True,
        mime_types=(
            "application/vnd.openxmlformats-officedocument.*",
            "application/vnd.oasis.opendocument.*",
            "application/vnd.ms-*.12",  # Office with macros
            EPUB,
        ),
        wanted_by="thumbnails",
        makes=pictures.MAKES,
        libraries=("pyvips", "zlib_ng", "bz2", "lzma"),
    )

    def prepare(self) -> None:
        pictures.prepare()

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        if _is_locked(context):
            return StepResult(detail="A password is needed to read it.", skipped=True)
        packed = ZipPackage(context.file)
        found = _cover(packed) if context.facts["mime_type"] == EPUB else _preview(packed)
        drawn = not packed.names.isdisjoint(DRAWINGS)
        if not found:
            said = "its preview is a Windows drawing, which is not read" if drawn else "no preview in it"
            return StepResult(detail=said)
        with damaged(pyvips.Error, what="preview"):
            return pictures.result(context, pictures.of_bytes(found, pictures.largest(context)))


def _is_locked(context: StepContext) -> bool:
    """A document of Office that is locked with a password lies, enciphered, in a compound file."""
    context.file.seek(0)
    compound = compound_file.is_compound(context.file.read(8))
    context.file.seek(0)
    return compound


def _preview(packed: ZipPackage) -> bytes:
    return next((data for data in (_part(packed, name) for name in PLACES) if data), b"")


def _cover(packed: ZipPackage) -> bytes:
    """By the book's package document (EPUB 3.3, 5.5.2); older books say ``meta name="cover"``."""
    package = epub.package_path(packed)
    items: list[Mapping[str, str]] = []
    older: set[str] = set()
    for event in xml_events.events(packed.blocks(package, LARGEST_MARKUP)):
        if event.kind == "start" and event.name == "item":
            items.append(event.attributes)
        elif event.kind == "start" and event.name == "meta" and event.attributes.get("name") == "cover":
            older.add(event.attributes.get("content", ""))
    by_property = (item for item in items if "cover-image" in item.get("properties", "").split())
    by_meta = (item for item in items if item.get("id") in older)
    place = next((item.get("href", "") for item in (*by_property, *by_meta)), "")
    return _part(packed, posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(place))))


def _part(packed: ZipPackage, name: str) -> bytes:
    """Whole or not at all."""
    data = packed.read(name, LARGEST_PICTURE)
    return b"" if packed.cut else data
