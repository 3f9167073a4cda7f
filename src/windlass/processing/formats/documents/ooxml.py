"""Facts and text of Word, Excel and PowerPoint files since 2007 (ECMA-376)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from windlass.processing.formats.documents import cell_dates
from windlass.processing.formats.documents.zip_package import MOST_UNPACKED, ZipPackage
from windlass.processing.formats.read_limits import MB, shorten
from windlass.processing.formats.text import xml_events

MOST_NAMES = 100
#: Limits of shared strings (characters, strings) and of cell formats.
_MOST_SHARED, _SHARED_TEXTS, _MOST_FORMATS = 16 * MB, 500_000, 100_000
#: Parts that one document's text is read from.
_MOST_PARTS = 20_000
_CORE = {"title": "title", "creator": "author", "created": "created", "modified": "modified"}
_APP = {"Application": "application", "Pages": "page_count", "Slides": "slides"}

#: Relationships to parts with text of their own, in the order of the output.
_RELATIONS_WITH_TEXT = (
    *("footnotes", "endnotes", "drawing", "diagramData", "chart", "notesSlide"),
    *("comments", "threadedComment", "header", "footer"),
)
#: Conventional names of parts with text, for documents without relationships to them.
_TEXT_PART_NAME = re.compile(
    r"(?:word/(?:footnotes|endnotes|comments|header\d*|footer\d*)|ppt/(?:notesslides/notesslide\d+|comments/[^/]+)"
    r"|xl/(?:comments\d*|comments/[^/]+|threadedcomments/[^/]+|drawings/drawing\d+)"
    r"|(?:word|xl|ppt)/(?:diagrams/data\d*|charts/chart\d+))\.xml"
)
_SHEETS = ("worksheet", "chartsheet", "dialogsheet")
_NUMBERED = re.compile(r"(ppt/slides/slide|xl/worksheets/sheet)(\d{1,6})\.xml")
#: Elements whose content is not displayed: fallback drawings, deleted or moved text, phonetic readings.
_HIDDEN_ELEMENTS = frozenset({"Fallback", "del", "moveFrom", "rPh"})
_BREAKS = {"p": "\n", "br": "\n", "cr": "\n", "si": "\n", "comment": "\n", "cm": "\n", "tc": "\t", "tab": "\t"}
_HEADING_CODES = re.compile(r"&(?:\"[^\"]*\"|K[0-9A-Fa-f]{6}|K\d\d[+-]\d{3}|\d{1,3}|[A-Za-z])")


class Package:
    """The parts of a document by name, without case, and their relationships."""

    def __init__(self, packed: ZipPackage) -> None:
        self.packed = packed
        self._names = {_normalized(name): name for name in sorted(packed.names)}

    def __contains__(self, part: str) -> bool:
        return _normalized(part) in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def blocks(self, part: str, most: int = MOST_UNPACKED) -> Iterator[bytes]:
        """Yield a part's bytes; nothing for a part that is missing."""
        return self.packed.blocks(self._names.get(_normalized(part), ""), most)

    def events(self, part: str, most: int = MOST_UNPACKED) -> Iterator[xml_events.Event]:
        return xml_events.events(self.blocks(part, most))

    def elements(self, part: str, name: str) -> Iterator[xml_events.Event]:
        """Yield the elements of this name, up to where the part is malformed."""
        return xml_events.elements(self.blocks(part, 4 * MB), name)

    def related(self, part: str = "") -> list[tuple[str, str, str]]:
        """Return id, kind and target of each relationship of the part, or of the package."""
        folder, name = posixpath.split(part)
        relations: list[tuple[str, str, str]] = []
        for element in self.elements(f"{folder}/_rels/{name}.rels", "Relationship"):
            attributes = element.attributes
            if attributes.get("TargetMode") != "External":
                target = unquote(attributes.get("Target", "")).replace("\\", "/")
                path = _normalized(posixpath.normpath(posixpath.join("/", folder, target)))
                relations.append((attributes.get("Id", ""), attributes.get("Type", "").rpartition("/")[2], path))
        return relations

    def main(self) -> str:
        """Return the main part; empty where there is none."""
        usual_names = ("word/document.xml", "xl/workbook.xml", "ppt/presentation.xml")
        declared = (target for _, kind, target in self.related() if kind == "officeDocument")
        return next((part for part in (*declared, *usual_names) if part in self), "")

    def properties_part(self, kind: str, usual: str) -> str:
        return next((target for _, each, target in self.related() if each == kind), usual)


def is_ooxml(packed: ZipPackage) -> bool:
    return any(_normalized(name) == "[content_types].xml" for name in packed.names)


