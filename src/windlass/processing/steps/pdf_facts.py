"""Facts of a PDF: pages, metadata, protection, forms, attachments, signatures, scripts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from windlass.processing.contract import About, StepContext, StepResult
from windlass.processing.formats.documents import pdf
from windlass.processing.formats.documents.pdf import first_page, metadata, opened, pdfium_api
from windlass.processing.toolkit.warm_up import warm_up

#: FPDF_ANNOT_WIDGET of PDFium's headers.
ANNOT_WIDGET = 20

LONGEST = 500

#: Pages that are searched for text and for form fields, and the seconds for it: a hostile page may take long.
TEXT_PAGES = 3
FIELD_PAGES = 100
SECONDS = 5.0

_TEXTS = {
    "title": "Title",
    "author": "Author",
    "subject": "Subject",
    "keywords": "Keywords",
    "creator": "Creator",
    "producer": "Producer",
}
_DATES = {"created_at": "CreationDate", "modified_at": "ModDate"}


class PdfFacts:
    """A document that needs a password has no other facts."""

    about = About(
        name="pdf_facts",
        stage="describe",
        title="Reading the document's facts",
        order=10,
        isolated=True,
        mime_types=("application/pdf",),
        gives={
            "page_count": "pages",
            "encrypted": "whether reading it needs a password",
            "restricted": "whether it can be read without a password but printing, copying or editing needs one",
            "title": "title in the document's metadata",
            "author": "author in the document's metadata",
            "subject": "subject in the document's metadata",
            "keywords": "keywords in the document's metadata, unparsed",
            "creator": "program that created the original document",
            "producer": "program that made the PDF",
            "created_at": "creation date in the file's metadata (ISO 8601)",
            "modified_at": "modification date in the file's metadata (ISO 8601)",
            "page_width": "size of the first page, in points",
            "page_height": "size of the first page, in points",
            "pdf_version": "version of the PDF standard",
            "has_text": f"whether the first {TEXT_PAGES} pages have text; a scan has none",
            "form": "kind of form: acroform or xfa",
            "form_fields": f"fields of a form on the first {FIELD_PAGES} pages",
            "attachments": "number of attached files",
            "signatures": "number of digital signatures; they are not verified",
            "has_javascript": "whether it contains scripts that run when it is opened",
        },
        libraries=("pypdfium2", "pypdfium2.raw"),
    )

    def prepare(self) -> None:
        warm_up(self, "application/pdf")

    def run(self, context: StepContext) -> StepResult:
        with opened(context.file) as document:
            if document is None:
                return StepResult({"encrypted": True}, detail="A password is needed to read it.")
            facts = (
                _metadata(document)
                | _document_facts(document)
                | _page_size(document, context)
                | _attached_facts(document)
                | _page_facts(document)
            )
        return StepResult(facts, detail=f"{facts['page_count']} pages")


def _metadata(document: Any) -> dict[str, Any]:
    texts = {name: metadata(document, key).strip()[:LONGEST] for name, key in _TEXTS.items()}
    dates = {name: pdf.iso_date(metadata(document, key)) for name, key in _DATES.items()}
    return {name: value for name, value in {**texts, **dates}.items() if value}


def _document_facts(document: Any) -> dict[str, Any]:
    pdfium = pdfium_api()
    facts: dict[str, Any] = {"page_count": len(document), "encrypted": False}
    if pdfium.FPDF_GetSecurityHandlerRevision(document) >= 0:
        facts["restricted"] = True
    version = document.get_version()
    if version:
        facts["pdf_version"] = f"{version // 10}.{version % 10}"
    return facts


def _page_size(document: Any, context: StepContext) -> dict[str, Any]:
    """Return the displayed size of the first page; nothing where it is damaged."""
    import pypdfium2

    if not len(document):
        return {}
    try:
        width, height = first_page(document).get_size()
        unit = pdf.user_unit(document, context.file)
    except pypdfium2.PdfiumError:
        return {}
    return {"page_width": round(width * unit, 2), "page_height": round(height * unit, 2)}


def _attached_facts(document: Any) -> dict[str, Any]:
    pdfium = pdfium_api()
    counts = {
        "attachments": pdfium.FPDFDoc_GetAttachmentCount(document),
        "signatures": pdfium.FPDF_GetSignatureCount(document),
    }
    facts: dict[str, Any] = {name: count for name, count in counts.items() if count > 0}
    facts["has_javascript"] = pdfium.FPDFDoc_GetJavaScriptActionCount(document) > 0
    form = pdfium.FPDF_GetFormType(document)
    if form != pdfium.FORMTYPE_NONE:
        facts["form"] = "acroform" if form == pdfium.FORMTYPE_ACRO_FORM else "xfa"
    return facts


def _page_facts(document: Any) -> dict[str, Any]:
    """Return the facts that need the pages. Facts that the time is too short for are left out."""
    pdfium = pdfium_api()
    page_limit = FIELD_PAGES if pdfium.FPDF_GetFormType(document) != pdfium.FORMTYPE_NONE else TEXT_PAGES
    has_text, fields, read = False, 0, 0
    for page in _pages(document, page_limit):
        if read < TEXT_PAGES and not has_text:
            has_text = _has_text(page)
        fields += _fields(page)
        read += 1
    facts: dict[str, Any] = {"form_fields": fields} if fields else {}
    return facts | ({"has_text": has_text} if has_text or read >= min(len(document), TEXT_PAGES) else {})


def _pages(document: Any, most: int) -> Iterator[Any]:
    """Yield the first pages; a damaged one is skipped."""
    import pypdfium2

    until = time.monotonic() + SECONDS
    for index in range(min(len(document), most)):
        if time.monotonic() > until:
            return
        try:
            page = document.get_page(index)
        except pypdfium2.PdfiumError:
            continue
        with closing(page):
            yield page


def _has_text(page: Any) -> bool:
    pdfium = pdfium_api()
    text = pdfium.FPDFText_LoadPage(page)
    if not text:
        return False
    try:
        count = min(pdfium.FPDFText_CountChars(text), 1000)
        return any(not chr(pdfium.FPDFText_GetUnicode(text, index) & 0xFFFF).isspace() for index in range(count))
    finally:
        pdfium.FPDFText_ClosePage(text)


def _fields(page: Any) -> int:
    pdfium = pdfium_api()
    count = 0
    for index in range(min(pdfium.FPDFPage_GetAnnotCount(page), 10_000)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        if annotation:
            count += pdfium.FPDFAnnot_GetSubtype(annotation) == ANNOT_WIDGET
            pdfium.FPDFPage_CloseAnnot(annotation)
    return count
