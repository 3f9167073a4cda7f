"""Renders pages of a PDF with PDFium, on white."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from windlass.processing.formats.documents.pdf import pdfium_api
from windlass.processing.toolkit.pixels import packed_rows

_WHITE = 0xFFFFFFFF
_SAMPLES = 3


def render_page(page: Any, width: int, height: int, is_over: Callable[[], bool]) -> bytes | None:
    """Render a page to fill ``width`` by ``height`` pixels; return packed RGB.

    Returns None where ``is_over`` becomes true meanwhile; PDFium asks after each hundred objects of the page. Raises
    PdfiumError.
    """
    import pypdfium2

    pdfium = pdfium_api()
    new_bitmap: Any = pypdfium2.PdfBitmap.new_native
    bitmap = new_bitmap(width, height, pdfium.FPDFBitmap_BGR, rev_byteorder=True)
    pdfium.FPDFBitmap_FillRect(bitmap, 0, 0, width, height, _WHITE)
    flags = pdfium.FPDF_ANNOT | pdfium.FPDF_REVERSE_BYTE_ORDER
    pause = _pause(pdfium, is_over)
    try:
        status = pdfium.FPDF_RenderPageBitmap_Start(bitmap, page, 0, 0, width, height, 0, flags, ctypes.byref(pause))
    finally:
        pdfium.FPDF_RenderPage_Close(page)
    if status == pdfium.FPDF_RENDER_TOBECONTINUED:
        return None
    if status != pdfium.FPDF_RENDER_DONE:
        raise pypdfium2.PdfiumError("the page cannot be rendered")  # type: ignore[no-untyped-call]
    return packed_rows(bytes(bitmap.buffer), width * _SAMPLES, bitmap.stride, height)


def _pause(pdfium: Any, is_over: Callable[[], bool]) -> Any:
    """PDFium's structure for rendering in parts: it stops where the function in it returns true."""
    pause = pdfium.IFSDK_PAUSE(version=1)
    function_type = dict(pdfium.IFSDK_PAUSE._fields_)["NeedToPauseNow"]
    pause.NeedToPauseNow = function_type(lambda _: is_over())
    return pause
