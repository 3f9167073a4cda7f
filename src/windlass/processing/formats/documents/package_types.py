"""What a package of documents is: of Open Packaging (ECMA-376 part 2: Word, Excel, PowerPoint, Visio, 3D models, …), an
OpenDocument or an EPUB.

The content type of its main part decides. The part is found as programs find it: by the package's relationships and
its table of content types. Names of parts are compared without their case, and backslashes are slashes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from posixpath import normpath
from xml.parsers import expat

TYPES, RELATIONSHIPS = "[content_types].xml", "_rels/.rels"

#: Bytes of these two parts that are read: some ten thousand lines of them.
LONGEST = 4 * 1024 * 1024
_MOST_LINES = 50_000
_LINES = frozenset({"override", "default", "relationship", "file-entry", "rootfile"})

_OOXML = "application/vnd.openxmlformats-officedocument"

#: The end of a relationship's type, in transitional and strict documents alike -> main parts that it may point to.
_MAIN = ("/officedocument", "/3dmodel", "/fixedrepresentation", "/document")

#: Content types of main parts that differ from the type of the file in more than their end.
_OF_PARTS = {
    "application/vnd.ms-package.3dmanufacturing-3dmodel+xml": "model/3mf",
    "application/vnd.ms-package.xps-fixeddocumentsequence+xml": "application/vnd.ms-xpsdocument",
}
_MAIN_PART = re.compile(
    rf"({re.escape(_OOXML)}\.[a-z.]+|application/vnd\.ms-(?:word|excel|powerpoint|visio)\.[a-z.]+?)\.main(?:\+xml)?"
)
_MACROS = re.compile(r"(\.macroenabled)(?:template|\.12)?$")

#: Main parts under their usual names, for packages whose tables cannot be read -> the type without macros, and with.
_USUAL = {
    "word/document.xml": (f"{_OOXML}.wordprocessingml.document", "application/vnd.ms-word.document.macroenabled.12"),
    "xl/workbook.xml": (f"{_OOXML}.spreadsheetml.sheet", "application/vnd.ms-excel.sheet.macroenabled.12"),
    "xl/workbook.bin": ("application/vnd.ms-excel.sheet.binary.macroenabled.12",) * 2,
    "ppt/presentation.xml": (
        f"{_OOXML}.presentationml.presentation",
        "application/vnd.ms-powerpoint.presentation.macroenabled.12",
    ),
    "3d/3dmodel.model": ("model/3mf",) * 2,
}

Read = Callable[[str], bytes]


def normalized(name: str) -> str:
    """A part's or an entry's name as names are compared."""
    return normpath("/" + name.replace("\\", "/")).lstrip("/").lower()


def kind(names: Collection[str], read: Read) -> str | None:
    """The type of a package with entries of these normalized names; None where it is none that is known.

    ``read`` gives the content of an entry by its normalized name, empty where it cannot be read.
    """
    if TYPES not in names:
        return next((kind for part, look in _MANIFESTS.items() if part in names and (kind := look(read(part)))), None)
    table = _ContentTypes(read(TYPES))
    for target in _main_parts(read(RELATIONSHIPS)) if RELATIONSHIPS in names else ():
        found = _file_type(table.of(target))
        if found and target in names:
            return found
    return _by_usual_names(names)


def _by_usual_names(names: Collection[str]) -> str | None:
    for name, (plain, macros) in _USUAL.items():
        if name in names:
            return macros if f"{name.partition('/')[0]}/vbaproject.bin" in names else plain
    return None


def _file_type(content_type: str) -> str | None:
    """``….document.main+xml`` is the main part of a file of type ``….document``."""
    if content_type in _OF_PARTS:
        return _OF_PARTS[content_type]
    found = _MAIN_PART.fullmatch(content_type)
    return _MACROS.sub(r"\1.12", found[1]) if found else None


def _main_parts(relationships: bytes) -> Iterator[str]:
    for element in _elements(relationships):
        kind = element.attributes.get("Type", "").lower()
        if element.name == "relationship" and kind.endswith(_MAIN):
            yield normalized(element.attributes.get("Target", ""))


def _of_opendocument(manifest: bytes) -> str | None:
    """By the line for the whole package, where the entry that says it first is missing (ODF 1.3 part 2, 4.3)."""
    for element in _elements(manifest):
        said = {name.rpartition(" ")[2]: value for name, value in element.attributes.items()}
        if element.name == "file-entry" and said.get("full-path") == "/":
            return said.get("media-type") if _OPENDOCUMENT.fullmatch(said.get("media-type", "")) else None
    return None


def _of_epub(container: bytes) -> str | None:
    """By its root file (EPUB Open Container Format 3.3, 4.2.6.3.1)."""
    said = (element.attributes.get("media-type") for element in _elements(container) if element.name == "rootfile")
    return "application/epub+zip" if "application/oebps-package+xml" in said else None


_OPENDOCUMENT = re.compile(r"application/vnd\.oasis\.opendocument\.[a-z-]{1,40}")
_MANIFESTS = {"meta-inf/manifest.xml": _of_opendocument, "meta-inf/container.xml": _of_epub}


class _ContentTypes:
    """The table of content types: by part, else by the end of the part's name."""

    def __init__(self, content: bytes) -> None:
        self._parts: dict[str, str] = {}
        self._endings: dict[str, str] = {}
        for element in _elements(content):
            said = element.attributes.get("ContentType", "").strip().lower()
            if element.name == "override":
                self._parts[normalized(element.attributes.get("PartName", ""))] = said
            elif element.name == "default":
                self._endings[element.attributes.get("Extension", "").lower()] = said

    def of(self, part: str) -> str:
        return self._parts.get(part) or self._endings.get(part.rpartition(".")[2], "")


@dataclass(frozen=True, slots=True)
class _Element:
    name: str
    attributes: dict[str, str]


class _Refused(Exception):
    """The document has what it may not have, such as entities of its own, or too much of it."""


def _elements(content: bytes) -> list[_Element]:
    """The lines of a table in any encoding of XML, as far as it is well-formed."""
    found: list[_Element] = []

    def refuse(*_: object) -> None:
        raise _Refused

    def start(name: str, attributes: dict[str, str]) -> None:
        if (local := name.rpartition(" ")[2].lower()) in _LINES:
            found.append(_Element(local, attributes))
        if len(found) > _MOST_LINES:
            raise _Refused

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.EntityDeclHandler, parser.StartElementHandler = refuse, start
    with suppress(expat.ExpatError, _Refused, LookupError, ValueError):
        parser.Parse(content.lstrip(b"\r\n\t "), True)
    return found
