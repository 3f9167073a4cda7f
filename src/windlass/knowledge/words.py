"""The words of a text as the search compares them. Pure.

Both databases index and are asked for these words, so that they find the same: letters without case, compatibility
forms and Latin, Greek or Cyrillic accents; digits; and each character of a script that puts no spaces between words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

#: Characters of a word; what is longer is no word that anybody types.
LONGEST_WORD = 64

#: Thai, Lao, Myanmar, Khmer, kana, Han.
_UNSPACED = (
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e45\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec4\u1000-\u102a\u1780-\u17b3"
    "\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_ACCENTS = re.compile("[\u0300-\u036f]")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")


@dataclass(frozen=True, slots=True)
class Word:
    """A word in its compared form, and where it stands in the text. ``unspaced``: a character of a script that puts no
    spaces between words."""

    text: str
    start: int
    end: int
    unspaced: bool = False


def words_of(text: str) -> Iterator[Word]:
    """The words of the text, in order."""
    for match in _pattern().finditer(text):
        compared = compared_form(match[0])
        if compared:
            unspaced = _IS_UNSPACED.match(match[0]) is not None
            yield Word(compared, match.start(), match.end(), unspaced)


def spans_of(text: str) -> Iterator[tuple[str, int, int]]:
    """The words of the text in their compared forms, and where they stand: for texts with many words."""
    for match in _pattern().finditer(text):
        if compared := compared_form(match[0]):
            yield compared, match.start(), match.end()


def compared_words(text: str) -> list[str]:
    """The compared forms of the words of the text, in order."""
    return [compared for word in _pattern().findall(text) if (compared := compared_form(word))]


def simple_form(text: str) -> str | None:
    """The text with each letter in its compared form, character by character, if that is possible: the words of it are
    the runs of ``0-9a-z``. None if the text has a character that has no such form."""
    others, forms = _simple_forms()
    return None if others.search(text) else text.translate(forms)


@lru_cache(maxsize=16_384)
def compared_form(word: str) -> str:
    """The word without case and accents, at most ``LONGEST_WORD`` characters."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", word).casefold())
    composed = unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed))
    return "".join(c for c in composed if c.isalnum() or unicodedata.category(c)[0] == "M")[:LONGEST_WORD]


@lru_cache(maxsize=1)
def _simple_forms() -> tuple[re.Pattern[str], Mapping[int, str]]:
    """What finds a character without a simple form; and the forms, of ASCII, of Latin letters with accents, and of
    punctuation, which is part of no word."""
    forms = {code: chr(code).lower() for code in range(0x80)}
    for code in (*range(0xA0, 0x180), *range(0x2010, 0x2028), 0x20AC):
        character, form = chr(code), compared_form(chr(code))
        is_letter = len(form) == 1 and form.isascii() and character.isalpha()
        if is_letter or not (form or _pattern().match(character)):
            forms[code] = form or character
    return re.compile(f"[^{re.escape(''.join(map(chr, forms)))}]"), forms


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    """Letters, digits and the marks that belong to them; one character where no spaces are put."""
    marks = "".join(c for c in map(chr, range(0x300, 0x20000)) if unicodedata.category(c)[0] == "M")
    joined = f"[{re.escape(marks)}\u200c\u200d]"
    return re.compile(f"[{_UNSPACED}]{joined}*|(?:(?![{_UNSPACED}])[^\\W_])(?:(?![{_UNSPACED}])[^\\W_]|{joined})*")
