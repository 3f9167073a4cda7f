"""The type of a markup document by its root element: SVG, HTML, XHTML, or another kind of XML.

Browsers skip a byte order mark, comments, instructions and a document type before the root, in any encoding, so they
are skipped here, at any length. expat resolves the root's namespace, with prefixes and attribute defaults of the
document type; it fetches nothing and bounds the expansion of entities.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from xml.parsers import expat

from windlass.processing.formats.text.text_types import BYTE_ORDER_MARKS

SVG, XHTML, HTML, XML = "image/svg+xml", "application/xhtml+xml", "text/html", "text/xml"

#: Characters of the longest instruction, document type or tag; comments may be of any length.
_LONGEST = 1024 * 1024
#: Instructions and document types that are skipped.
_MOST_PROLOGUE_ITEMS = 10_000

_SVG_NAMESPACE, _XHTML_NAMESPACE = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"
_OPENDOCUMENT = re.compile(r"application/vnd\.oasis\.opendocument\.[a-z-]{1,40}")

#: Root element -> a part of its namespace, if it has one, and the type.
_TYPE_BY_ROOT: Mapping[str, tuple[str, str]] = {
    "collada": ("collada", "model/vnd.collada+xml"),
    "feed": ("/atom", "application/atom+xml"),
    "gml": ("/gml", "application/gml+xml"),
    "gpx": ("/gpx", "application/gpx+xml"),
    "kml": ("kml", "application/vnd.google-earth.kml+xml"),
    "math": ("/math", "application/mathml+xml"),
    "mml": ("/math", "application/mathml+xml"),
    "opml": ("", "text/x-opml"),
    "rdf": ("rdf-syntax", "application/rdf+xml"),
    "rss": ("", "application/rss+xml"),
    "score-partwise": ("", "application/vnd.recordare.musicxml+xml"),
    "score-timewise": ("", "application/vnd.recordare.musicxml+xml"),
    "smil": ("", "application/smil+xml"),
    "stylesheet": ("/xsl/transform", "application/xslt+xml"),
    "transform": ("/xsl/transform", "application/xslt+xml"),
    "tt": ("/ttml", "application/ttml+xml"),
    "x3d": ("", "model/x3d+xml"),
    "xliff": ("xliff", "application/xliff+xml"),
}

_PAGE_ELEMENTS = frozenset({"html", "head", "body", "frameset"})
_HTML_ELEMENTS = re.compile(
    r"a|abbr|address|article|aside|b|base|blockquote|br|button|center|code|dd|div|dl|dt|em|fieldset|figure|font|footer"
    r"|form|h[1-6]|header|hr|i|iframe|img|input|li|link|main|meta|nav|object|ol|p|pre|script|section|select|small|span"
    r"|strong|style|sub|sup|table|tbody|td|template|textarea|th|title|tr|tt|u|ul|video"
)

#: Atomic, so that it does not backtrack. Not a possessive group: where an alternative fails in its middle, Python
#: before 3.11.5 counts what it has passed as matched (https://github.com/python/cpython/issues/106052).
_SKIPPED = re.compile(r"(?>(?:[\s\ufeff]++|<!-->|<!--.*?-->)*)", re.DOTALL)
_DOCTYPE = re.compile(
    r"<!DOCTYPE\s++(?:[\w.-]*+:)?([\w.-]++)(?>(?:[^>\[\"']++|\"[^\"]*+\"|'[^']*+')*)(?:\[.*?\]\s*+)?>", re.DOTALL | re.I
)
_TAG = re.compile(r"<(?:([\w.-]++):)?([\w.-]++)(?=[\s/>])")
_WHOLE_TAG = re.compile(r"<[^\s\"'<>]++(?>(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*)>")
_SCRIPT = re.compile(r"<\?(?:php\b|=|\s)", re.I)
_WIDE = ((re.compile(rb"(?:[\t\r\n ]\0)*+<\0"), "utf-16-le"), (re.compile(rb"(?:\0[\t\r\n ])*+\0<"), "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Markup:
    """``kind``: a media type. ``certain``: known by a document type, a namespace or the root; otherwise a fragment of
    HTML, or a text that begins like XML. ``is_xhtml``: HTML that may be read as XHTML, or the reverse."""

    kind: str
    certain: bool = True
    is_xhtml: bool = False


@dataclass(slots=True)
class _Opening:
    """The first element: its name, and the source of its tag with the document type before it."""

    tag: str = ""
    source: str = ""
    doctype: str = ""
    is_xml: bool = False
    is_script: bool = False
    passed: int = 0


@dataclass(frozen=True, slots=True)
class _Root:
    name: str = ""
    namespace: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


def detect_markup(blocks: Iterable[bytes]) -> Markup | None:
    """Return the type of a document; None where it does not begin as markup. Reads as few blocks as possible.

    Raises ValueError where the prologue, or the root's tag, is longer than the limits.
    """
    reading = iter(blocks)
    head = next(reading, b"")
    codec = _codec(head)
    beginning = _SKIPPED.sub("", head[:65536].decode(codec, "replace"), count=1)
    if beginning and not beginning.startswith("<"):
        return None
    texts = codecs.iterdecode(chain([head], reading), codec, "replace")
    opening = _opening(chain(texts, (" ",)))  # the last item of the file is complete
    return None if opening is None else _kind(opening, _root(opening.source))


def _codec(head: bytes) -> str:
    """Return a codec in which markup can be searched; other encodings are supersets of ASCII."""
    marked = (codec for mark, codec in BYTE_ORDER_MARKS if head.startswith(mark))
    return next(marked, next((codec for pattern, codec in _WIDE if pattern.match(head)), "latin-1"))


def _opening(texts: Iterable[str]) -> _Opening | None:
    """Read up to the root; None where the text is no markup."""
    opening, text = _Opening(), ""
    for more in texts:
        text += more
        position = _skip_comments(text, 0)
        while (end := _end_of_prologue_item(text, position, opening)) is not None:
            position = _skip_comments(text, end)
            opening.passed += 1
            if opening.passed > _MOST_PROLOGUE_ITEMS:
                raise ValueError
        text = text[position:]
        if _is_complete(text, opening):
            break
        if text.startswith("<!--"):
            text = "<!--" + text[4:][-2:]
        if len(text) > _LONGEST:
            if opening.is_script:
                return None
            raise ValueError
    return opening if opening.tag or opening.doctype or opening.is_xml else None


def _skip_comments(text: str, start: int) -> int:
    skipped = _SKIPPED.match(text, start)
    return skipped.end() if skipped else start


def _end_of_prologue_item(text: str, start: int, opening: _Opening) -> int | None:
    """Return the end of the instruction or document type at ``start``; None for others, or without an end yet."""
    if text.startswith("<!--", start):
        return None
    if text.startswith("<?", start):
        end = text.find("?>", start)
        opening.is_script = opening.is_script or (not opening.is_xml and _SCRIPT.match(text, start) is not None)
        opening.is_xml = opening.is_xml or text.startswith("<?xml", start)
        return end + 2 if end >= 0 else None
    if doctype := _DOCTYPE.match(text, start):
        opening.doctype, opening.source = doctype[1].lower(), doctype[0]
        return doctype.end()
    return None


def _is_complete(text: str, opening: _Opening) -> bool:
    """Whether the text begins with the whole tag of the root, or with no markup."""
    name = _TAG.match(text)
    if name is None:
        return bool(text) and not text.startswith(("<!", "<?")) and (not text.startswith("<") or len(text) > 1000)
    opening.tag = name[2].lower()
    whole_tag = _WHOLE_TAG.match(text)
    if whole_tag is not None:
        opening.source += whole_tag[0]
    return (
        whole_tag is not None
        or opening.doctype == "html"
        or opening.tag in _PAGE_ELEMENTS
        or bool(_HTML_ELEMENTS.fullmatch(opening.tag))
    )


class _RootReached(Exception):
    """Ends parsing at the root."""


def _root(source: str) -> _Root:
    """Parse the root with expat; without a name where it is not well-formed."""
    roots: list[_Root] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        roots.append(_Root(local.lower(), namespace.strip().lower(), attributes))
        raise _RootReached

    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    parser.StartElementHandler = start
    with suppress(_RootReached, expat.ExpatError):
        parser.Parse(source.encode("utf-8", "replace"), False)
    return roots[0] if roots else _Root()


def _kind(opening: _Opening, root: _Root) -> Markup | None:
    if opening.tag == "svg" or root.namespace == _SVG_NAMESPACE:
        return Markup(SVG)
    if opening.is_script:
        return None
    is_xhtml = root.namespace == _XHTML_NAMESPACE
    if is_xhtml or opening.tag in _PAGE_ELEMENTS or opening.doctype == "html":
        is_xml = opening.is_xml or (is_xhtml and opening.tag not in _PAGE_ELEMENTS)
        return Markup(XHTML if is_xml else HTML, is_xhtml=is_xhtml or opening.is_xml)
    is_certain = opening.is_xml or bool(root.namespace)
    if not is_certain and _HTML_ELEMENTS.fullmatch(opening.tag):
        return Markup(HTML, certain=False)
    return Markup(_xml_kind(opening, root), certain=is_certain)


def _xml_kind(opening: _Opening, root: _Root) -> str:
    opendocument_type = next((value for name, value in root.attributes.items() if name.endswith(" mimetype")), "")
    if root.namespace.startswith("urn:oasis:names:tc:opendocument") and _OPENDOCUMENT.fullmatch(opendocument_type):
        return f"{opendocument_type}-flat-xml"
    namespace, kind = _TYPE_BY_ROOT.get(root.name or opening.tag, ("", XML))
    return kind if namespace in root.namespace or not root.namespace else XML
