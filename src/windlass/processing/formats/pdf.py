"""The text of a PDF's pages, and pictures of pages, by PDFium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, BinaryIO

from windlass.processing.contract import damaged

MOST_PAGES = 5_000
#: FPDF_ERR_PASSWORD of PDFium's fpdfview.h.
_ERR_PASSWORD = 4
#: Larger than any page, in its units.
_EVERYTHING = 1e6


@contextmanager
def opened(file: BinaryIO) -> Iterator[Any]:
    """The document; None where a password is needed. Raises Unreadable."""
    import pypdfium2

    with damaged(pypdfium2.PdfiumError, what="PDF"):
        try:
            document = pypdfium2.PdfDocument(file)  # type: ignore[no-untyped-call]
        except pypdfium2.PdfiumError as error:
            if error.err_code != _ERR_PASSWORD:
                raise
            document = None
        if document is None:
            yield None
            return
        with document:
            yield document


def first_page(document: Any) -> Any:
    """With the box that is shown. A crop box outside the page would show nothing: then the whole page counts."""
    page = document[0]
    if min(page.get_size()) <= 0:
        page.set_cropbox(-_EVERYTHING, -_EVERYTHING, _EVERYTHING, _EVERYTHING)
    return page


def page_text(document: Any, number: int) -> str:
    """Empty for a page that is damaged: the others may still be read."""
    import pypdfium2

    try:
        with closing(document[number]) as page, closing(page.get_textpage()) as read:
            return str(read.get_text_bounded()).replace("\x02", "-")  # PDFium's sign for a hyphen at the end of a line
    except pypdfium2.PdfiumError:
        return ""
