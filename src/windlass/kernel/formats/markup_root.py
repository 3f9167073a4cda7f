"""What a document of markup is, by its root: SVG, HTML, XHTML, or another kind of XML.

Programs that show such files skip a byte order mark, comments, instructions and a document type before the root, in any
encoding; so they are skipped here, however long they are. The root's namespace is told by expat, which knows prefixes
and what a document type says of attributes; it fetches nothing and bounds what entities expand to. Both read a
stranger's bytes: call this in the sandbox.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from xml.parsers import expat

SVG, XHTML, HTML, XML = "image/svg+xml", "application/xhtml+xml", "text/html", "text/xml"

#: Characters of an instruction, a document type or a tag that are waited for; comments may be of any length.
_LONGEST = 1024 * 1024

_SVG_NAMESPACE, _XHTML_NAMESPACE = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"
_OPENDOCUMENT = re.compile(r"application/vnd\.oasis\.opendocument\.[a-z-]{1,40}")

#: Root of a kind of XML with a type of its own -> what its namespace contains, if it has one, and the type.
_KINDS: Mapping[str, tuple[str, str]] = {
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

_PAGE = frozenset({"html", "head", "body", "frameset"})
_PIECES = re.compile(
    r"a|abbr|address|article|aside|b|base|blockquote|br|button|center|code|dd|div|dl|dt|em|fieldset|figure|font|footer"
    r"|form|h[1-6]|header|hr|i|iframe|img|input|li|link|main|meta|nav|object|ol|p|pre|script|section|select|small|span"
    r"|strong|style|sub|sup|table|tbody|td|template|textarea|th|title|tr|tt|u|ul|video"
)

_SPACE = re.compile(r"[\s\0\ufeff]*+")
_DOCTYPE = re.compile(
    r"<!DOCTYPE\s++(?:[\w.-]*+:)?([\w.-]++)(?:[^>\[\"']++|\"[^\"]*+\"|'[^']*+')*+(?:\[.*?\]\s*+)?>", re.DOTALL | re.I
)
_TAG = re.compile(r"<(?:([\w.-]++):)?([\w.-]++)(?=[\s/>])")
_SCRIPT = re.compile(r"<\?(?:php\b|=|\s)", re.I)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = ((re.compile(rb"(?:[\t\r\n ]\0)*+<\0"), "utf-16-le"), (re.compile(rb"(?:\0[\t\r\n ])*+\0<"), "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Markup:
    """``kind`` is a media type. ``certain``: a document type, a namespace or a root of its own says so; else it is a
    piece of HTML, or a text that begins like XML. ``is_xhtml``: HTML that may be read as XHTML, or the reverse."""

    kind: str
    certain: bool = True
    is_xhtml: bool = False


@dataclass(slots=True)
class _Opening:
    """The name of the first element, and what stands before it."""

    tag: str = ""
    doctype: str = ""
    is_xml: bool = False
    is_script: bool = False


@dataclass(frozen=True, slots=True)
class _Root:
    name: str = ""
    namespace: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


def markup(read: Callable[[], Iterable[bytes]]) -> Markup | None:
    """What the document is; None for what does not begin as markup. ``read`` gives its blocks from the beginning, each
    time it is called. Raises ValueError where what stands before the root does not end within reason."""
    head = next(iter(read()), b"")
    codec = _codec(head)
    beginning = _SPACE.sub("", head[:65536].decode(codec, "replace"), count=1)
    if beginning and not beginning.startswith("<"):
        return None
    opening = _opening(_texts(read(), codec))
    return None if opening is None else _kind(opening, _root(read, codec))


def _codec(head: bytes) -> str:
    """In which the signs of markup can be searched; the others are supersets of ASCII."""
    marked = (codec for mark, codec in _BOMS if head.startswith(mark))
    return next(marked, next((codec for pattern, codec in _WIDE if pattern.match(head)), "latin-1"))


def _texts(blocks: Iterable[bytes], codec: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(codec)("replace")
    for block in blocks:
        yield decoder.decode(block)
    yield " "  # what the file ends with is complete


def _opening(texts: Iterable[str]) -> _Opening | None:
    """None where the text goes on as something else than markup."""
    found, text = _Opening(), ""
    for more in texts:
        text = _SPACE.sub("", text + more, count=1)
        while (rest := _after_one(text, found)) is not None:
            text = _SPACE.sub("", rest, count=1)
        if found.tag or not _is_waiting(text):
            return found if found.tag or found.doctype or found.is_xml else None
        if text.startswith("<!--"):
            text = "<!--" + text[4:][-2:]
        if len(text) > _LONGEST:
            if found.is_script:
                return None
            raise ValueError
    return found if found.doctype or found.is_xml else None


def _is_waiting(text: str) -> bool:
    return not text or text.startswith(("<!", "<?")) or (text.startswith("<") and len(text) < 1000)


def _after_one(text: str, found: _Opening) -> str | None:
    """The text behind the one thing that it begins with; None where that is the root, something else, or
    has no end yet."""
    if text.startswith("<!--"):
        end = text.find("-->", 2)
        return text[end + 3 :] if end >= 0 else None
    if text.startswith("<?"):
        end = text.find("?>")
        found.is_script = found.is_script or (not found.is_xml and _SCRIPT.match(text) is not None)
        found.is_xml = found.is_xml or text.startswith("<?xml")
        return text[end + 2 :] if end >= 0 else None
    if doctype := _DOCTYPE.match(text):
        found.doctype = doctype[1].lower()
        return text[doctype.end() :]
    if tag := _TAG.match(text):
        found.tag = tag[2].lower()
    return None


class _Found(Exception):
    """The parser is at the root, and has no more to say."""


def _root(read: Callable[[], Iterable[bytes]], codec: str) -> _Root:
    """By expat; without a name where there is none before the first error."""
    return _parsed(read(), None) or (_parsed(read(), "iso-8859-1") if codec == "latin-1" else None) or _Root()


def _parsed(blocks: Iterable[bytes], encoding: str | None) -> _Root | None:
    """``encoding`` stands for one that the document declares and expat does not know: names are in ASCII anyway."""
    found: list[_Root] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        found.append(_Root(local.lower(), namespace.strip().lower(), attributes))
        raise _Found

    parser = expat.ParserCreate(encoding, namespace_separator=" ")
    parser.StartElementHandler = start
    with suppress(_Found, expat.ExpatError, LookupError, ValueError):
        for number, block in enumerate(blocks):
            parser.Parse(block.lstrip(b"\r\n\t ") if number == 0 else block, False)
    return found[0] if found else None


def _kind(opening: _Opening, root: _Root) -> Markup | None:
    if opening.tag == "svg" or root.namespace == _SVG_NAMESPACE:
        return Markup(SVG)
    if opening.is_script:
        return None
    is_xhtml = root.namespace == _XHTML_NAMESPACE
    if is_xhtml or opening.tag in _PAGE or opening.doctype == "html":
        is_xml = opening.is_xml or (is_xhtml and opening.tag not in _PAGE)
        return Markup(XHTML if is_xml else HTML, is_xhtml=is_xhtml or opening.is_xml)
    is_certain = opening.is_xml or bool(root.namespace)
    if not is_certain and _PIECES.fullmatch(opening.tag):
        return Markup(HTML, certain=False)
    return Markup(_xml_kind(opening, root), certain=is_certain)


def _xml_kind(opening: _Opening, root: _Root) -> str:
    said = next((value for name, value in root.attributes.items() if name.endswith(" mimetype")), "")
    if root.namespace.startswith("urn:oasis:names:tc:opendocument") and _OPENDOCUMENT.fullmatch(said):
        return f"{said}-flat-xml"
    namespace, kind = _KINDS.get(root.name or opening.tag, ("", XML))
    return kind if namespace in root.namespace or not root.namespace else XML
