"""Text of RTF (Microsoft's specification 1.9.1), in one pass over its bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from windlass.kernel.charsets import python_codec
from windlass.processing.formats.text.encodings import FALLBACK, decoder

_TOKEN = re.compile(
    rb"\\(?P<word>[A-Za-z]{1,32})(?P<number>-?[0-9]{1,10})? ?|\\'(?P<hex>[0-9A-Fa-f]{2})|\\(?P<sign>[^A-Za-z])"
    rb"|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]++)",
    re.DOTALL,
)
_TEXT_BY_WORD = {
    **dict.fromkeys((b"par", b"line", b"row"), "\n"),
    **dict.fromkeys((b"sect", b"page"), "\n\n"),
    **dict.fromkeys((b"cell", b"nestcell", b"tab"), "\t"),
    **dict.fromkeys((b"emspace", b"enspace", b"qmspace"), " "),
    b"emdash": "\N{EM DASH}",
    b"endash": "\N{EN DASH}",
    b"bullet": "\N{BULLET}",
    b"lquote": "\N{LEFT SINGLE QUOTATION MARK}",
    b"rquote": "\N{RIGHT SINGLE QUOTATION MARK}",
    b"ldblquote": "\N{LEFT DOUBLE QUOTATION MARK}",
    b"rdblquote": "\N{RIGHT DOUBLE QUOTATION MARK}",
}
_TEXT_BY_SYMBOL = {b"\\": "\\", b"{": "{", b"}": "}", b"~": " ", b"_": "-", b"\n": "\n", b"\r": "\n", b"\t": "\t"}
#: Groups whose content is not text of the document. Groups that begin with ``\\*`` are skipped too, except those of
#: ``_SHOWN_GROUPS``: comments and the texts of drawings.
_SKIPPED_GROUPS = frozenset(
    b"fonttbl colortbl stylesheet info pict object objdata themedata datastore fldinst listtable listoverridetable "
    b"revtbl rsidtbl generator xe tc nonshppict shprslt nonesttables".split()
)
_SHOWN_GROUPS = frozenset(b"annotation shptxt footnote".split())
#: Words that hide text, until the word with 0 or the end of the group.
_HIDING_WORDS = frozenset(b"v deleted webhidden".split())
_DEEPEST = 1000
_MOST_FONTS = 10_000
#: Code page of each character set of a font (RTF 1.9.1, "\\fcharset").
_CHARSETS = {
    77: "mac-roman",
    128: "cp932",
    129: "cp949",
    134: "gb18030",
    136: "big5hkscs",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    **dict.fromkeys((177, 181), "cp1255"),
    **dict.fromkeys((178, 179, 180), "cp1256"),
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
    **dict.fromkeys((254, 255), "cp437"),
}


def text(source: bytes) -> Iterator[str]:
    """Yield the text; groups nested too deep are left out."""
    interpreter, position = _Reader(), 0
    while token := _TOKEN.search(source, position):
        yield interpreter.read(token)  # something for each token, so that the caller can check its deadline
        position = token.end() + interpreter.binary_length
    yield interpreter.encoded.flush()


@dataclass(frozen=True, slots=True)
class _Group:
    """``is_skipped``: not text of the document; ``is_optional``: marked with ``\\*``."""

    is_skipped: bool = False
    is_optional: bool = False
    hidden: frozenset[bytes] = frozenset()
    font: int | None = None
    #: Number of replacement characters after ``\\u``, for readers without Unicode.
    replacement_length: int = 1

    @property
    def is_shown(self) -> bool:
        return not (self.is_skipped or self.is_optional or self.hidden)


class _TextDecoder:
    """Decodes text in the encoding of its font: that of the font table, else the document's."""

    def __init__(self) -> None:
        self.document, self.fonts, self.default_font = FALLBACK, dict[int, str](), 0
        self._current, self._decoders = FALLBACK, {FALLBACK: decoder(FALLBACK)}

    def decode(self, data: bytes, font: int | None) -> str:
        encoding = self.fonts.get(self.default_font if font is None else font, self.document)
        flushed = ""
        if encoding != self._current:
            flushed = self.flush()
            self._current = encoding
            if encoding not in self._decoders:
                self._decoders[encoding] = decoder(encoding)
        return flushed + self._decoders[encoding].decode(data)

    def flush(self) -> str:
        return self._decoders[self._current].decode(b"", True)


