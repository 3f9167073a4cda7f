"""The part of a text that shows best why a search found it, with the matches told apart. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from windlass.knowledge.queries import Term
from windlass.knowledge.words import Word, words_of

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
    words = list(words_of(text))
    spans: list[Span] = []
    for number in range(len(words)):
        span = next((span for term in terms if (span := _match_at(words, number, term))), None)
        if span and (not spans or span[0] >= spans[-1][1]):
            spans.append(span)
    return spans


def _match_at(words: Sequence[Word], number: int, term: Term) -> Span | None:
    first = words[number]
    if term.prefix:
        return (first.start, first.end) if first.text.startswith(term.words[0]) else None
    last = number + len(term.words) - 1
    if last >= len(words) or any(words[number + at].text != word for at, word in enumerate(term.words)):
        return None
    return first.start, words[last].end


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
