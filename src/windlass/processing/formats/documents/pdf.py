"""Text, metadata and pages of a PDF, read with PDFium."""

from __future__ import annotations

import ctypes
import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta, timezone
from importlib import import_module
from typing import Any, BinaryIO

from windlass.processing.contract import damaged

MOST_PAGES = 5_000
#: FPDF_ERR_PASSWORD of PDFium's fpdfview.h.
_ERR_PASSWORD = 4
#: Larger than any page, in its units.
_EVERYTHING = 1e6

#: Limits of one page: annotations, form fields, characters of each annotation.
_MOST_NOTES, _MOST_FIELDS, _LONGEST_NOTE = 10_000, 2_000, 64 * 1024
#: FPDF_ANNOT_LINK, _POPUP and _WIDGET; FPDF_FORMFIELD_COMBOBOX, _LISTBOX and _TEXTFIELD; annotations that are hidden or
#: not to be viewed; fields for passwords (ISO 32000-1, tables 165 and 228).
_LINK, _POPUP, _WIDGET = 2, 16, 20
_FIELDS_WITH_TEXT = (4, 5, 6)
_HIDDEN, _PASSWORD = 2 | 32, 1 << 13


#: Bytes of the file that are searched, object streams that are unpacked for it, and bytes of each.
_MOST_SEARCHED, _MOST_STREAMS, _LONGEST_STREAM = 256 * 1024 * 1024, 2000, 1024 * 1024
_BLOCK, _OVERLAP = 4 * 1024 * 1024, 64 * 1024
_NAME = b"/UserUnit"
_STREAM = re.compile(rb"/ObjStm\b[^\x00]{0,400}?stream\r?\n", re.DOTALL)
_FIRST_PAGE = re.compile(rb"/Kids\[ ?(\d+) 0 R")
_NUMBER = rb"\+?(\d*\.?\d+)"
_DATE = re.compile(
    r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:(Z)|([+-])(\d\d)'?(?:(\d\d)'?)?)?.*", re.DOTALL | re.ASCII
)


def pdfium_api() -> Any:
    """Return PDFium's C functions; the binding defines them at import, so type checkers do not know them."""
    return import_module("pypdfium2.raw")


@contextmanager
def opened(file: BinaryIO) -> Iterator[Any]:
    """Open a document; yields None where a password is needed. Raises Unreadable."""
    import pypdfium2

    with damaged(pypdfium2.PdfiumError, what="PDF"):
        try:
            document: Any = pypdfium2.PdfDocument(file)  # type: ignore[no-untyped-call]
        except pypdfium2.PdfiumError as error:
            if error.err_code != _ERR_PASSWORD:
                raise
            document = nullcontext()
        with document as opened_document:
            yield opened_document


def first_page(document: Any) -> Any:
    return shown_page(document, 0)


def shown_page(document: Any, index: int) -> Any:
    """Return a page. A crop box outside the page, which would show nothing, is replaced by the whole page."""
    page = document[index]
    if min(page.get_size()) <= 0:
        page.set_cropbox(-_EVERYTHING, -_EVERYTHING, _EVERYTHING, _EVERYTHING)
    return page


def page_text(document: Any, number: int) -> str:
    """Return the text of a page; empty for a damaged page, so that the others are still read."""
    import pypdfium2

    try:
        with closing(document[number]) as page, closing(page.get_textpage()) as text_page:
            text = str(text_page.get_text_bounded())
            return text.replace("\x02", "-")  # PDFium's sign for a hyphen at the end of a line
    except pypdfium2.PdfiumError:
        return ""


def metadata(document: Any, key: str) -> str:
    """Return an entry of the document information; unpaired surrogates are replaced."""
    name = key.encode() + b"\0"
    return _read_utf16(lambda buffer, size: pdfium_api().FPDF_GetMetaText(document, name, buffer, size))


def prepare_fields(document: Any) -> None:
    """Make the values of form fields readable. Call it before the first page is loaded.

    Scripts of the form do not run. Does nothing where a page has too many fields: PDFium takes quadratic time for them.
    """
    import pypdfium2

    with suppress(pypdfium2.PdfiumError):
        if pdfium_api().FPDF_GetFormType(document) == pdfium_api().FORMTYPE_NONE:
            return
        for number in range(min(len(document), MOST_PAGES)):
            with closing(document[number]) as page:
                if pdfium_api().FPDFPage_GetAnnotCount(page) > _MOST_FIELDS:
                    return
        document.init_forms()