class _Reader:
    def __init__(self) -> None:
        self.encoded, self.binary_length = _TextDecoder(), 0
        self._group, self._outer_groups, self._depth = _Group(), list[_Group](), 0
        self._replacement_left, self._high_surrogate = 0, ""

    def read(self, token: re.Match[bytes]) -> str:
        """Return the text of a token. ``binary_length``: bytes of binary data that follow it."""
        self.binary_length, group = 0, token.lastgroup
        if group == "brace":
            return self._read_brace(token["brace"])
        if group in ("word", "number"):
            return self._read_word(token["word"], int(token["number"] or 0), bare=group == "word")
        if group == "sign" and token["sign"] == b"*":
            self._group = replace(self._group, is_optional=True)
            return ""
        return self._read_text(token, group)

    def _read_text(self, token: re.Match[bytes], group: str | None) -> str:
        data = token["text"] if group == "text" else bytes.fromhex(token["hex"].decode()) if group == "hex" else b""
        skipped = min(self._replacement_left, len(data) or 1)
        self._replacement_left -= skipped
        if not self._group.is_shown or self._depth > _DEEPEST:
            return ""
        if data:
            return self.encoded.decode(data[skipped:], self._group.font)
        return "" if skipped else self.encoded.flush() + _TEXT_BY_SYMBOL.get(token["sign"], "")

    def _read_brace(self, brace: bytes) -> str:
        """Enter or leave a group."""
        self._replacement_left = 0
        if brace == b"{":
            self._depth += 1
            if self._depth <= _DEEPEST:
                self._outer_groups.append(self._group)
            return ""
        if self._outer_groups and self._depth <= _DEEPEST:
            self._group = self._outer_groups.pop()
        self._depth = max(self._depth - 1, 0)
        return self.encoded.flush()

    def _read_word(self, word: bytes, number: int, *, bare: bool) -> str:
        group = self._group
        if word == b"bin":
            self.binary_length = max(number, 0)
        elif word == b"uc":
            self._group = replace(group, replacement_length=max(0, min(number, 10)))
        elif word in _SHOWN_GROUPS:
            self._group = replace(group, is_optional=False)
        elif word in _SKIPPED_GROUPS:
            self._group = replace(group, is_skipped=True)
        elif word in _HIDING_WORDS:
            on = bare or number != 0
            self._group = replace(group, hidden=group.hidden | {word} if on else group.hidden - {word})
        elif word == b"plain":
            self._group = replace(group, hidden=frozenset(), font=None)
        elif word in (b"f", b"fcharset", b"cpg", b"deff", b"ansicpg", b"mac", b"pc", b"pca"):
            self._read_font(word, number)
        elif word == b"u":
            return self._read_unicode(number)
        elif group.is_shown and self._depth <= _DEEPEST:
            if self._replacement_left:
                self._replacement_left -= 1
                return ""
            return self.encoded.flush() + _TEXT_BY_WORD[word] if word in _TEXT_BY_WORD else ""
        return ""

    def _read_font(self, word: bytes, number: int) -> None:
        encoded, font = self.encoded, self._group.font
        match word:
            case b"f":
                self._group = replace(self._group, font=number)
            case b"deff":
                encoded.default_font = number
            case b"ansicpg" if number:
                encoded.document = python_codec(f"cp{number}") or FALLBACK
            case b"mac" | b"pc" | b"pca":
                encoded.document = {b"mac": "mac-roman", b"pc": "cp437", b"pca": "cp850"}[word]
            case _ if font is not None and len(encoded.fonts) < _MOST_FONTS:
                codec = _CHARSETS.get(number) if word == b"fcharset" else python_codec(f"cp{number}")
                if codec:
                    encoded.fonts[font] = codec

    def _read_unicode(self, number: int) -> str:
        """Read ``\\u``: a unit of UTF-16 as a signed number of 16 bits."""
        self._replacement_left = self._group.replacement_length
        if not self._group.is_shown or self._depth > _DEEPEST:
            return ""
        units, self._high_surrogate = self._high_surrogate + chr(number % 65536), ""
        if "\ud800" <= units[-1] <= "\udbff":
            units, self._high_surrogate = units[:-1], units[-1]
        return self.encoded.flush() + units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
