"""The type of a zip file by its entries, which may be in any order: a package of Open Packaging (ECMA-376 part 2: Word,
Excel, PowerPoint, Visio, 3D models, …), an OpenDocument, an EPUB, or another.

A package's type is the content type of its main part, which is found as programs find it: by the relationships and the
table of content types. Names of parts are compared without case, and backslashes are slashes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from posixpath import normpath
from typing import BinaryIO
from xml.parsers import expat

from windlass.processing.formats.archives import zip_directory
from windlass.processing.formats.archives.zip_directory import BadZip, Member
from windlass.processing.formats.documents.zip_package import read_start

#: Entries of a directory that are read.
_MOST_ENTRIES = 50_000

#: First bytes of a zip file: an entry, the end record of an empty one, the marks of a split one (APPNOTE 8.5).
SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08PK\x03\x04", b"PK00PK\x03\x04")

#: Entry -> type of a zip file that has it; the first that is there decides.
_TYPE_BY_ENTRY = {
    "AndroidManifest.xml": "application/vnd.android.package-archive",
    "doc.kml": "application/vnd.google-earth.kmz",
    "META-INF/MANIFEST.MF": "application/java-archive",
}

#: Types that the entry ``mimetype`` may declare, spelled out in full: they become the type that is served.
_DECLARED = re.compile(
    r"application/(?:epub\+zip|vnd\.(?:oasis\.opendocument|sun\.xml)\.[a-z0-9.-]{1,60})|image/openraster"
)

_TYPES_PART, _RELATIONSHIPS_PART = "[content_types].xml", "_rels/.rels"

#: Bytes of each such part that are read.
_LONGEST_PART = 4 * 1024 * 1024
_MOST_ELEMENTS = 50_000
_ELEMENTS_READ = frozenset({"override", "default", "relationship", "file-entry", "rootfile"})

_OOXML = "application/vnd.openxmlformats-officedocument"

#: Ends of the type of a relationship to the main part, in transitional and strict documents.
_TO_MAIN_PART = ("/officedocument", "/3dmodel", "/fixedrepresentation", "/document")

#: Content types of main parts that differ from the type of the file in more than their end.
_TYPE_BY_PART_TYPE = {
    "application/vnd.ms-package.3dmanufacturing-3dmodel+xml": "model/3mf",
    "application/vnd.ms-package.xps-fixeddocumentsequence+xml": "application/vnd.ms-xpsdocument",
}
_MAIN_PART = re.compile(
    rf"({re.escape(_OOXML)}\.[a-z.]+|application/vnd\.ms-(?:word|excel|powerpoint|visio)\.[a-z.]+?)\.main(?:\+xml)?"
)
_MACROS = re.compile(r"(\.macroenabled)(?:template|\.12)?$")

#: Usual name of a main part -> the type without macros, and with: for packages whose tables cannot be read.
_TYPE_BY_PART_NAME = {
    "word/document.xml": (f"{_OOXML}.wordprocessingml.document", "application/vnd.ms-word.document.macroenabled.12"),
    "xl/workbook.xml": (f"{_OOXML}.spreadsheetml.sheet", "application/vnd.ms-excel.sheet.macroenabled.12"),
    "xl/workbook.bin": ("application/vnd.ms-excel.sheet.binary.macroenabled.12",) * 2,
    "ppt/presentation.xml": (
        f"{_OOXML}.presentationml.presentation",
        "application/vnd.ms-powerpoint.presentation.macroenabled.12",
    ),
    "3d/3dmodel.model": ("model/3mf",) * 2,
}


def kinds(file: BinaryIO, *, with_entries: bool = False) -> list[str]:
    """Return the type by each directory that a program may read, the one that most programs read first.

    Damaged directories are left out; ``with_entries``: empty ones too.
    """
    kinds = []
    for directory in zip_directory.directories(file):
        with suppress(BadZip):
            members = tuple(islice(zip_directory.members(file, directory), _MOST_ENTRIES))
            if members or not with_entries:
                kinds.append(_kind(file, members))
    return kinds


def _kind(file: BinaryIO, members: Iterable[Member]) -> str:
    entries = {member.name: member for member in members}
    declared = ""
    if "mimetype" in entries:
        declared = read_start(file, entries["mimetype"], 100).decode("ascii", "replace").strip()
    if _DECLARED.fullmatch(declared):
        return declared
    parts = {_normalized(name): entry for name, entry in entries.items()}

    def read(name: str) -> bytes:
        return read_start(file, parts[name], _LONGEST_PART)

    package = _package_kind(parts.keys(), read)
    return package or next((kind for name, kind in _TYPE_BY_ENTRY.items() if name in entries), "application/zip")


def _normalized(name: str) -> str:
    """A part's or an entry's name in the form in which names are compared."""
    return normpath("/" + name.replace("\\", "/")).lstrip("/").lower()


def _package_kind(names: Collection[str], read: Callable[[str], bytes]) -> str | None:
    """The type of a package with entries of these normalized names; None for a plain zip file.

    ``read`` returns the content of an entry by its normalized name, empty where it cannot be read.
    """
    if _TYPES_PART not in names:
        kinds = (read_manifest(read(part)) for part, read_manifest in _MANIFESTS.items() if part in names)
        return next(filter(None, kinds), None)
    table = _ContentTypes(read(_TYPES_PART))
    for target in _main_parts(read(_RELATIONSHIPS_PART)) if _RELATIONSHIPS_PART in names else ():
        kind = _file_type(table.of(target))
        if kind and target in names:
            return kind
    return _by_usual_names(names)


def _by_usual_names(names: Collection[str]) -> str | None:
    for name, (plain, macros) in _TYPE_BY_PART_NAME.items():
        if name in names:
            return macros if f"{name.partition('/')[0]}/vbaproject.bin" in names else plain
    return None


def _file_type(content_type: str) -> str | None:
    """``….document.main+xml`` is the main part of a file of type ``….document``."""
    if content_type in _TYPE_BY_PART_TYPE:
        return _TYPE_BY_PART_TYPE[content_type]
    match = _MAIN_PART.fullmatch(content_type)
    return _MACROS.sub(r"\1.12", match[1]) if match else None


def _main_parts(relationships: bytes) -> Iterator[str]:
    for name, attributes in _elements(relationships):
        if name == "relationship" and attributes.get("Type", "").lower().endswith(_TO_MAIN_PART):
            yield _normalized(attributes.get("Target", ""))


def _of_opendocument(manifest: bytes) -> str | None:
    """The type in the manifest's entry for the whole package (ODF 1.3 part 2, 4.3), where ``mimetype`` is missing."""
    for name, namespaced in _elements(manifest):
        attributes = {key.rpartition(" ")[2]: value for key, value in namespaced.items()}
        if name == "file-entry" and attributes.get("full-path") == "/":
            kind = attributes.get("media-type", "")
            return kind if _OPENDOCUMENT.fullmatch(kind) else None
    return None


