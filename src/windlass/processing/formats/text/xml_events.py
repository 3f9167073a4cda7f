"""XML as events, from blocks of bytes. Entity declarations are refused, so nothing expands; nothing is fetched.

Characters that XML does not allow, as bytes or as references, are read as U+FFFD, and named references of HTML as their
characters, so that one wrong character does not end a document.
"""

from __future__ import annotations

import html
import html.entities
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from xml.parsers import expat

from windlass.kernel.charsets import python_codec
from windlass.processing.contract import Unreadable
from windlass.processing.formats.read_limits import shorten
from windlass.processing.formats.text import encodings

_DEEPEST, _LONGEST_LEAF = 500, 64 * 1024
_DECLARATION = re.compile(rb"""^\s*<\?xml[^>]{0,300}?\sencoding\s*=\s*["']([^"']{0,600})["']""")
#: First bytes that hold the XML declaration, in any encoding.
_HEAD = 1024
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_REFERENCE = re.compile(
    r"&(?:#([0-9]{1,10}|x[0-9A-Fa-f]{1,8})|(?!(?:amp|lt|gt|quot|apos);)([A-Za-z][A-Za-z0-9]{1,30}));"
)
#: A reference that may continue in the next block.
_OPEN_REFERENCE = re.compile(r"&[#A-Za-z0-9]{0,32}\Z")


class Malformed(Unreadable):
    """The XML is not well-formed; events before the error are valid."""


@dataclass(frozen=True, slots=True)
class Event:
    """``kind``: start, end or text. ``name`` and the names of attributes are without namespace."""

    kind: str
    name: str = ""
    text: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


def events(blocks: Iterable[bytes]) -> Iterator[Event]:
    """Yield events; text comes in pieces. Truncated input ends them without an error.

    Raises Malformed, and Unreadable for entity declarations, too deep nesting and unknown encodings.
    """
    pending: list[Event] = []
    parser = _parser(pending)
    try:
        for text in _cleaned(_decoded(iter(blocks))):
            parser.Parse(text.encode(), False)
            yield from pending
            pending.clear()
    except expat.ExpatError as error:
        yield from pending
        raise Malformed(f"The XML in it is not well-formed (line {error.lineno}).") from error


def elements(blocks: Iterable[bytes], *names: str) -> Iterator[Event]:
    """Yield the start of each element with one of these names, up to where the XML is malformed. Raises Unreadable."""
    with suppress(Malformed):
        yield from (event for event in events(blocks) if event.kind == "start" and event.name in names)


def first_texts(blocks: Iterable[bytes], keys: Mapping[str, str]) -> dict[str, Any]:
    """Return the first text, on one line, of elements without child elements, up to where the XML is malformed.

    ``keys``: name of each such element -> key of its text in the result. Raises Unreadable.
    """
    texts, name, text = dict[str, Any](), "", ""
    with suppress(Malformed):
        for event in events(blocks):
            if event.kind == "start":
                name, text = event.name, ""
            elif event.kind == "text":
                text += event.text if len(text) < _LONGEST_LEAF else ""
            elif event.name == name and name in keys and (line := shorten(text)):
                texts.setdefault(keys[name], line)
    return texts


def codec_of(head: bytes) -> str:
    """Return the codec of an XML document by its first bytes (XML 1.0, F). Raises Unreadable for an unknown one."""
    if marked := encodings.byte_order_mark(head):
        return marked
    if head.startswith((b"<\0", b"\0<")):
        return "utf-16-le" if head.startswith(b"<") else "utf-16-be"
    declared = _DECLARATION.match(head)
    codec = python_codec(declared[1].decode("ascii", "replace")) if declared else "utf-8"
    if codec is None or codec == "utf-7":
        raise Unreadable("The XML in it is wrong: it names an encoding that is none, or that XML cannot have.")
    return "utf-8" if codec.startswith(("utf-16", "utf-32")) else codec  # the declaration was read as ASCII


def _decoded(blocks: Iterator[bytes]) -> Iterator[str]:
    head = b""
    for block in blocks:
        head += block
        if len(head) >= _HEAD:
            break
    text_decoder = encodings.decoder(codec_of(head))
    for block in chain((head,), blocks):
        yield text_decoder.decode(block)


def _cleaned(texts: Iterable[str]) -> Iterator[str]:
    rest = ""
    for text in texts:
        text, rest = rest + text, ""
        if cut := _OPEN_REFERENCE.search(text, max(len(text) - 40, 0)):
            text, rest = text[: cut.start()], text[cut.start() :]
        yield _REFERENCE.sub(_repaired_reference, _NOT_XML.sub("\ufffd", text))
    yield _REFERENCE.sub(_repaired_reference, _NOT_XML.sub("\ufffd", rest))


def _repaired_reference(reference: re.Match[str]) -> str:
    number, name = reference[1], reference[2]
    if name:
        return html.escape(html.entities.html5.get(f"{name};", "\ufffd"), quote=False)
    value = int(number[1:], 16) if number[0] == "x" else int(number)
    is_character = value in (9, 10, 13) or 0x20 <= value < 0xD800 or 0xE000 <= value < 0xFFFE
    return reference[0] if is_character or 0x10000 <= value < 0x110000 else "\ufffd"


def _parser(pending: list[Event]) -> expat.XMLParserType:
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise Unreadable(f"The XML in it is nested more than {_DEEPEST} deep.")
        # Of two attributes of one name, the one with a namespace counts.
        ordered = sorted(attributes.items(), key=lambda each: "}" in each[0])
        pending.append(Event("start", _local(name), attributes={_local(key): each for key, each in ordered}))

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        pending.append(Event("end", _local(name)))

    def refuse(*_: object) -> None:
        raise Unreadable("The XML in it declares entities, which are never expanded.")

    parser = expat.ParserCreate("utf-8", namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda text: pending.append(Event("text", text=text))
    parser.EntityDeclHandler = refuse
    return parser


def _local(name: str) -> str:
    return name.rpartition("}")[2]
