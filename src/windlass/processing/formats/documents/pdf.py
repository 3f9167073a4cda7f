"""The text of a PDF: of its pages, its form fields and its annotations, by PDFium."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from typing import Any, BinaryIO

from windlass.processing.contract import damaged

MOST_PAGES = 5_000
#: FPDF_ERR_PASSWORD of PDFium's fpdfview.h.
_ERR_PASSWORD = 4
#: Larger than any page, in its units.
_EVERYTHING = 1e6

#: What is read of one page: annotations, and characters of each.
_MOST_NOTES, _MOST_FIELDS, _LONGEST_NOTE = 10_000, 2_000, 64 * 1024
#: FPDF_ANNOT_LINK, _POPUP and _WIDGET; FPDF_FORMFIELD_COMBOBOX, _LISTBOX and _TEXTFIELD; annotations that are hidden or
#: not to be viewed; fields for passwords (ISO 32000-1, tables 165 and 228).
_LINK, _POPUP, _WIDGET = 2, 16, 20
_FIELDS_WITH_TEXT = (4, 5, 6)
_HIDDEN, _PASSWORD = 2 | 32, 1 << 13


def raw() -> Any:
    """PDFium's own functions; the binding finds them as it is imported, so no checker knows them."""
    return import_module("pypdfium2.raw")


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


def metadata(document: Any, key: str) -> str:
    """What the document says of itself; halves of surrogates in it are replaced."""
    name = key.encode() + b"\0"
    return _text_of(lambda buffer, size: raw().FPDF_GetMetaText(document, name, buffer, size))


def prepare_fields(document: Any) -> None:
    """Make what was written into form fields readable; called before the first page is loaded. Runs none of the scripts
    that a form may have. Not where a page has more fields than any form: the time for them grows with their square."""
    import pypdfium2

    with suppress(pypdfium2.PdfiumError):
        if raw().FPDF_GetFormType(document) == raw().FORMTYPE_NONE:
            return
        for number in range(min(len(document), MOST_PAGES)):
            with closing(document[number]) as page:
                if raw().FPDFPage_GetAnnotCount(page) > _MOST_FIELDS:
                    return
        document.init_forms()


def notes(document: Any, number: int) -> Iterator[str]:
    """What was written into the form fields of a page, and its annotations: notes, comments, typed text.

    Fields are read where ``prepare_fields`` was called. Something for each, so that who takes it can look at the clock.
    """
    import pypdfium2

    try:
        with closing(document[number]) as page:
            seen: set[str] = set()
            for index in range(min(raw().FPDFPage_GetAnnotCount(page), _MOST_NOTES)):
                said = _note(document, page, index)
                fresh = said.strip() and said not in seen
                seen.add(said)
                yield f"{said}\n" if fresh else ""
    except pypdfium2.PdfiumError:
        return


def _note(document: Any, page: Any, index: int) -> str:
    note = raw().FPDFPage_GetAnnot(page, index)
    if not note:
        return ""
    try:
        return _said(document, note)
    finally:
        raw().FPDFPage_CloseAnnot(note)


def _said(document: Any, note: Any) -> str:
    pdfium = raw()
    kind = pdfium.FPDFAnnot_GetSubtype(note)
    if kind in (_LINK, _POPUP) or pdfium.FPDFAnnot_GetFlags(note) & _HIDDEN:
        return ""
    if kind != _WIDGET:
        return _text_of(lambda buffer, size: pdfium.FPDFAnnot_GetStringValue(note, b"Contents\0", buffer, size))
    form = document.formenv
    if form is None or pdfium.FPDFAnnot_GetFormFieldType(form, note) not in _FIELDS_WITH_TEXT:
        return ""
    if pdfium.FPDFAnnot_GetFormFieldFlags(form, note) & _PASSWORD:
        return ""
    return _text_of(lambda buffer, size: pdfium.FPDFAnnot_GetFormFieldValue(form, note, buffer, size))


def _text_of(read: Callable[[Any, int], int]) -> str:
    """UTF-16 from one of PDFium's functions, which tell its size in bytes, with an end of two."""
    size = min(int(read(None, 0)), 2 * _LONGEST_NOTE)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size + 2)
    wide = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort))
    length = min(int(read(wide, size)), size)
    return buffer.raw[: max(length - 2, 0)].decode("utf-16-le", "replace").replace("\r", "\n")
