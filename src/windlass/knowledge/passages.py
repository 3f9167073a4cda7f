"""Split a text into passages for the search: by pages, headings, paragraphs and sentences. Pure and deterministic.

Every character of the text that is no white space is in a passage. A passage continues with the last sentences of the
one before, unless a page or a heading begins, so that what stands across a border is found too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from windlass.knowledge.languages import detect_language

#: Tokens of a passage: it ends at the first sentence that reaches TARGET, at a page, heading or table once it has
#: LEAST, and never has more than MOST.
LEAST_TOKENS, TARGET_TOKENS, MOST_TOKENS = 120, 260, 400
#: Tokens at most that a passage repeats of the one before.
OVERLAP_TOKENS = 50
#: Raise it when the same text is split differently than before: ``windlass reindex`` then finds what is out of date.
VERSION = 1

PAGE_BREAK = "\f"
#: Characters of a token, in scripts with spaces between words. Elsewhere a character is a token.
_CHARACTERS_PER_TOKEN = 4
_LONGEST_HEADING = 120

_PAGES = re.compile(f"[^{PAGE_BREAK}]*{PAGE_BREAK}?")
_BLOCKS = re.compile(r"(?:[^\S\n]*+\S[^\n]*+\n?)++|\s++")
_LINES = re.compile(r"[^\n]*\n?")
# Each run begins where the one before ended, and is never given back: else long runs would take quadratic time.
_SENTENCES = re.compile(
    r"(?:(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s)|[。！？]++[」』）]*+|(?=\n[ \t]{0,16}(?:[-*•]|\d{1,3}[.)])[ \t]))\s*+"
)
_HEADING = re.compile(r"#{1,6} \S|\d{1,3}(?:\.\d{1,3})*\.? [^\W\d_]")
_DENSE = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
                    "\U00020000-\U0003ffff]")  # fmt: skip


@dataclass(frozen=True, slots=True)
class PassageText:
    """``text`` is the text from ``start`` to ``end``, in characters. ``page`` is where it starts, from 1; None where
    the text has no pages. ``language`` is empty if it cannot be told."""

    ordinal: int
    text: str
    start: int
    end: int
    page: int | None
    language: str


class _Kind(Enum):
    SENTENCE = 1
    HEADING = 2
    TABLE = 3


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is not divided between passages."""

    start: int
    end: int
    tokens: int
    kind: _Kind
    page: int


def split_text(text: str, *, one_page: bool = False) -> list[PassageText]:
    """Split a text rendition. Pages end with form feeds; ``one_page``: a text without them is one page."""
    has_pages = one_page or PAGE_BREAK in text
    whole = detect_language(text)
    passages: list[PassageText] = []
    for units in _packed(text, list(_units(text))):
        start, end = units[0].start, units[-1].end
        part = text[start:end]
        page = units[0].page if has_pages else None
        passages.append(PassageText(len(passages), part, start, end, page, detect_language(part) or whole))
    return passages


