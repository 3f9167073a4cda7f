"""Facts of office documents, Outlook messages and books."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from windlass.processing.contract import About, PermanentError, StepContext, StepResult
from windlass.processing.formats.documents import compound_file, epub, legacy_office, ooxml, opendocument
from windlass.processing.formats.documents.zip_package import ZipPackage

OFFICE = (
    "application/cdfv2*",
    "application/encrypted",
    "application/epub+zip",
    "application/msword",
    "application/vnd.ms-excel*",
    "application/vnd.ms-office",
    "application/vnd.ms-outlook",
    "application/vnd.ms-powerpoint*",
    "application/vnd.ms-word*",
    "application/vnd.oasis.opendocument.*",
    "application/vnd.openxmlformats-officedocument.*",
    "application/x-ole-storage",
)

#: Test for a family of zip-based documents, and the reader of its facts.
_FAMILIES: tuple[tuple[Callable[[ZipPackage], bool], Callable[[ZipPackage], dict[str, Any]]], ...] = (
    (opendocument.is_opendocument, opendocument.facts),
    (epub.is_epub, epub.facts),
    (ooxml.is_ooxml, ooxml.facts),
)


class OfficeFacts:
    """Word, Excel, PowerPoint since 2007 and before, Outlook messages, OpenDocument, EPUB. A document that needs a
    password has few other facts."""

    about = About(
        name="office_facts",
        stage="describe",
        title="Reading the document's facts",
        order=10,
        isolated=True,
        mime_types=OFFICE,
        gives={
            "title": "title in the document's metadata; the subject of an Outlook message",
            "author": "author in the document's metadata; the sender of an Outlook message",
            "page_count": "page count in the document's metadata; slides of a presentation, sheets of a workbook",
            "slides": "slides of a presentation",
            "sheets": "sheets of a workbook",
            "sheet_names": "their first 100 names",
            "created": "creation date in the document's metadata",
            "modified": "modification date in the document's metadata",
            "application": "program in the document's metadata",
            "language": "language in a book's metadata",
            "has_macros": "whether it contains macros",
            "encrypted": "whether reading it needs a password",
        },
        libraries=("olefile", "pyexpat", "zlib_ng", "bz2", "lzma"),
    )

    def run(self, context: StepContext) -> StepResult:
        head = context.file.read(8)
        if head.startswith(compound_file.SIGNATURE):
            facts: Mapping[str, Any] = legacy_office.facts(context.file)
        elif head.startswith(b"PK"):
            package = ZipPackage(context.file)
            facts = next((facts_of(package) for is_of_family, facts_of in _FAMILIES if is_of_family(package)), {})
        else:
            raise PermanentError("The document is neither a zip file nor a compound file.")
        return StepResult(facts, detail=_detail(facts))


def _detail(facts: Mapping[str, Any]) -> str:
    if facts.get("encrypted"):
        return "A password is needed to read it."
    for name, unit in (("slides", "slides"), ("sheets", "sheets"), ("page_count", "pages")):
        if name in facts:
            return f"{facts[name]} {unit}"
    return ""
