"""The part of a text that shows best why a search found it, with the matches told apart. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from windlass.knowledge.queries import Term
from windlass.knowledge.words import simple_form, spans_of

#: Characters of a snippet, about.
LENGTH = 240
ELLIPSIS = "…"

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SnippetPart:
    """A piece of plain text; ``match``: it is what was searched for."""

    text: str
    match: bool


def snippet_of(text: str, terms: Sequence[Term], length: int = LENGTH) -> list[SnippetPart]:
    """About ``length`` characters of the text with most matches, in order; white space is one space. Its beginning, if
    there are none."""
    matches = find_matches(text, terms)
    start, end = _window(text, matches, length)
    shown = [span for span in matches if start <= span[0] and span[1] <= end]
    return _parts(text, start, end, shown)


def find_matches(text: str, terms: Sequence[Term]) -> list[Span]:
    """Where the terms stand in the text, in order, without overlaps."""
    prefixes = tuple(term.words[0] for term in terms if term.prefix)
    simple = simple_form(text) if prefixes and len(prefixes) == len(terms) else None
    if simple is not None:
        return [match.span() for match in _beginning_with(prefixes).finditer(simple)]
    phrases: dict[str, list[Sequence[str]]] = {}
    for term in terms:
        if not term.prefix:
            phrases.setdefault(term.words[0], []).append(term.words)
    words = list(spans_of(text))
    spans: list[Span] = []
    for number, (word, start, end) in enumerate(words):
        if spans and start < spans[-1][1]:
            continue
        if word.startswith(prefixes):
            spans.append((start, end))
        elif last := _end_of_phrase(words, number, phrases.get(word, ())):
            spans.append((start, last))
    return spans


@lru_cache(maxsize=64)
def _beginning_with(prefixes: Sequence[str]) -> re.Pattern[str]:
    """Words of a simple form that begin with one of these."""
    return re.compile(rf"(?<![0-9a-z])(?:{'|'.join(map(re.escape, prefixes))})[0-9a-z]*")


def _end_of_phrase(words: Sequence[tuple[str, int, int]], number: int, phrases: Sequence[Sequence[str]]) -> int:
    """Where the first of the phrases that stands at this word ends; 0 if none does."""
    for phrase in phrases:
        there = words[number : number + len(phrase)]
        if [word for word, _, _ in there] == list(phrase):
            return there[-1][2]
    return 0


def _window(text: str, matches: Sequence[Span], length: int) -> Span:
    """The span of the snippet, at borders of words where there are some near."""
    if len(text) <= length:
        return 0, len(text)
    best = max(matches, key=lambda span: (_matches_from(matches, span, length), -span[0]), default=(0, 0))
    start = max(0, min(best[0] - length // 6, len(text) - length))
    end = min(len(text), max(start + length, best[1]))
    for at in range(start, min(start + 20, best[0])) if start else ():
        if text[at].isspace():
            start = at + 1
            break
    for at in range(end - 1, max(end - 20, best[1]), -1) if end < len(text) else ():
        if text[at].isspace():
            end = at
            break
    return start, end


def _matches_from(matches: Sequence[Span], first: Span, length: int) -> int:
    return sum(1 for start, end in matches if first[0] <= start and end <= first[0] + length * 5 // 6)


def _parts(text: str, start: int, end: int, matches: Sequence[Span]) -> list[SnippetPart]:
    pieces = [SnippetPart(ELLIPSIS, False)] if start else []
    position = start
    for begin, stop in [*matches, (end, end)]:
        for piece, match in ((text[position:begin], False), (text[begin:stop], True)):
            if piece:
                pieces.append(SnippetPart(_one_line(piece), match))
        position = stop
    return [*pieces, SnippetPart(ELLIPSIS, False)] if end < len(text) else pieces


def _one_line(text: str) -> str:
    """White space within and around the text as single spaces."""
    words = " ".join(text.split())
    before, after = " " * text[:1].isspace(), " " * text[-1:].isspace()
    return f"{before}{words}{after}" if words else " "
