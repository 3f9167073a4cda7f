"""Books (EPUB 3.3): what their package says, and their text in reading order."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from windlass.processing.formats import markup, xml
from windlass.processing.formats.bounds import MB, shorten
from windlass.processing.formats.packed import Packed

_CHAPTER = 8 * MB
_SAYS = {"title": "title", "creator": "author", "date": "created", "language": "language"}
#: Fonts are hidden this way in books that anybody may read.
_FONTS_ONLY = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def is_epub(packed: Packed) -> bool:
    return packed.read("mimetype", 200).strip() == b"application/epub+zip"


def facts(packed: Packed) -> dict[str, Any]:
    found: dict[str, Any] = {"encrypted": _is_encrypted(packed), "has_macros": False}
    name, said = "", ""
    for event in xml.events(packed.blocks(package(packed), 4 * MB)):
        if event.kind == "start":
            name, said = event.name, ""
        elif event.kind == "text":
            said += event.text
        elif event.name == name and name in _SAYS and said.strip():
            found.setdefault(_SAYS[name], shorten(said))
    return found


def text(packed: Packed) -> Iterator[str]:
    for part in _chapters(packed):
        source = packed.read(part, _CHAPTER).decode("utf-8", "replace")
        head = source.find("<body")
        yield from markup.text(source[max(head, 0) :])
        yield "\n"


def package(packed: Packed) -> str:
    """Where the package document lies; empty where the book does not say."""
    for event in xml.events(packed.blocks("META-INF/container.xml", MB)):
        if event.kind == "start" and event.name == "rootfile":
            return event.attributes.get("full-path", "")
    return ""


def _chapters(packed: Packed) -> list[str]:
    opf, places, order = package(packed), {}, []
    for event in xml.events(packed.blocks(opf, 4 * MB)):
        if event.kind == "start" and event.name == "item":
            href = unquote(event.attributes.get("href", "").partition("#")[0])
            places[event.attributes.get("id", "")] = posixpath.normpath(posixpath.join(posixpath.dirname(opf), href))
        elif event.kind == "start" and event.name == "itemref":
            order.append(event.attributes.get("idref", ""))
    return [places[each] for each in order if each in places]


def _is_encrypted(packed: Packed) -> bool:
    for event in xml.events(packed.blocks("META-INF/encryption.xml", MB)):
        is_method = event.kind == "start" and event.name == "EncryptionMethod"
        if is_method and event.attributes.get("Algorithm") not in _FONTS_ONLY:
            return True
    return False