def _of_epub(container: bytes) -> str | None:
    """By its root file (EPUB Open Container Format 3.3, 4.2.6.3.1)."""
    kinds = (attributes.get("media-type") for name, attributes in _elements(container) if name == "rootfile")
    return "application/epub+zip" if "application/oebps-package+xml" in kinds else None


_OPENDOCUMENT = re.compile(r"application/vnd\.oasis\.opendocument\.[a-z-]{1,40}")
_MANIFESTS = {"meta-inf/manifest.xml": _of_opendocument, "meta-inf/container.xml": _of_epub}


class _ContentTypes:
    """The table of content types: by part, else by the extension of the part's name."""

    def __init__(self, content: bytes) -> None:
        self._parts: dict[str, str] = {}
        self._extensions: dict[str, str] = {}
        for name, attributes in _elements(content):
            content_type = attributes.get("ContentType", "").strip().lower()
            if name == "override":
                self._parts[_normalized(attributes.get("PartName", ""))] = content_type
            elif name == "default":
                self._extensions[attributes.get("Extension", "").lower()] = content_type

    def of(self, part: str) -> str:
        return self._parts.get(part) or self._extensions.get(part.rpartition(".")[2], "")


class _Refused(Exception):
    """The document declares entities, or has too many elements."""


def _elements(content: bytes) -> list[tuple[str, dict[str, str]]]:
    """The name, in lower case, and attributes of each element of a table, as far as it is well-formed.

    Not by ``xml_events``: expat decodes by itself, so that this step needs no codec that the sandbox could not load.
    """
    elements: list[tuple[str, dict[str, str]]] = []

    def refuse(*_: object) -> None:
        raise _Refused

    def start(name: str, attributes: dict[str, str]) -> None:
        if (local := name.rpartition(" ")[2].lower()) in _ELEMENTS_READ:
            elements.append((local, attributes))
        if len(elements) > _MOST_ELEMENTS:
            raise _Refused

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.EntityDeclHandler, parser.StartElementHandler = refuse, start
    with suppress(expat.ExpatError, _Refused, LookupError, ValueError):
        parser.Parse(content.lstrip(b"\r\n\t "), True)
    return elements
