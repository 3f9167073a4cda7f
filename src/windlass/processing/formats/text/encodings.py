"""Detection of a text's character encoding, and decoders that accept any bytes."""

# ruff: noqa: RUF001  letters of other scripts are data here

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from windlass.kernel.charsets import python_codec
from windlass.processing.formats.read_limits import BLOCK, MB
from windlass.processing.formats.text.text_types import BYTE_ORDER_MARKS

#: What bytes in an unknown encoding are read as: every byte is a character of it.
FALLBACK = "cp1252"

#: Encodings that use ASCII bytes only, and the escapes that identify those of ISO 2022.
_SEVEN_BIT = frozenset({"hz", "iso2022_jp_ext", "iso2022_kr", "utf-7"})
_ESCAPES = ((b"\x1b$B", "iso2022_jp_ext"), (b"\x1b$@", "iso2022_jp_ext"), (b"\x1b$)C", "iso2022_kr"))

#: Bytes of a text that are tested for UTF-16 and UTF-32, and bytes of its non-ASCII lines that are kept for the guess.
_HEAD = _SAMPLE = 64 * 1024
_LONGEST_LINE = 8 * 1024
#: Valid characters for each invalid one from which on a text is damaged UTF-8 rather than another encoding.
_RIGHT_FOR_EACH_WRONG = 10
#: Candidates of the guess: the encodings of the Encoding Standard, and DOS code pages 437 and 850.
_GUESSED = (
    *("ascii", "big5", "big5hkscs", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
    *("cp1258", "cp437", "cp850", "cp866", "cp874", "cp932", "cp949", "euc_jp", "gb18030", "iso8859_2", "iso8859_5"),
    *("iso8859_6", "iso8859_7", "iso8859_8", "koi8_r", "koi8_u", "mac_cyrillic", "mac_roman"),
)


def decoder(name: str | None) -> codecs.IncrementalDecoder:
    """Return a decoder that never fails: undecodable bytes become U+FFFD. ``name``: a codec or any label."""
    codec = "utf-8" if name == "ascii" else name if name == "utf-8-sig" else python_codec(name) or FALLBACK
    return codecs.getincrementaldecoder(codec)(errors=_VENDOR_CHARACTERS if codec in _JAPANESE else "replace")


def byte_order_mark(head: bytes) -> str | None:
    """Return the codec that removes the mark; None without a mark."""
    codec = next((codec for mark, codec in BYTE_ORDER_MARKS if head.startswith(mark)), "")
    return "utf-8-sig" if codec == "utf-8" else codec.removesuffix("le").removesuffix("be") or None


class EncodingDetector:
    """Detects the encoding of a text. ``add`` takes its bytes in pieces; memory is bounded."""

    def __init__(self) -> None:
        self._head = b""
        self._is_ascii = True
        self._escapes: str | None = None
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._right = self._wrong = 0
        self._sample, self._line = bytearray(), b""

    @property
    def is_decided(self) -> bool:
        """Whether further bytes change nothing: it is not UTF-8, and the sample for the guess is full."""
        return not self._is_utf8 and len(self._sample) >= _SAMPLE

    def add(self, piece: bytes) -> None:
        if len(self._head) < _HEAD:
            self._head += piece[: _HEAD - len(self._head)]
        if self._escapes is None and b"\x1b" in piece:
            self._escapes = next((codec for escape, codec in _ESCAPES if escape in piece), None)
        if piece.isascii() and not self._utf8.getstate()[0]:
            return
        self._is_ascii = False
        text = self._utf8.decode(piece)
        wrong = text.count("\ufffd")
        self._wrong += wrong
        self._right += len(text) - wrong - len(text.encode("ascii", "ignore"))
        if len(self._sample) < _SAMPLE:
            self._collect(piece)

    def codec(self, declared: str | None = None, hint: str | None = None) -> str:
        """Return the codec of the text; ``ascii`` where all of it is ASCII.

        ``declared``: the label that the text or its sender gives; ``hint``: a weaker one, guessed elsewhere. In order
        of precedence: a byte order mark, UTF-16 and UTF-32 by their zeros, the declared encoding unless the bytes
        contradict it, UTF-8 where the bytes are valid, a guess by the frequency of letters, the hint.
        """
        declared_codec, hint_codec = python_codec(declared), python_codec(hint)
        if declared_codec in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
            declared_codec = None  # a declaration in it could not have been read as ASCII
        if wide := byte_order_mark(self._head) or _utf16_or_utf32(self._head, hint_codec):
            return wide
        if self._is_ascii:
            return declared_codec if declared_codec in _SEVEN_BIT else self._escapes or "ascii"
        if self._is_utf8 and declared_codec in (None, "utf-8", FALLBACK):
            return "utf-8"
        if declared_codec and declared_codec != "utf-8":
            return declared_codec
        last_line = b"" if self._line.isascii() else _shortened_line(self._line)
        return _guess(bytes(self._sample) + last_line) or hint_codec or FALLBACK

    @property
    def _is_utf8(self) -> bool:
        return self._right >= _RIGHT_FOR_EACH_WRONG * self._wrong

    def _collect(self, piece: bytes) -> None:
        """Add non-ASCII lines to the sample, whole where they are short: a character must not be split."""
        *lines, self._line = (self._line + piece).split(b"\n")
        for line in lines:
            if not line.isascii():
                self._sample += _shortened_line(line) + b"\n"
            if len(self._sample) >= _SAMPLE:
                return
        if len(self._line) > _LONGEST_LINE:
            self._sample += b"" if self._line.isascii() else _shortened_line(self._line) + b"\n"
            self._line = b""


def detect(pieces: Iterable[bytes]) -> EncodingDetector:
    """Read pieces until the encoding is decided."""
    detector = EncodingDetector()
    for piece in pieces:
        detector.add(piece)
        if detector.is_decided:
            break
    return detector


def encoding_of(data: bytes, declared: str | None = None, hint: str | None = None) -> str:
    """Return the codec of a text in memory."""
    return detect(data[offset : offset + MB] for offset in range(0, len(data), MB)).codec(declared, hint)


def decoded(pieces: Iterable[bytes], declared: str | None) -> Iterator[str]:
    """Yield a text decoded in the encoding of its first MiB."""
    detector, pieces_held, size = EncodingDetector(), list[bytes](), 0
    pieces = iter(pieces)
    for piece in pieces:
        detector.add(piece)
        pieces_held.append(piece)
        size += len(piece)
        if size > MB:
            break
    yield from decode_pieces(chain(pieces_held, pieces), detector.codec(declared))


def decode_pieces(pieces: Iterable[bytes], codec: str) -> Iterator[str]:
    """Yield decoded text. Never fails."""
    text_decoder = decoder(codec)
    for piece in pieces:
        yield text_decoder.decode(piece)
    yield text_decoder.decode(b"", True)


def _shortened_line(line: bytes) -> bytes:
    if len(line) <= _LONGEST_LINE:
        return line
    cut = line[:_LONGEST_LINE]
    return cut[: cut.rfind(b" ") + 1] or cut


def _utf16_or_utf32(head: bytes, hinted: str | None) -> str | None:
    """Detect UTF-32 without a mark by its zeros, UTF-16 by the byte order that gives usual characters. Text without any
    zero byte, even of a space or a line break, is not detected."""
    is_ascii = head.isascii() and not _CONTROLS.search(head) and head.count(0) < 0.4 * len(head)
    if b"\0" in head and not is_ascii:
        zeros = [head[index::4].count(0) for index in range(4)]
        for codec, highest in (("utf-32-le", zeros[3]), ("utf-32-be", zeros[0])):
            if len(head) % 4 == 0 and highest == len(head) // 4 and _share_of_usual(head, codec) > 0.9:
                return codec
        # The high bytes of a text's characters are few: scripts lie together.
        shares = {codec: _share_of_usual(head, codec) for codec in ("utf-16-le", "utf-16-be")}
        highs = {"utf-16-le": len(set(head[1::2])), "utf-16-be": len(set(head[::2]))}
        best = max(shares, key=lambda codec: shares[codec] - highs[codec] / 256)
        if shares[best] > 0.9:
            return best
    return hinted if hinted and hinted.startswith(("utf-16", "utf-32")) else None


def _share_of_usual(data: bytes, codec: str) -> float:
    """Return the share of usual characters; 0 where the bytes are invalid in that encoding."""
    try:
        text = codecs.getincrementaldecoder(codec)().decode(data)
    except UnicodeDecodeError:
        return 0.0
    return 1 - len(_UNUSUAL.findall(text)) / max(len(text), 1)


#: Bytes that UTF-16 of most scripts has, and ASCII with a few NULs has not.
_CONTROLS = re.compile(rb"[\x01-\x08\x0b\x0e-\x1a\x1c-\x1f]")
#: Characters that are rare in texts of any script: controls, private use, rare blocks.
_UNUSUAL = re.compile(
    "[^\t\n\f\r\x20-\x7e\xa0-\u06ff\u0900-\u0dff\u0e00-\u0e5b\u10a0-\u10ff\u1e00-\u22ff\u2500-\u26ff\u3000-\u30ff\u4e00-\u9fff"
    "\uac00-\ud7a3\ufe30-\ufe4f\uff00-\uffef\ufeff\U0001f300-\U0001faff]"
)


def _guess(sample: bytes) -> str | None:
    """Return the likeliest encoding by the frequency of letters; among encodings that differ in a few letters, the one
    whose letters fit the languages that use it."""
    import charset_normalizer

    best = charset_normalizer.from_bytes(sample[: 2 * BLOCK], cp_isolation=list(_GUESSED)).best()
    codec = python_codec(best.encoding) if best else None
    if codec is None or codec in _LATIN_LIKE:
        return _east_asian(sample) or (codec and _likeliest(sample, _LATIN))
    return _likeliest(sample, (codec, *_SCRIPTS)) if codec in _SCRIPTS else codec


def _likeliest(sample: bytes, candidates: Sequence[str]) -> str:
    """Return the candidate of highest plausibility, the first of equal ones."""
    return max(candidates, key=lambda name: _plausibility(sample.decode(name, "replace"), name))


def _east_asian(sample: bytes) -> str | None:
    """Return an encoding of two bytes in which a short text is valid and nearly all of it is common."""
    shares = {name: _share_of_common(sample, name, leads) for name, leads in _COMMON_LEADS.items()}
    best = max(shares, key=shares.__getitem__)
    return best if shares[best] > 0.95 else None


def _share_of_common(sample: bytes, name: str, leads: bytes) -> float:
    try:
        text = sample.decode(name)
    except UnicodeDecodeError:
        return 0.0
    others = [character for character in text if character > "\x7f"]
    common = sum(character.encode(name)[:1] in leads for character in others if len(character.encode(name)) == 2)
    has_kana = any("\u3041" <= character <= "\u30fe" for character in others)
    return common / len(others) if len(others) > 1 and has_kana <= (name in _WITH_KANA) else 0.0


#: Lead bytes of the common characters of each encoding of two bytes; of equal candidates the first is chosen.
_COMMON_LEADS = {
    "cp932": bytes((*range(0x81, 0x85), *range(0x87, 0x98))),
    "euc_jp": bytes((0xA1, 0xA2, 0xA3, 0xA4, 0xA5, *range(0xB0, 0xD0))),
    "cp949": bytes((0xA1, 0xA2, 0xA3, *range(0xB0, 0xC9))),
    "big5hkscs": bytes((0xA1, 0xA2, 0xA3, *range(0xA4, 0xC7))),
    "gb18030": bytes((0xA1, 0xA2, 0xA3, *range(0xB0, 0xD8))),
}
_WITH_KANA = frozenset({"cp932", "euc_jp"})


#: Encodings of Latin script, the most common first; they differ in a few letters.
_LATIN = ("cp1252", "cp1254", "cp1250", "iso8859-2", "cp1257", "cp850", "cp437", "mac-roman")
_LATIN_LIKE = frozenset({*_LATIN, "cp1258"})
_SOUTH_EAST = "áéíóúýäöüßçëîôâÁÉÍÓÚÝÄÖÜąćęłńśźżčďěňřšťůžľőűăşţŕĄĆĘŁŃŚŹŻČĎĚŇŘŠŤŮŽĽŐŰ"
_WEST = "äöüßÄÖÜàâçéèêëîïôùûœÉÈÀÇæøåÆØÅñáíóúãõÁÍÓÚÑìòšžŠŽ¿¡"
_CYRILLIC, _GREEK = "А-яЁёІіЇїЄєҐґЎў", "Α-Ωα-ωάέήίόύώΐΰϊϋΆΈΉΊΌΎΏ"
#: Letters of the languages of each encoding, as the inside of a character class.
_LETTERS = {
    **dict.fromkeys(("cp1252", "cp850", "cp437", "mac-roman"), _WEST),
    **dict.fromkeys(("cp1250", "iso8859-2"), _SOUTH_EAST),
    "cp1254": "ğışĞİŞçöüÇÖÜâ",
    "cp1257": "āčēģīķļņšūžąęėįųĀČĒĢĪĶĻŅŠŪŽ",
    **dict.fromkeys(("cp1251", "koi8-r", "koi8-u", "iso8859-5", "cp866", "mac-cyrillic"), _CYRILLIC),
    **dict.fromkeys(("cp1253", "iso8859-7"), _GREEK),
    **dict.fromkeys(("cp1255", "iso8859-8"), "א-ת"),
    **dict.fromkeys(("cp1256", "iso8859-6"), "ء-غف-ي"),
    "cp874": "ก-ฺเ-๛",
}
_SCRIPTS = tuple(name for name, letters in _LETTERS.items() if letters[0] >= "\u0370")
_MARKS = re.compile(
    "(?<![^\\W\\d_])[\u2018\u2019\u201c-\u201e\u2013\u2014\u2026\u20ac\u2116§°·\xa0«»]"
    "|[^\\W\\d_]\u2019(?=[^\\W\\d_])|(?<=[\\w.,!?])[\u2018-\u201e»](?!\\w)|،|؛|؟"
)
#: A capital within a word, which appears where a text is read in another encoding of its script.
_CASE = re.compile("[а-яёα-ω][А-ЯЁΑ-Ω]")


def _plausibility(text: str, name: str) -> float:
    """Return the share of non-ASCII characters that are letters of the encoding's languages, or punctuation in a usual
    position."""
    others = sum(character > "\x7f" for character in text)
    usual = len(re.findall(f"[{_LETTERS[name]}]", text)) + len(_MARKS.findall(text)) - len(_CASE.findall(text))
    return round(usual / max(others, 1), 2)


_JAPANESE = frozenset({"euc_jp", "iso2022_jp_ext"})
_VENDOR_CHARACTERS = "windlass.japanese"


def _vendor_character(error: UnicodeError) -> tuple[str, int]:
    """Decode characters that Windows added to JIS X 0208, such as circled numbers, as the Encoding Standard does:
    through the same position in code page 932."""
    assert isinstance(error, UnicodeDecodeError)
    pair = bytes(byte & 0x7F for byte in error.object[error.start : error.start + 2])
    if len(pair) == 2 and all(0x21 <= byte <= 0x7E for byte in pair):
        row, cell = pair
        lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
        trail = cell + (0x1F if cell < 0x60 else 0x20) if row % 2 else cell + 0x7E
        try:
            return bytes((lead, trail)).decode("cp932"), error.start + 2
        except UnicodeDecodeError:
            pass
    return "\ufffd", error.end


codecs.register_error(_VENDOR_CHARACTERS, _vendor_character)


def prepare() -> None:
    """Load the codecs of the candidates and the tables of the guess."""
    for name in (*_GUESSED, "utf-16", "utf-32", "iso2022_jp_ext", "iso2022_kr", "cp775"):
        codecs.lookup(name)
    _guess("Прекрасный вечер, дождь идёт".encode("cp1251") * 8)
