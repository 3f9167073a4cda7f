"""The thumbnail of an office document or a book: the preview or cover that it contains."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from urllib.parse import unquote

from windlass.processing.contract import About, StepContext, StepResult, damaged
from windlass.processing.formats.documents import compound_file, epub
from windlass.processing.formats.documents.zip_package import ZipPackage
from windlass.processing.formats.read_limits import MB
from windlass.processing.formats.text import xml_events
from windlass.processing.toolkit import thumbnails

EPUB = "application/epub+zip"

#: Names of preview images: Office, OpenDocument, Apple.
PREVIEW_NAMES = (
    "docProps/thumbnail.jpeg",
    "docProps/thumbnail.jpg",
    "docProps/thumbnail.png",
    "Thumbnails/thumbnail.png",
)
#: Names of previews in Windows' drawing formats, which are not read.
DRAWING_NAMES = ("docProps/thumbnail.emf", "docProps/thumbnail.wmf")

MAX_MARKUP_BYTES, MAX_PICTURE_BYTES = 4 * MB, 32 * MB


class DocumentThumbnail:
    """The preview image stored in the document, or a book's cover. A document without one has no thumbnail: rendering
    it needs an office program.
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
        makes=thumbnails.MAKES,
        libraries=("pyvips", "zlib_ng", "bz2", "lzma"),
    )

    def prepare(self) -> None:
        thumbnails.prepare()

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        if _is_encrypted(context):
            return StepResult(detail="A password is needed to read it.", skipped=True)
        packed = ZipPackage(context.file)
        preview = _cover(packed) if context.facts["mime_type"] == EPUB else _preview(packed)
        has_drawing = not packed.names.isdisjoint(DRAWING_NAMES)
        if not preview:
            detail = "its preview is a Windows drawing, which is not read" if has_drawing else "no preview in it"
            return StepResult(detail=detail)
        with damaged(pyvips.Error, what="preview"):
            return thumbnails.write_result(context, thumbnails.from_bytes(preview, thumbnails.largest_width(context)))


def _is_encrypted(context: StepContext) -> bool:
    """An encrypted Office document is stored in a compound file."""
    context.file.seek(0)
    compound = compound_file.is_compound(context.file.read(8))
    context.file.seek(0)
    return compound


def _preview(packed: ZipPackage) -> bytes:
    return next((data for data in (_part(packed, name) for name in PREVIEW_NAMES) if data), b"")


def _cover(packed: ZipPackage) -> bytes:
    """Find the cover by the package document (EPUB 3.3, 5.5.2); older books use ``meta name="cover"``."""
    package = epub.package_path(packed)
    items: list[Mapping[str, str]] = []
    meta_cover_ids: set[str] = set()
    for event in xml_events.events(packed.blocks(package, MAX_MARKUP_BYTES)):
        if event.kind == "start" and event.name == "item":
            items.append(event.attributes)
        elif event.kind == "start" and event.name == "meta" and event.attributes.get("name") == "cover":
            meta_cover_ids.add(event.attributes.get("content", ""))
    by_property = (item for item in items if "cover-image" in item.get("properties", "").split())
    by_meta = (item for item in items if item.get("id") in meta_cover_ids)
    path = next((item.get("href", "") for item in (*by_property, *by_meta)), "")
    return _part(packed, posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(path))))


def _part(packed: ZipPackage, name: str) -> bytes:
    """Return the whole part; nothing if it exceeds the limit."""
    data = packed.read(name, MAX_PICTURE_BYTES)
    return b"" if packed.cut else data
