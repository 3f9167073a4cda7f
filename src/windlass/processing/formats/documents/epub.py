"""Facts and text of books (EPUB 3.3)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from windlass.processing.formats.documents.zip_package import ZipPackage
from windlass.processing.formats.read_limits import MB
from windlass.processing.formats.text import encodings, html_text, xml_events

_CHAPTER = 8 * MB
_FACT_BY_ELEMENT = {"title": "title", "creator": "author", "date": "created", "language": "language"}
#: Obfuscation of fonts, which books without a password have too.
_FONTS_ONLY = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def is_epub(packed: ZipPackage) -> bool:
    return packed.read("mimetype", 200).strip() == b"application/epub+zip"


def facts(packed: ZipPackage) -> dict[str, Any]:
    facts: dict[str, Any] = {"encrypted": _is_encrypted(packed), "has_macros": False}
    with suppress(xml_events.Malformed):  # of the part that names the package document
        facts |= xml_events.first_texts(packed.blocks(package_path(packed), 4 * MB), _FACT_BY_ELEMENT)
    return facts


def text(packed: ZipPackage) -> Iterator[str]:
    """Yield the text of the chapters in reading order: XHTML and SVG pages; pictures and sounds have none."""
    for part in _chapters(packed):
        source = packed.read(part, _CHAPTER)
        if _is_markup(source):
            page = html_text.decode_page(source)
            yield from html_text.visible_text(page[max(page.find("<body"), 0) :])
            yield "\n"


def _is_markup(source: bytes) -> bool:
    """Whether it is markup, whatever type the book declares."""
    head = encodings.decoder(encodings.encoding_of(source[:1024])).decode(source[:1024])
    return head.lstrip("\ufeff \t\r\n").startswith("<") and "\0" not in head


def package_path(packed: ZipPackage) -> str:
    """Return the path of the package document; empty where the book names none."""
    for event in xml_events.events(packed.blocks("META-INF/container.xml", MB)):
        if event.kind == "start" and event.name == "rootfile":
            return event.attributes.get("full-path", "")
    return ""


def _chapters(packed: ZipPackage) -> list[str]:
    """Return the parts that the spine lists; for pictures and sounds their fallback page."""
    opf, paths, fallbacks, order = package_path(packed), dict[str, str](), dict[str, str](), list[str]()
    for element in xml_events.elements(packed.blocks(opf, 4 * MB), "item", "itemref"):
        attributes = element.attributes
        if element.name == "itemref":
            order.append(attributes.get("idref", ""))
            continue
        item, href = attributes.get("id", ""), unquote(attributes.get("href", "").partition("#")[0])
        paths[item] = posixpath.normpath(posixpath.join(posixpath.dirname(opf), href))
        is_page = not attributes.get("media-type", "").startswith(("image/", "audio/", "video/"))
        if not is_page and attributes.get("fallback"):
            fallbacks[item] = attributes["fallback"]
    shown = (fallbacks.get(each, each) for each in order)
    return [paths[each] for each in shown if each in paths]


def _is_encrypted(packed: ZipPackage) -> bool:
    methods = xml_events.elements(packed.blocks("META-INF/encryption.xml", MB), "EncryptionMethod")
    return any(method.attributes.get("Algorithm") not in _FONTS_ONLY for method in methods)
