"""Text, title and language of HTML, in one pass without a tree; linear in its length.

Tags end where the tokenizer of the HTML standard ends them (13.2.5). The standard library's parser is not used: before
its releases of 2025 some inputs take quadratic time.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from windlass.processing.formats.text import encodings

#: From the name on: quoted values may contain ">". Possessive, so that it does not backtrack.
_TAG = re.compile(r"(/?)([A-Za-z][^\s/>]*+)((?>(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*))>")
_UNENDED = re.compile(r"</?[A-Za-z]")
_LANGUAGE = re.compile(r"""\slang\s*=\s*["']?([A-Za-z0-9-]{1,35})""", re.IGNORECASE)
_RAW = frozenset({"script", "style", "textarea", "title", "noembed", "noframes", "iframe", "xmp"})
_HIDDEN = _RAW - {"textarea", "title"} | {"template", "noscript", "metadata", "annotation", "annotation-xml"}
_BREAK = re.compile(
    r"address|article|aside|blockquote|br|dd|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|header|hr|li|main"
    r"|nav|ol|option|p|pre|section|table|tbody|text|tfoot|thead|title|tr|ul"
)
#: First bytes of a page or an XML file in which its encoding is declared.
_HEAD = 8192
_DECLARED = re.compile(
    rb"""<\?xml[^>]{1,200}?encoding\s*=\s*["']([\w.:-]{1,60})|<meta\s[^>]{0,1000}?charset\s*=\s*["']?\s*([\w.:+-]{1,60})""",
    re.IGNORECASE,
)
_CELLS = frozenset({"td", "th"})
_SPACES = re.compile(r"[ \t\r\n\f]+")


@dataclass(frozen=True, slots=True)
class Token:
    """A tag (``name``, and ``attributes`` unparsed), or text between tags (``name`` is empty)."""

    name: str = ""
    text: str = ""
    attributes: str = ""
    closing: bool = False


def tokens(source: str) -> Iterator[Token]:
    """Yield tags and text, with character references resolved. Comments, declarations and instructions are left out."""
    position = 0
    while position < len(source):
        start = source.find("<", position)
        if start < 0:
            yield Token(text=html.unescape(source[position:]))
            return
        if start > position:
            yield Token(text=html.unescape(source[position:start]))
        tag = _TAG.match(source, start + 1)
        if tag is None:
            position = _skip_other(source, start)
            if position == start + 1:
                yield Token(text="<")
            continue
        name = tag[2].lower()
        yield Token(name, attributes=tag[3], closing=bool(tag[1]))
        position = tag.end()
        if name in _RAW and not tag[1]:
            end = re.compile(rf"</{re.escape(name)}[\s/>]", re.IGNORECASE).search(source, position)
            stop = end.start() if end else len(source)
            raw_text = source[position:stop]
            yield Token(text=html.unescape(raw_text) if name in ("title", "textarea") else "")
            position = stop


def _skip_other(source: str, mark: int) -> int:
    """Return the end of what is no tag: a comment, a declaration, a tag without end, or a bare ``<``."""
    if source.startswith("<!--", mark):
        end = source.find("-->", mark + 2)
        return end + 3 if end >= 0 else len(source)
    if _UNENDED.match(source, mark):
        return len(source)  # a further search would be quadratic in the number of such tags
    if source.startswith(("<!", "<?", "</"), mark):
        end = source.find(">", mark)
        return end + 1 if end >= 0 else len(source)
    return mark + 1


def visible_text(source: str, *, structured: bool = True) -> Iterator[str]:
    """Yield the displayed text, something for every token, so that the caller can check its deadline.

    ``structured``: elements are those of HTML; otherwise (any XML) all text is displayed.
    """
    hidden = 0
    pre = 0
    for token in tokens(source):
        if not token.name:
            yield "" if hidden else token.text if pre else _SPACES.sub(" ", token.text)
            continue
        step = -1 if token.closing else 1
        if structured and token.name in _HIDDEN and not token.attributes.endswith("/"):
            hidden = max(hidden + step, 0)
        elif token.name == "pre":
            pre = max(pre + step, 0)
        if not structured or _BREAK.fullmatch(token.name):
            yield "\n"
        else:
            yield "\t" if token.name in _CELLS and token.closing else ""


def declared_charset(head: bytes) -> str | None:
    """Return the encoding label in an HTML page or an XML file (HTML 13.2.3.2, XML 4.3.3)."""
    match = _DECLARED.search(head[:_HEAD])
    return (match[1] or match[2]).decode("ascii", "replace") if match else None


def decode_page(source: bytes, hint: str | None = None) -> str:
    """Decode a page or an XML file in the encoding that it declares, or that is detected; ``hint``: a guess of it."""
    return encodings.decoder(encodings.encoding_of(source, declared_charset(source), hint)).decode(source, True)


def title_and_language(head: str) -> tuple[str, str]:
    """Return title and language of a page, each empty where it has none."""
    title, language, in_title = "", "", False
    for token in tokens(head):
        if token.name == "html" and not token.closing and (match := _LANGUAGE.search(token.attributes)):
            language = match[1]
        elif token.name == "body":
            break
        elif token.name:
            in_title = token.name == "title" and not token.closing
        elif in_title and not title:
            title = token.text
    return title, language
