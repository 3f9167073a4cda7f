"""The text of RTF (Microsoft's specification 1.9.1), in one pass over its bytes."""

from __future__ import annotations

import re
from codecs import IncrementalDecoder
from collections.abc import Iterator
from dataclasses import dataclass, replace

from windlass.processing.formats.encodings import FALLBACK, decoder

_TOKEN = re.compile(
    rb"\\(?P<word>[A-Za-z]{1,32})(?P<number>-?[0-9]{1,10})? ?|\\'(?P<hex>[0-9A-Fa-f]{2})|\\(?P<sign>[^A-Za-z])"
    rb"|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]++)",
    re.DOTALL,
)
_SAYS = {
    b"par": "\n",
    b"line": "\n",
    b"sect": "\n\n",
    b"page": "\n\n",
    b"row": "\n",
    b"cell": "\t",
    b"nestcell": "\t",
    b"tab": "\t",
    b"emdash": "\N{EM DASH}",
    b"endash": "\N{EN DASH}",
    b"bullet": "\N{BULLET}",
    b"lquote": "\N{LEFT SINGLE QUOTATION MARK}",
    b"rquote": "\N{RIGHT SINGLE QUOTATION MARK}",
    b"ldblquote": "\N{LEFT DOUBLE QUOTATION MARK}",
    b"rdblquote": "\N{RIGHT DOUBLE QUOTATION MARK}",
}
_SIGNS = {b"\\": "\\", b"{": "{", b"}": "}", b"~": " ", b"_": "-", b"\n": "\n", b"\r": "\n"}
#: Groups whose content is not text of the document; so is every group that begins with the sign ``\\*``.
_OTHERWISE = frozenset(
    b"fonttbl colortbl stylesheet info pict object objdata themedata datastore header headerf headerl headerr footer "
    b"footerf footerl footerr fldinst listtable listoverridetable revtbl rsidtbl generator xe tc nonshppict".split()
)
_DEEPEST = 1000


@dataclass(frozen=True, slots=True)
class _Group:
    hidden: bool = False
    #: How many characters after ``\\u`` stand for it where it is not known.
    instead: int = 1


def text(source: bytes) -> Iterator[str]:
    """Whatever the file says of its length is bounded by its bytes; groups nested too deep are left out."""
    codec, group, outer, place, skip, deep = decoder(FALLBACK), _Group(), [], 0, 0, 0
    while found := _TOKEN.search(source, place):
        place = found.end()
        yield ""  # so that whoever takes the text can look at the clock
        if found["brace"] == b"{":
            deep += 1
            if deep <= _DEEPEST:
                outer.append(group)
            continue
        if found["brace"] == b"}":
            group = outer.pop() if outer and deep <= _DEEPEST else group
            deep, skip = max(deep - 1, 0), 0
            continue
        word, number = found["word"], int(found["number"] or 0)
        if word == b"bin":
            place += max(number, 0)
        elif word == b"uc":
            group = replace(group, instead=max(0, min(number, 10)))
        elif word == b"ansicpg":
            codec = decoder(f"cp{number}")
        elif word in _OTHERWISE or found["sign"] == b"*":
            group = replace(group, hidden=True)
        elif not group.hidden and deep <= _DEEPEST:
            if word == b"u":
                yield chr(number % 65536)
                skip = group.instead
                continue
            said = _said(found, codec)
            yield said[skip:]
            skip = max(skip - len(said), 0)
    yield codec.decode(b"", True)


def _said(found: re.Match[bytes], codec: IncrementalDecoder) -> str:
    if found["text"] is not None:
        return codec.decode(found["text"])
    if found["hex"] is not None:
        return codec.decode(bytes.fromhex(found["hex"].decode()))
    if found["word"] is not None:
        return _SAYS.get(found["word"], "")
    return _SIGNS.get(found["sign"], "")
