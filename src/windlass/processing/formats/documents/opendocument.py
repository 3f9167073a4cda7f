"""Facts and text of OpenDocument texts, sheets and presentations (OASIS ODF 1.3)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from windlass.processing.formats.documents.zip_package import ZipPackage
from windlass.processing.formats.read_limits import MB, shorten
from windlass.processing.formats.text import xml_events

MOST_NAMES = 100
_FACT_BY_ELEMENT = {
    "title": "title",
    "initial-creator": "author",
    "creator": "author",
    "creation-date": "created",
    "date": "modified",
    "generator": "application",
}
_MACROS = ("Basic/", "Scripts/")
#: Elements whose text is not displayed.
_HIDDEN = frozenset({"tracked-changes", "binary-data", "settings", "forms"})
#: The part with headers and footers of pages, and their elements.
_STYLES = "styles.xml"
_HEADINGS = frozenset({"header", "footer", "header-first", "footer-first", "header-left", "footer-left"})
_BREAKS = frozenset({"p", "h", "table-row", "line-break"})


def is_opendocument(packed: ZipPackage) -> bool:
    return packed.read("mimetype", 200).startswith(b"application/vnd.oasis.opendocument.")


def facts(packed: ZipPackage) -> dict[str, Any]:
    """Read the facts; of an encrypted document only those of its metadata that are not encrypted."""
    kind = packed.read("mimetype", 200).decode("ascii", "replace")
    facts = _metadata(packed)
    facts["has_macros"] = any(name.startswith(_MACROS) and not name.endswith("/") for name in packed.names)
    facts["encrypted"] = _is_encrypted(packed)
    if facts["encrypted"]:
        return facts
    if "spreadsheet" in kind:
        facts |= _named_elements(packed, "table", "sheet")
    elif "presentation" in kind:
        facts |= {"slides": _named_elements(packed, "page", "slide")["slides"]}
    pages = facts.get("page_count") or facts.get("slides") or facts.get("sheets")
    return facts | ({"page_count": pages} if pages else {})


def text(packed: ZipPackage) -> Iterator[str]:
    """Yield the text with its comments, then headers and footers of pages."""
    try:
        yield from _paragraphs(xml_events.events(packed.blocks("content.xml")))
        yield from _paragraphs(_headings(xml_events.events(packed.blocks(_STYLES, 16 * MB))))
    except xml_events.Malformed:
        packed.damaged = True


def _headings(events: Iterator[xml_events.Event]) -> Iterator[xml_events.Event]:
    inside = 0
    for event in events:
        if event.name in _HEADINGS:
            inside += 1 if event.kind == "start" else -1
        elif inside:
            yield event


def _paragraphs(events: Iterator[xml_events.Event]) -> Iterator[str]:
    hidden, inside, around = 0, 0, list[int]()
    for event in events:
        if event.name == "annotation":  # it stands in a paragraph, and has paragraphs
            around, inside = ([*around, inside], 0) if event.kind == "start" else (around[:-1], sum(around[-1:]))
            yield "\n"
        elif event.name in _HIDDEN:
            hidden += 1 if event.kind == "start" else -1
        elif hidden:
            continue
        elif event.kind == "text":
            yield event.text if inside else ""
        elif event.name in ("p", "h"):
            inside += 1 if event.kind == "start" else -1
            yield "\n" if event.kind == "end" else ""
        elif event.kind == "end":
            yield "\n" if event.name in _BREAKS else "\t" if event.name in ("tab", "table-cell") else ""
        elif event.name == "s":
            count = event.attributes.get("c", "1")
            yield " " * min(int(count), 100) if count.isdecimal() and len(count) < 5 else " "


def _metadata(packed: ZipPackage) -> dict[str, Any]:
    if _is_encrypted(packed, "meta.xml"):
        return {}
    facts = xml_events.first_texts(packed.blocks("meta.xml", MB), _FACT_BY_ELEMENT)
    for statistic in xml_events.elements(packed.blocks("meta.xml", MB), "document-statistic"):
        count = statistic.attributes.get("page-count", "")
        if count.isdecimal() and 0 < len(count) < 10:
            facts["page_count"] = int(count)
    return facts


def _is_encrypted(packed: ZipPackage, member: str | None = None) -> bool:
    """Whether the manifest declares any member encrypted, or this one."""
    path, manifest = "", packed.blocks("META-INF/manifest.xml", 4 * MB)
    for element in xml_events.elements(manifest, "file-entry", "encryption-data"):
        if element.name == "file-entry":
            path = element.attributes.get("full-path", "")
        elif member in (None, path):
            return True
    return False


def _named_elements(packed: ZipPackage, element: str, label: str) -> dict[str, Any]:
    """Count the outermost elements of this kind, with their names: tables within tables are not sheets."""
    names: list[str] = []
    count = depth = 0
    with suppress(xml_events.Malformed):
        for event in xml_events.events(packed.blocks("content.xml")):
            if event.name == element:
                depth += 1 if event.kind == "start" else -1
                if event.kind == "start" and depth == 1:
                    count += 1
                    if len(names) < MOST_NAMES:
                        names.append(shorten(event.attributes.get("name", ""), 100))
    return {f"{label}s": count, f"{label}_names": names}