def facts(packed: ZipPackage) -> dict[str, Any]:
    """Read the facts; a damaged part contributes none."""
    package = Package(packed)
    facts: dict[str, Any] = {"encrypted": False}
    core = package.properties_part("core-properties", "docProps/core.xml")
    app = package.properties_part("extended-properties", "docProps/app.xml")
    for part, fact_by_element in ((core, _CORE), (app, _APP)):
        facts |= xml_events.first_texts(package.blocks(part, MB), fact_by_element)
    for name in ("page_count", "slides"):
        if not facts.get(name, "0").isdecimal():
            del facts[name]
        elif name in facts:
            facts[name] = min(int(facts[name][:9]), 10**9)
    facts["has_macros"] = any(name.endswith("vbaproject.bin") for name in package)
    main = package.main()
    kind = _kind(package, main)
    if kind == "presentation":
        facts["slides"] = len(_ordered(package, main, "sldId", "slide"))
    if kind == "workbook":
        sheets = [sheet.attributes.get("name", "") for sheet in package.elements(main, "sheet")]
        facts |= {"sheets": len(sheets), "sheet_names": [shorten(name, 100) for name in sheets[:MOST_NAMES]]}
    pages = facts.pop("page_count", 0) or facts.get("slides") or facts.get("sheets")
    return facts | ({"page_count": pages} if pages else {})


def text(packed: ZipPackage) -> Iterator[str]:
    """Yield the text with its text boxes, then notes, comments, headers and footers, each part once. Slides and sheets
    come in order, each with its own parts; cells are separated by tabs."""
    package = Package(packed)
    main = package.main()
    kind, seen = _kind(package, main), set[str]()
    if kind == "workbook":
        cells = _Cells(package, main)
        for sheet in _ordered(package, main, "sheet", *_SHEETS):
            yield from _part_text(package, sheet, seen, cells)
    elif kind == "presentation":
        for slide in _ordered(package, main, "sldId", "slide"):
            yield from _part_text(package, slide, seen)
    elif main:
        yield from _part_text(package, main, seen)
    for part in sorted(package):
        if _TEXT_PART_NAME.fullmatch(part):
            yield from _part_text(package, part, seen)


def _part_text(package: Package, part: str, seen: set[str], cells: _Cells | None = None) -> Iterator[str]:
    """Yield the text of a part and of the parts that it has relationships to."""
    if part in seen or part not in package or len(seen) >= _MOST_PARTS:
        return
    seen.add(part)
    try:
        yield from cells.sheet_text(part) if cells else _paragraphs(package, part)
    except xml_events.Malformed:
        package.packed.damaged = True
    yield "\n"
    related = [(kind, path) for _, kind, path in package.related(part) if kind in _RELATIONS_WITH_TEXT]
    for _, path in sorted((_RELATIONS_WITH_TEXT.index(kind), path) for kind, path in related):
        yield from _part_text(package, path, seen)


def _paragraphs(package: Package, part: str) -> Iterator[str]:
    """Yield the displayed text of any part with runs of text."""
    shown = _Visibility()
    for event in package.events(part):
        if event.kind == "text":
            yield event.text if shown.is_text else ""
        else:
            shown.follow(event)
            if event.kind == "end" and not shown.hidden:
                yield "-" if event.name == "noBreakHyphen" else _BREAKS.get(event.name, "") if shown.breaks else ""


class _Visibility:
    """Follows the elements of a part, to tell whether the next text is displayed."""

    def __init__(self) -> None:
        self.breaks = True
        self._hidden = self._inside = 0
        self._fields: list[bool] = []
        self._in_run = self._vanished = False

    @property
    def hidden(self) -> bool:
        return self._hidden > 0 or any(self._fields)

    @property
    def is_text(self) -> bool:
        return self._inside > 0 and not self.hidden and not self._vanished

    def follow(self, event: xml_events.Event) -> None:
        begins = event.kind == "start"
        step = 1 if begins else -1
        match event.name:
            case name if name in _HIDDEN_ELEMENTS:
                self._hidden += step
            case "t" | "text":
                self._inside += step
            case "fld" if begins:  # the number of a slide is no text
                self._fields.append(event.attributes.get("type") == "slidenum")
            case "fld" if self._fields:
                self._fields.pop()
            case "r":
                self._in_run, self._vanished = begins, False
            case "vanish" if begins and self._in_run:
                self._vanished = event.attributes.get("val", "1") not in ("0", "false", "off")
            case "tabs":  # tab stops, not tabs
                self.breaks = not begins


