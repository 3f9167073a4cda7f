"""What a PDF is: its pages, its title, whether it is locked."""

from __future__ import annotations

from typing import Any

from windlass.processing.contract import About, StepContext, StepResult, damaged

#: FPDF_ERR_PASSWORD of PDFium's fpdfview.h.
ERR_PASSWORD = 4


class PdfFacts:
    """A document that needs a password is one: it has no facts but that."""

    about = About(
        name="pdf_facts",
        stage="describe",
        title="Reading the document's facts",
        order=10,
        isolated=True,
        mime_types=("application/pdf",),
        gives={
            "page_count": "pages",
            "title": "title that the document gives itself",
            "author": "author that the document names",
            "encrypted": "whether a password is needed to read it",
            "page_width": "first page, in points",
            "page_height": "first page, in points",
            "pdf_version": "version of the PDF standard",
        },
        libraries=("pypdfium2",),
    )

    def run(self, context: StepContext) -> StepResult:
        import pypdfium2

        with damaged(pypdfium2.PdfiumError, what="PDF"):
            try:
                document = pypdfium2.PdfDocument(context.file)  # type: ignore[no-untyped-call]
            except pypdfium2.PdfiumError as error:
                if error.err_code != ERR_PASSWORD:
                    raise
                return StepResult({"encrypted": True}, detail="A password is needed to read it.")
            with document:
                facts = _facts(document)
        return StepResult(facts, detail=f"{facts['page_count']} pages")


def _facts(document: Any) -> dict[str, Any]:
    """Sizes are those of the first page, in points."""
    facts: dict[str, Any] = {"page_count": len(document), "encrypted": False}
    for name, key in (("title", "Title"), ("author", "Author")):
        said = document.get_metadata_value(key).strip()
        if said:
            facts[name] = said[:500]
    version = document.get_version()
    if version:
        facts["pdf_version"] = f"{version // 10}.{version % 10}"
    if facts["page_count"]:
        width, height = document.get_page_size(0)
        facts |= {"page_width": round(width, 2), "page_height": round(height, 2)}
    return facts
