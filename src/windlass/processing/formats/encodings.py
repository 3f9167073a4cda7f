"""Character encodings of texts that others wrote: which one it is, and a decoder that may be trusted with bytes."""

from __future__ import annotations

import codecs
import re

#: Only these are decoded: Python has codecs of the same interface that unpack, execute escapes or take quadratic time.
_TEXT = re.compile(
    r"ascii|utf-(7|8|8-sig|16|16-le|16-be|32|32-le|32-be)|cp\d{3,5}|iso8859-\d{1,2}|koi8-[rtu]|big5(hkscs)?|gb2312|gbk"
    r"|gb18030|hz|euc_(jp|jis_2004|jisx0213|kr)|shift_jis(_2004|x0213)?|iso2022_\w+|johab|mac-\w+|tis-620|kz1048|ptcp154"
)
#: Names of Unicode blocks that say nothing against a text being in Latin letters.
_COMMON = re.compile("Latin|Punctuation|Control|Currency|Letterlike|Spacing")
_NAME = re.compile(r"[\w.:-]{1,40}", re.ASCII)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

#: What bytes in an unknown encoding are read as: every byte is a character of it.
FALLBACK = "cp1252"


def known(name: str | None) -> str | None:
    """The codec of that name, if it is one for text."""
    if not name or not _NAME.fullmatch(name):
        return None
    try:
        found = codecs.lookup(name).name
    except (LookupError, UnicodeError):
        return None
    return found if _TEXT.fullmatch(found) else None


def decoder(name: str | None) -> codecs.IncrementalDecoder:
    """Never fails on bytes: what cannot be decoded becomes U+FFFD."""
    return codecs.getincrementaldecoder(known(name) or FALLBACK)(errors="replace")


def byte_order_mark(head: bytes) -> str | None:
    """The codec that takes the mark away."""
    return next((codec for mark, codec in _BOMS if head.startswith(mark)), None)


def detect(head: bytes, hint: str | None, *, whole: bool) -> str:
    """The codec of a text that begins so. ``hint`` is another's guess; ``whole``: there is nothing after ``head``.

    A byte order mark is believed, then valid UTF-8, then a guess by the frequency of letters, then the hint.
    """
    marked = byte_order_mark(head)
    if marked:
        return marked
    hinted = known(hint)
    if hinted and hinted.startswith(("utf-16", "utf-32")):
        return hinted
    if is_utf8(head, whole=whole):
        return "ascii" if head.isascii() else "utf-8"
    return _guess(head) or hinted or FALLBACK


def is_utf8(head: bytes, *, whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, whole)
    except UnicodeDecodeError:
        return False
    return True


def _guess(head: bytes) -> str | None:
    """Of a text in Latin letters the most common encoding of those that fit as well as the best: the others differ from
    it in a few letters, by which a short text cannot be told."""
    import charset_normalizer

    found = charset_normalizer.from_bytes(head[: 64 * 1024])
    best = found.best()
    if best is None:
        return None
    if all(_COMMON.search(alphabet) for alphabet in best.alphabets):
        fits = [each for each in found if each.chaos <= best.chaos + 0.08]
        if any(FALLBACK in each.could_be_from_charset for each in fits):
            return FALLBACK
    return known(best.encoding)


def prepare() -> None:
    """Load the codecs that texts are likely to be in, and the tables of the guess."""
    for name in ("utf-16", "utf-32", "cp1250", "cp1251", "cp1252", "iso8859-1", "iso8859-15", "koi8-r", "shift_jis"):
        codecs.lookup(name)
    for name in ("gb18030", "big5", "euc_jp", "euc_kr", "iso2022_jp", "cp437", "cp932", "cp949"):
        codecs.lookup(name)
    _guess("Прекрасный вечер, дождь идёт".encode("cp1251") * 8)