def count_tokens(text: str) -> int:
    """About how many tokens a language model makes of the text."""
    dense = len(_DENSE.findall(text))
    return dense + -(-(len(text) - dense) // _CHARACTERS_PER_TOKEN)


def _packed(text: str, units: Sequence[_Unit]) -> Iterator[Sequence[_Unit]]:
    """The units of each passage."""
    first = repeated = tokens = 0  # repeated: units at the start that the passage before ends with
    for number, unit in enumerate(units):
        added = _added_tokens(text, units, number)
        if number > first + repeated and (
            tokens + added > MOST_TOKENS or _ends_before(units[number - 1], unit, tokens)
        ):
            yield units[first:number]
            overlap = _overlap(units, first, number)
            first, repeated = overlap, number - overlap
            tokens = sum(_added_tokens(text, units, each) for each in range(first, number))
        if number == first + repeated and tokens + added > MOST_TOKENS:
            first, repeated, tokens = number, 0, 0
        tokens += added
    if units:
        yield units[first:]


def _added_tokens(text: str, units: Sequence[_Unit], number: int) -> int:
    """Tokens of the unit and of the white space before it."""
    unit = units[number]
    return unit.tokens + (count_tokens(text[units[number - 1].end : unit.start]) if number else 0)


def _ends_before(last: _Unit, unit: _Unit, tokens: int) -> bool:
    """Whether a passage of so many tokens ends before this unit."""
    if last.kind is _Kind.HEADING:  # a heading stays with what it is the heading of
        return False
    starts_section = unit.kind is not _Kind.SENTENCE or unit.page != last.page
    return tokens >= TARGET_TOKENS or (starts_section and tokens >= LEAST_TOKENS)


def _overlap(units: Sequence[_Unit], first: int, number: int) -> int:
    """The index of the first unit, before ``number``, that the next passage repeats."""
    start, tokens, following = number, 0, units[number]
    if following.kind is _Kind.HEADING:
        return number
    while start - 1 > first:
        unit = units[start - 1]
        tokens += unit.tokens
        if unit.kind is not _Kind.SENTENCE or unit.page != following.page or tokens > OVERLAP_TOKENS:
            break
        start -= 1
    return start


def _units(text: str) -> Iterator[_Unit]:
    """The units of the text, in order, without the white space around each."""
    for page, match in enumerate(_PAGES.finditer(text), 1):
        for block in _BLOCKS.finditer(text, match.start(), match.end()):
            yield from _units_of_block(text, block.start(), block.end(), page)


def _units_of_block(text: str, start: int, end: int, page: int) -> Iterator[_Unit]:
    block = text[start:end]
    if _is_table(block):
        kind, borders = _Kind.TABLE, _table_borders(text, start, end)
    elif _is_heading(block):
        kind, borders = _Kind.HEADING, [start, end]
    else:
        kind, borders = _Kind.SENTENCE, [start, *(each.end() for each in _SENTENCES.finditer(text, start, end)), end]
    for begin, stop in pairwise(borders):
        yield from _bounded(text, begin, stop, kind, page)


def _is_table(block: str) -> bool:
    """Whether at least two lines have columns, and no line has none: tabs, or bars."""
    lines = block.strip("\n\f").split("\n")
    return len(lines) > 1 and any(all(mark in line.strip(" ") for line in lines) for mark in ("\t", "|"))


def _is_heading(block: str) -> bool:
    line = block.strip()
    if not line or "\n" in line or len(line) > _LONGEST_HEADING:
        return False
    return _HEADING.match(line) is not None or line[-1] not in ".!?…:;,。！？"


def _table_borders(text: str, start: int, end: int) -> list[int]:
    """A table is one unit, or as many groups of lines as it needs."""
    borders, tokens = [start], 0
    for line in _LINES.finditer(text, start, end):
        count = count_tokens(line[0])
        if tokens + count > MOST_TOKENS and line.start() > borders[-1]:
            borders.append(line.start())
            tokens = 0
        tokens += count
    return [*borders, end]


def _bounded(text: str, start: int, end: int, kind: _Kind, page: int) -> Iterator[_Unit]:
    """The span without white space around it, divided if it has more than MOST_TOKENS: at white space where it can."""
    while True:
        start, end = _trimmed(text, start, end)
        if start >= end:
            return
        head = text[start : min(end, start + MOST_TOKENS * _CHARACTERS_PER_TOKEN + 1)]
        tokens = count_tokens(head)
        if tokens <= MOST_TOKENS:
            yield _Unit(start, end, tokens, kind, page)
            return
        stop = start + _fitting(head)
        space = next((at for at in range(stop, start + (stop - start) // 2, -1) if text[at].isspace()), stop)
        cut = _trimmed(text, start, space)[1]
        yield _Unit(start, cut, count_tokens(text[start:cut]), kind, page)
        start = space


def _fitting(text: str) -> int:
    """How many characters of the text have at most TARGET_TOKENS."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count_tokens(text[:middle]) <= TARGET_TOKENS else (low, middle - 1)
    return low


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
