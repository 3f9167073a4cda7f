"""The small picture that an office document or a book carries."""

from __future__ import annotations

import posixpath
import zipfile
from urllib.parse import unquote

from windlass.processing.contract import About, StepContext, StepResult, damaged
from windlass.processing.toolkit import pictures
from windlass.processing.toolkit.markup import Element, elements
from windlass.processing.toolkit.zip_parts import opened, part

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

LARGEST_MARKUP = 4 * 1024 * 1024


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
        libraries=("pyvips",),
    )

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        with opened(context.file) as parts:
            found = _cover(parts) if context.facts["mime_type"] == EPUB else _preview(parts)
            drawn = any(name in parts.NameToInfo for name in DRAWINGS)
        if found is None:
            said = "its preview is a Windows drawing, which is not read" if drawn else "no preview in it"
            return StepResult(detail=said)
        with damaged(pyvips.Error, what="preview"):
            return pictures.result(context, pictures.of_bytes(found, pictures.largest(context)))


def _preview(parts: zipfile.ZipFile) -> bytes | None:
    return next((data for data in (part(parts, name) for name in PLACES) if data), None)


def _cover(parts: zipfile.ZipFile) -> bytes | None:
    """By the book's package document (EPUB 3.3, 5.5.2; the older ``meta name="cover"`` too)."""
    container = part(parts, "META-INF/container.xml", LARGEST_MARKUP)
    package = _first(elements(container), "rootfile", "full-path") if container else None
    markup = part(parts, package, LARGEST_MARKUP) if package else None
    if package is None or markup is None:
        return None
    place = _place(elements(markup))
    if place is None:
        return None
    return part(parts, posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(place))))


def _place(package: list[Element]) -> str | None:
    """Where the cover lies, by the package document."""
    items = [attributes for name, attributes in package if name == "item"]
    by_property = (item for item in items if "cover-image" in item.get("properties", "").split())
    older = {attributes.get("content") for name, attributes in package if name == "meta" and _is_cover(attributes)}
    by_meta = (item for item in items if item.get("id") in older and item.get("id"))
    return next((item["href"] for item in (*by_property, *by_meta) if "href" in item), None)


def _is_cover(meta: dict[str, str]) -> bool:
    return meta.get("name") == "cover"


def _first(found: list[Element], name: str, attribute: str) -> str | None:
    return next((attributes.get(attribute) for local, attributes in found if local == name), None)
