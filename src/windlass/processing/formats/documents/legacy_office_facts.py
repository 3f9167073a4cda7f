"""Facts of Word, Excel and PowerPoint files from before 2007 and of Outlook messages, from their property streams."""

from __future__ import annotations

import struct
from datetime import datetime
from typing import Any, BinaryIO

from windlass.kernel.charsets import python_codec
from windlass.processing.formats.documents import compound_file
from windlass.processing.formats.read_limits import MB, shorten
from windlass.processing.formats.text.encodings import FALLBACK

_LARGEST_STREAM = MB
_SUMMARY, _MORE = "\x05SummaryInformation", "\x05DocumentSummaryInformation"
_MACROS = (["Macros", "VBA"], ["_VBA_PROJECT_CUR", "VBA"], ["VBA"])
#: Numbers of properties in [MS-OLEPS] and [MS-OSHARED] 2.3.3.2.
_FACT_BY_PROPERTY = {2: "title", 4: "author", 12: "created", 13: "modified", 14: "page_count", 18: "application"}
_CODE_PAGE, _SLIDES = 1, 7
#: Streams of an Outlook message ([MS-OXMSG]): property and type.
_SUBJECT, _SENDER = "__substg1.0_0037", "__substg1.0_0C1A"


def facts(file: BinaryIO) -> dict[str, Any]:
    """Read the facts of a compound file. Raises Unreadable."""
    with compound_file.opened(file) as document:
        facts: dict[str, Any] = {"encrypted": is_encrypted(document)}
        facts["has_macros"] = any(document.exists(path) for path in _MACROS)
        summary = _properties(document, _SUMMARY)
        code_page = summary.get(_CODE_PAGE, 0)
        for number, name in _FACT_BY_PROPERTY.items():
            if value := _property_value(summary.get(number), code_page):
                facts[name] = value
        slides = _properties(document, _MORE).get(_SLIDES)
        if document.exists("PowerPoint Document") and isinstance(slides, int):
            facts |= {"slides": slides, "page_count": slides}
        for name, stream in (("title", _SUBJECT), ("author", _SENDER)):
            if text := _message_text(document, stream):
                facts[name] = text
        return facts


def _properties(document: Any, name: str) -> dict[int, Any]:
    if not document.exists(name) or document.get_size(name) > _LARGEST_STREAM:
        return {}
    properties: dict[int, Any] = document.getproperties(name, convert_time=True)
    return properties


def _property_value(value: Any, code_page: Any) -> Any:
    """Return a text, a positive number, or a time as text; None for any other value. Code pages are signed 16-bit."""
    if isinstance(value, bytes):
        page = int(code_page) & 0xFFFF if isinstance(code_page, int) else 0
        codec = "utf-8" if page == 65001 else python_codec(f"cp{page}") or FALLBACK
        return shorten(value[:4000].rstrip(b"\0").decode(codec, "replace"))
    if isinstance(value, str):
        return shorten(value.rstrip("\0"))
    if isinstance(value, datetime):
        return f"{value.isoformat(timespec='seconds')}Z" if value.year > 1601 else None
    return value if type(value) is int and 0 < value < 2**31 else None


def is_encrypted(document: Any) -> bool:
    """Whether a password is needed: of files up to 2003, and of later ones, which are a stream of a compound file."""
    if document.exists("EncryptedPackage") or document.exists("EncryptedSummary"):
        return True
    if document.exists("WordDocument"):
        head = compound_file.read_stream(document, "WordDocument", 12)
        return len(head) == 12 and bool(struct.unpack_from("<H", head, 10)[0] & 0x0100)
    for name in ("Workbook", "Book"):
        if document.exists(name):
            return _has_file_pass(compound_file.read_stream(document, name, 4096))
    return False


def _has_file_pass(stream: bytes) -> bool:
    """Whether FilePass is among the first records of the workbook ([MS-XLS] 2.4.117); records before it are plain."""
    position = 0
    while position + 4 <= len(stream):
        kind, length = struct.unpack_from("<2H", stream, position)
        if kind == 0x2F:
            return True
        position += 4 + length
    return False


def _message_text(document: Any, stream: str) -> str:
    for suffix, codec in (("001F", "utf-16-le"), ("001E", FALLBACK)):
        name = stream + suffix
        if document.exists(name) and document.get_size(name) <= _LARGEST_STREAM:
            return shorten(compound_file.read_stream(document, name, 4000).decode(codec, "replace").rstrip("\0"))
    return ""
