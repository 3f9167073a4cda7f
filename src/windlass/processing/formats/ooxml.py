"""Word, Excel and PowerPoint files since 2007 (ECMA-376): what they say of themselves, and their text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from windlass.processing.formats import xml
from windlass.processing.formats.bounds import MB, shorten
from windlass.processing.formats.packed import Packed

MOST_NAMES = 100
#: Texts that cells share, kept to be looked up: characters in all, and how many.
_MOST_SHARED, _SHARED_TEXTS = 16 * MB, 500_000
_NUMBERED = re.compile(r"(ppt/slides/slide|xl/worksheets/sheet)(\d{1,6})\.xml")
_CORE = {"title": "title", "creator": "author", "created": "created", "modified": "modified"}
_APP = {"Application": "application", "Pages": "page_count", "Slides": "slides"}
_NOTES = ("word/footnotes.xml", "word/endnotes.xml")


def is_ooxml(packed: Packed) -> bool:
    return "[Content_Types].xml" in packed.names


def facts(packed: Packed) -> dict[str, Any]:
    found: dict[str, Any] = {"encrypted": False}
    for part, wanted in (("docProps/core.xml", _CORE), ("docProps/app.xml", _APP)):
        for name, text in _leaves(packed, part):
            if name in wanted and text:
                found.setdefault(wanted[name], text)
    for name in ("page_count", "slides"):
        if not found.get(name, "0").isdigit():
            del found[name]
        elif name in found:
            found[name] = min(int(found[name][:9]), 10**9)
    found["has_macros"] = any(name.endswith("vbaProject.bin") for name in packed.names)
    if "ppt/presentation.xml" in packed.names:
        found["slides"] = len(_numbered(packed, "ppt/slides/slide"))
    if "xl/workbook.xml" in packed.names:
        sheets = [event.attributes.get("name", "") for event in _starts(packed, "xl/workbook.xml", "sheet")]
        found |= {"sheets": len(sheets), "sheet_names": [shorten(name, 100) for name in sheets[:MOST_NAMES]]}
    pages = found.pop("page_count", 0) or found.get("slides") or found.get("sheets")
    return found | ({"page_count": pages} if pages else {})


def text(packed: Packed) -> Iterator[str]:
    """Footnotes come after the text; sheets and slides in their files' order; cells with tabs between them."""
    if "xl/workbook.xml" in packed.names:
        yield from _sheets(packed)
        return
    parts = ["word/document.xml", *_NOTES] if "word/document.xml" in packed.names else []
    for part in parts or _numbered(packed, "ppt/slides/slide"):
        yield from _paragraphs(packed, part)
        yield "\n"


def _paragraphs(packed: Packed, part: str) -> Iterator[str]:
    wanted = False
    for event in xml.events(packed.blocks(part)):
        if event.kind == "text":
            if wanted:
                yield event.text
        elif event.name == "t":
            wanted = event.kind == "start"
        elif event.kind == "end" and event.name in ("p", "br", "cr"):
            yield "\n"
        elif event.kind == "end" and event.name in ("tab", "tc"):
            yield "\t"


def _sheets(packed: Packed) -> Iterator[str]:
    shared = _shared(packed)
    for part in _numbered(packed, "xl/worksheets/sheet"):
        yield from _cells(packed, part, shared)
        yield "\n"


def _cells(packed: Packed, part: str, shared: list[str]) -> Iterator[str]:
    kind, wanted, said = "", False, ""
    for event in xml.events(packed.blocks(part)):
        if event.kind == "text":
            said += event.text if wanted and len(said) < 65536 else ""
        elif event.name == "c" and event.kind == "start":
            kind, said = event.attributes.get("t", "n"), ""
        elif event.name in ("v", "t"):
            wanted = event.kind == "start"
        elif event.name == "c":
            yield f"{_looked_up(shared, said) if kind == 's' else said}\t"
        elif event.name == "row" and event.kind == "end":
            yield "\n"


def _looked_up(shared: list[str], place: str) -> str:
    return shared[int(place)] if place.isdecimal() and len(place) < 9 and int(place) < len(shared) else ""


def _shared(packed: Packed) -> list[str]:
    found: list[str] = []
    size, wanted = 0, False
    for event in xml.events(packed.blocks("xl/sharedStrings.xml")):
        if event.kind == "start" and event.name == "si":
            found.append("")
        elif event.name in ("t", "rPh"):
            wanted = event.kind == "start" and event.name == "t"
        elif event.kind == "text" and wanted and found:
            found[-1] += event.text
            size += len(event.text)
        if size > _MOST_SHARED or len(found) > _SHARED_TEXTS:
            packed.cut = True
            break
    return found


def _numbered(packed: Packed, start: str) -> list[str]:
    found = [(int(match[2]), match[0]) for name in packed.names if (match := _NUMBERED.fullmatch(name))]
    return [name for _, name in sorted(found) if name.startswith(start)]


def _starts(packed: Packed, part: str, name: str) -> list[xml.Event]:
    found = xml.events(packed.blocks(part, 4 * MB))
    return [event for event in found if event.kind == "start" and event.name == name]


def _leaves(packed: Packed, part: str) -> Iterator[tuple[str, str]]:
    """Elements that hold text, by name."""
    name, said = "", ""
    for event in xml.events(packed.blocks(part, MB)):
        if event.kind == "start":
            name, said = event.name, ""
        elif event.kind == "text":
            said += event.text
        elif event.name == name:
            yield name, shorten(said)