class _Cells:
    """Reads the cells of a workbook's sheets, with shared strings and formatted dates."""

    def __init__(self, package: Package, main: str) -> None:
        self._package = package
        targets = {kind: target for _, kind, target in package.related(main)}
        folder = posixpath.dirname(main)
        self._shared = _shared_strings(package, targets.get("sharedStrings", f"{folder}/sharedStrings.xml"))
        self._shown = _date_formats(package, targets.get("styles", f"{folder}/styles.xml"))
        properties = package.elements(main, "workbookPr")
        self._since_1904 = any(each.attributes.get("date1904", "0") in ("1", "true") for each in properties)

    def sheet_text(self, part: str) -> Iterator[str]:
        kind, style, is_text, text = "", "", False, ""
        for event in self._package.events(part):
            if event.kind == "text":
                text += event.text if is_text and len(text) < 65536 else ""
            elif event.name == "c" and event.kind == "start":
                kind, style, text = event.attributes.get("t", "n"), event.attributes.get("s", ""), ""
            elif event.name in ("v", "t"):
                is_text = event.kind == "start"
            elif event.name == "c":
                yield f"{self._value(kind, style, text)}\t"
            elif event.name == "row" and event.kind == "end":
                yield "\n"
            elif event.name.endswith(("Header", "Footer")):
                is_text, text = event.kind == "start", text if event.kind == "end" else ""
                if event.kind == "end" and event.name != "headerFooter" and text.strip():
                    yield _HEADING_CODES.sub(" ", text) + "\n"

    def _value(self, kind: str, style: str, text: str) -> str:
        if kind == "s":
            is_index = text.isdecimal() and len(text) < 9 and int(text) < len(self._shared)
            return self._shared[int(text)] if is_index else ""
        if kind == "b":
            return {"1": "TRUE", "0": "FALSE"}.get(text, text)
        shown = self._shown.get(style) if kind == "n" and text else None
        return cell_dates.format_value(text, shown, since_1904=self._since_1904) if shown else text


def _kind(package: Package, main: str) -> str:
    """Return the root element of the main part, which names the kind of document."""
    with suppress(xml_events.Malformed):
        return next((event.name for event in package.events(main, 4 * MB) if event.kind == "start"), "")
    return ""


def _ordered(package: Package, main: str, element: str, *kinds: str) -> list[str]:
    """Return slides or sheets in the document's order; without relationships, by the numbers in their names."""
    paths = {relation: path for relation, kind, path in package.related(main) if kind in kinds}
    ids = [event.attributes.get("id", "") for event in package.elements(main, element)]
    parts = [paths[relation] for relation in ids if paths.get(relation, "") in package]
    if parts:
        return parts
    numbered = [(int(match[2]), match[0]) for part in package if (match := _NUMBERED.fullmatch(part))]
    return [part for _, part in sorted(numbered)]


def _shared_strings(package: Package, part: str) -> list[str]:
    strings: list[str] = []
    size, is_text, hidden = 0, False, False
    for event in package.events(part):
        if event.kind == "start" and event.name == "si":
            strings.append("")
        elif event.name == "rPh":
            hidden = event.kind == "start"
        elif event.name == "t":
            is_text = event.kind == "start"
        elif event.kind == "text" and is_text and not hidden and strings:
            strings[-1] += event.text
            size += len(event.text)
        if size > _MOST_SHARED or len(strings) > _SHARED_TEXTS:
            package.packed.cut = True
            break
    return strings


def _date_formats(package: Package, part: str) -> dict[str, cell_dates.DateFormat]:
    """Return the cell formats that show dates, by their index in the list of formats."""
    codes: dict[str, str] = {}
    by_number: dict[str, cell_dates.DateFormat | None] = {}
    by_cell_format: dict[str, cell_dates.DateFormat] = {}
    in_cells, index = False, 0
    with suppress(xml_events.Malformed):
        for event in package.events(part, 16 * MB):
            attributes = event.attributes
            if event.name == "cellXfs":
                in_cells = event.kind == "start"
            elif event.kind == "start" and event.name == "numFmt" and len(codes) < _MOST_FORMATS:
                codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")[:1000]
            elif event.kind == "start" and event.name == "xf" and in_cells and index < _MOST_FORMATS:
                number = attributes.get("numFmtId", "")
                if number not in by_number and number.isdecimal():
                    by_number[number] = cell_dates.date_format(int(number[:9]), codes.get(number))
                if kind := by_number.get(number):
                    by_cell_format[str(index)] = kind
                index += 1
    return by_cell_format


def _normalized(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()