def annotation_texts(document: Any, number: int) -> Iterator[str]:
    """Yield the values of a page's form fields, and the texts of its annotations.

    Fields need ``prepare_fields``. Yields something for each annotation, so that the caller can check its deadline.
    """
    import pypdfium2

    try:
        with closing(document[number]) as page:
            seen: set[str] = set()
            for index in range(min(pdfium_api().FPDFPage_GetAnnotCount(page), _MOST_NOTES)):
                text = _read_annotation(document, page, index)
                is_new = text.strip() and text not in seen
                seen.add(text)
                yield f"{text}\n" if is_new else ""
    except pypdfium2.PdfiumError:
        return


def _read_annotation(document: Any, page: Any, index: int) -> str:
    annotation = pdfium_api().FPDFPage_GetAnnot(page, index)
    if not annotation:
        return ""
    try:
        return _annotation_text(document, annotation)
    finally:
        pdfium_api().FPDFPage_CloseAnnot(annotation)


def _annotation_text(document: Any, annotation: Any) -> str:
    pdfium = pdfium_api()
    kind = pdfium.FPDFAnnot_GetSubtype(annotation)
    if kind in (_LINK, _POPUP) or pdfium.FPDFAnnot_GetFlags(annotation) & _HIDDEN:
        return ""
    if kind != _WIDGET:
        return _read_utf16(
            lambda buffer, size: pdfium.FPDFAnnot_GetStringValue(annotation, b"Contents\0", buffer, size)
        )
    form = document.formenv
    if form is None or pdfium.FPDFAnnot_GetFormFieldType(form, annotation) not in _FIELDS_WITH_TEXT:
        return ""
    if pdfium.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD:
        return ""
    return _read_utf16(lambda buffer, size: pdfium.FPDFAnnot_GetFormFieldValue(form, annotation, buffer, size))


def _read_utf16(read: Callable[[Any, int], int]) -> str:
    """Read UTF-16 from a function of PDFium that returns the size in bytes, with a terminator of two."""
    size = min(int(read(None, 0)), 2 * _LONGEST_NOTE)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size + 2)
    wide = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort))
    length = min(int(read(wide, size)), size)
    return buffer.raw[: max(length - 2, 0)].decode("utf-16-le", "replace").replace("\r", "\n")


def iso_date(text: str) -> str | None:
    """Convert a date of PDF (ISO 32000-1, 7.9.4: ``D:20240506070809+02'00'``) to ISO 8601; None for no valid date."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) if part else None for part in match.groups()[:6])
    try:
        moment = datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0)
        if match[7]:
            moment = moment.replace(tzinfo=UTC)
        elif match[8]:
            offset = timedelta(hours=int(match[9]), minutes=int(match[10] or 0))
            moment = moment.replace(tzinfo=timezone(-offset if match[8] == "-" else offset))
    except ValueError:
        return None
    return moment.isoformat()


def user_unit(document: Any, file: BinaryIO) -> float:
    """Return the unit of the first page in points (ISO 32000-2, 7.7.3.3), which PDFium does not report; 1 by default.

    ``document`` is PDFium's, read from ``file``.
    """
    import pypdfium2

    if not _mentions_user_unit(file):
        return 1.0
    saved = io.BytesIO()
    new_document = pypdfium2.PdfDocument.new()  # type: ignore[no-untyped-call]
    with new_document as single_page:  # PDFium copies the page's dictionary unchanged
        single_page.import_pages(document, [0])
        single_page.save(saved)
    return _unit(saved.getvalue())


def _unit(saved: bytes) -> float:
    first = _FIRST_PAGE.search(saved)
    page = _object(saved, first[1]) if first else b""
    reference = re.search(_NAME + rb"\s+(\d+) 0 R", page)
    source = _object(saved, reference[1]) if reference else page.partition(_NAME)[2]
    match = re.match(rb"\s*" + _NUMBER, source)
    unit = float(match[1]) if match else 1.0
    return unit if 0 < unit < 1e6 else 1.0


def _object(saved: bytes, number: bytes) -> bytes:
    match = re.search(rb"(?:^|[\r\n])" + number + rb" 0 obj\b(.*?)endobj", saved, re.DOTALL)
    return match[1] if match else b""


def _mentions_user_unit(file: BinaryIO) -> bool:
    """Whether /UserUnit occurs in the file, or in one of its object streams."""
    streams_left = [_MOST_STREAMS]
    for offset in range(0, _MOST_SEARCHED, _BLOCK):
        file.seek(offset)
        data = file.read(_BLOCK + _OVERLAP)
        if _NAME in data or any(_NAME in body for body in _unpacked(data, streams_left)):
            return True
        if len(data) <= _BLOCK:
            return False
    return False


def _unpacked(data: bytes, streams_left: list[int]) -> Iterator[bytes]:
    for match in _STREAM.finditer(data):
        streams_left[0] -= 1
        if streams_left[0] < 0:
            return
        with suppress(zlib.error):
            yield zlib.decompressobj().decompress(data[match.end() :], _LONGEST_STREAM)
