"""What a search asks for: terms, each a word or a phrase. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from windlass.kernel.filenames import comparable
from windlass.knowledge.languages import stop_words_of
from windlass.knowledge.words import Word, words_of

#: Terms of a query that are searched for; of a longer one the first.
MOST_TERMS = 48
#: Characters from which on a word also finds words that begin with it.
SHORTEST_PREFIX = 3

_HANGUL = re.compile("[\uac00-\ud7a3]")
_QUOTED = re.compile(r'"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Term:
    """Words that follow each other; ``prefix``: the only one may begin a longer word. ``name``: the text of the term,
    as the names of files are compared. ``quoted``: it stood in double quotes."""

    words: tuple[str, ...]
    prefix: bool
    name: str
    quoted: bool = False


def parse_query(query: str) -> Sequence[Term]:
    """The distinct terms of a query, in order; none of a query without letters and digits.

    A text in double quotes is a phrase, as are neighbouring characters of a script without spaces. Other words are
    left out if they are among the commonest of the query's language, unless nothing else is left.
    """
    terms = list(dict.fromkeys(_terms(query)))
    stops = stop_words_of([term.words[0] for term in terms if not term.quoted])
    wanted = [term for term in terms if term.quoted or term.words[0] not in stops]
    return (wanted or terms)[:MOST_TERMS]


def _terms(query: str) -> Iterator[Term]:
    position = 0
    for quoted in _QUOTED.finditer(query):
        yield from _terms_of_words(query[position : quoted.start()])
        if words := list(words_of(quoted[1])):
            yield _term(quoted[1], words, quoted=True)
        position = quoted.end()
    yield from _terms_of_words(query[position:])


def _terms_of_words(text: str) -> Iterator[Term]:
    run: list[Word] = []
    for word in words_of(text):
        if run and not (word.unspaced and run[-1].unspaced and run[-1].end == word.start):
            yield _term(text, run)
            run = []
        run.append(word)
    if run:
        yield _term(text, run)


def _term(text: str, words: Sequence[Word], *, quoted: bool = False) -> Term:
    shortest = SHORTEST_PREFIX if not _HANGUL.search(text) else 1  # in Korean, endings are joined to the word
    prefix = not quoted and len(words) == 1 and len(words[0].text) >= shortest
    return Term(tuple(word.text for word in words), prefix, comparable(text[words[0].start : words[-1].end]), quoted)
