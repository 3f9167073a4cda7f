"""How large the unit of a PDF's first page is (ISO 32000-2, 7.7.3.3, UserUnit), which PDFium does not tell."""

from __future__ import annotations

import io
import re
import zlib
from typing import Any, BinaryIO

#: Bytes of the file that are searched, object streams that are unpacked for it, and bytes of each.
_MOST_SEARCHED, _MOST_STREAMS, _LONGEST_STREAM = 256 * 1024 * 1024, 2000, 1024 * 1024
_BLOCK, _OVERLAP = 4 * 1024 * 1024, 64 * 1024
_NAME = b"/UserUnit"
_STREAM = re.compile(rb"/ObjStm\b[^\x00]{0,400}?stream\r?\n", re.DOTALL)
_FIRST_PAGE = re.compile(rb"/Kids\[ ?(\d+) 0 R")
_NUMBER = rb"\+?(\d*\.?\d+)"


def of_first_page(document: Any, file: BinaryIO) -> float:
    """In points, 1 where the document says nothing else. ``document`` is PDFium's, read from ``file``."""
    import pypdfium2

    if not _is_mentioned(file):
        return 1.0
    saved = io.BytesIO()
    made = pypdfium2.PdfDocument.new()  # type: ignore[no-untyped-call]
    with made as alone:  # PDFium writes the page's dictionary as it was
        alone.import_pages(document, [0])
        alone.save(saved)
    return _unit(saved.getvalue())


def _unit(saved: bytes) -> float:
    first = _FIRST_PAGE.search(saved)
    page = _object(saved, first[1]) if first else b""
    elsewhere = re.search(_NAME + rb"\s+(\d+) 0 R", page)
    said = _object(saved, elsewhere[1]) if elsewhere else page.partition(_NAME)[2]
    found = re.match(rb"\s*" + _NUMBER, said)
    unit = float(found[1]) if found else 1.0
    return unit if 0 < unit < 1e6 else 1.0


def _object(saved: bytes, number: bytes) -> bytes:
    found = re.search(rb"(?:^|[\r\n])" + number + rb" 0 obj\b(.*?)endobj", saved, re.DOTALL)
    return found[1] if found else b""


def _is_mentioned(file: BinaryIO) -> bool:
    """In the file as it is, or in one of its object streams."""
    left = [_MOST_STREAMS]
    for at in range(0, _MOST_SEARCHED, _BLOCK):
        file.seek(at)
        data = file.read(_BLOCK + _OVERLAP)
        if _NAME in data or any(_NAME in body for body in _unpacked(data, left)):
            return True
        if len(data) <= _BLOCK:
            return False
    return False


def _unpacked(data: bytes, left: list[int]) -> Any:
    for match in _STREAM.finditer(data):
        left[0] -= 1
        if left[0] < 0:
            return
        try:
            yield zlib.decompressobj().decompress(data[match.end() :], _LONGEST_STREAM)
        except zlib.error:
            continue
