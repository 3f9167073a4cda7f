"""Find entities by rules, without a model: dates, sums of money, addresses, companies by their legal form, and people
by their title. In English, German and Spanish. Pure and deterministic.

Rules prefer to find nothing where they could be wrong: ``03/04/2024`` is no date in an English text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from windlass.knowledge.graph.dates import DATE, read_date
from windlass.knowledge.graph.extraction import (
    MOST_PASSAGE_MENTIONS,
    MOST_PASSAGE_RELATIONS,
    Mention,
    PassageFacts,
    Relation,
)
from windlass.knowledge.graph.legal_suffixes import SUFFIX
from windlass.knowledge.graph.money import MONEY, read_money

#: Raise it when the rules find something else than before.
NAME = "rules-2"

#: A capitalized word of a name; words of companies may also be joined by these.
_CAPITAL = r"(?:[^\W\d_a-zß-öø-ÿ](?:\.|[\w'’&+-]{0,40}))"
_JOINT = r"(?:&|and|und|y|of|de|del|de[ \t]+la|der|für|for)"
_TITLE = (
    r"(?:Mr|Mrs|Ms|Dr|Prof|Sr|Sra|Srta)\."
    r"|(?:Mr|Mrs|Ms|Dr|Mister|Professor|Herrn?|Frau|Señora?|Don|Doña|Doctora?|Sir|Lady)"
)
_PERSON_NAME = r"[^\W\d_a-zß-öø-ÿ][^\W\d_]{1,30}(?:[-'’][^\W\d_]{2,30})?"
_PARTICLE = r"(?:von|van|der|den|de|del|la|zu|bin)"

_EMAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,24}(?![\w-])", re.ASCII
)
_URL = re.compile(r"\bhttps?://[^\s<>\"'`{}|\\^\[\]«»“”]{3,400}", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w+])\+[1-9]\d{0,2}(?:[ ./-]?\(?\d{1,5}\)?){2,7}(?!\w)")
_ORGANIZATION = re.compile(
    rf"(?<![\w.]){_CAPITAL}(?:[ \t]+(?:{_JOINT}[ \t]+)?{_CAPITAL}){{0,5}}?,?[ \t]+(?P<suffix>{SUFFIX})(?!\w)"
)
_PERSON = re.compile(
    rf"(?<!\w)(?:(?:{_TITLE})[ \t]+){{1,3}}(?P<name>{_PERSON_NAME}"
    rf"(?:[ \t]+(?:[^\W\d_a-z]\.|(?:{_PARTICLE}[ \t]+){{0,2}}{_PERSON_NAME})){{0,3}})"
)
_NAME_BEFORE_ADDRESS = re.compile(rf"(?<!\w)(?P<name>{_PERSON_NAME}(?:[ \t]+{_PERSON_NAME}){{1,3}})[ \t]*[<(]$")
#: Not after a title.
_NO_END = r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSr)(?<!\bSra)(?<!\bProf)"
_SENTENCE_END = re.compile(_NO_END + r"[.!?…][\"'”’»)\]]*\s+(?=[^\Wa-z_])|\n\s*\n|[。！？]")

#: Types whose entities are related when one sentence names them; amounts and days only to one of the others.
_NAMED = frozenset({"person", "organization", "email", "url", "phone"})
#: Characters before an address in which its owner's name is looked for.
_BEFORE_ADDRESS = 100


def extract(text: str, language: str) -> PassageFacts:
    """The entities of a passage, and which of them one sentence names together. ``language``: ISO 639-1, or empty."""
    mentions = _without_overlaps(text, language)
    return PassageFacts(mentions, [*_address_owners(text, mentions), *_in_one_sentence(text, mentions)])


def _without_overlaps(text: str, language: str) -> list[Mention]:
    """The mentions in the order of the text; where two overlap, the one of the rule that comes first."""
    kept: list[Mention] = []
    for rule in _RULES:
        taken = sorted((each.start, each.end) for each in kept)
        kept += [each for each in rule(text, language) if not _overlaps(each, taken)]
    return sorted(kept, key=lambda each: each.start)


def _overlaps(mention: Mention, taken: Sequence[tuple[int, int]]) -> bool:
    return any(start < mention.end and mention.start < end for start, end in taken)


def _emails(text: str, _: str) -> Iterator[Mention]:
    for found in _EMAIL.finditer(text):
        yield Mention("email", found[0].lower(), found.start(), found.end(), 1.0)


def _urls(text: str, _: str) -> Iterator[Mention]:
    for found in _URL.finditer(text):
        url = found[0].rstrip(".,;:!?)")
        scheme, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        if "." in host or host.lower().startswith("localhost"):
            name = f"{scheme.lower()}://{host.lower()}{slash}{path}"
            yield Mention("url", name, found.start(), found.start() + len(url), 1.0)


def _phones(text: str, _: str) -> Iterator[Mention]:
    for found in _PHONE.finditer(text):
        digits = re.sub(r"\D", "", found[0])
        if 8 <= len(digits) <= 15:  # E.164
            yield Mention("phone", f"+{digits}", found.start(), found.end(), 0.9)


def _dates(text: str, language: str) -> Iterator[Mention]:
    for found in DATE.finditer(text):
        if (day := read_date(found, language)) is not None:
            yield Mention("date", day, found.start(), found.end(), 0.95)


def _money(text: str, _: str) -> Iterator[Mention]:
    for found in MONEY.finditer(text):
        if (amount := read_money(found)) is not None:
            yield Mention("money", amount, found.start(), found.end(), 0.95)


def _organizations(text: str, _: str) -> Iterator[Mention]:
    for found in _ORGANIZATION.finditer(text):
        start = found.start() + _article_length(found[0])
        if start < found.start("suffix"):
            name = " ".join(text[start : found.end()].split())
            yield Mention("organization", name, start, found.end(), 0.85)


_ARTICLE = re.compile(
    r"(?:The|A|An|At|In|On|From|By|With|For|And|But|Dear|Die|Der|Das|Den|Dem|Eine?|Bei|Von|Mit|Für|Und|El|La|Los|Las|Una?|"
    r"Con|Por|De|Para|Según|Our|Unsere?)[ \t]+"
)


def _article_length(text: str) -> int:
    """Characters of the words at the start that a sentence begins with, and no name."""
    length = 0
    while (found := _ARTICLE.match(text, length)) is not None:
        length = found.end()
    return length


def _people(text: str, _: str) -> Iterator[Mention]:
    for found in _PERSON.finditer(text):
        name = " ".join(found["name"].split())
        yield Mention("person", name, found.start("name"), found.end("name"), 0.8)
    for address in _EMAIL.finditer(text):
        before = max(0, address.start() - _BEFORE_ADDRESS)
        if (named := _NAME_BEFORE_ADDRESS.search(text[before : address.start()])) is not None:
            start, end = before + named.start("name"), before + named.end("name")
            yield Mention("person", " ".join(named["name"].split()), start, end, 0.8)


#: Where mentions overlap, the first rule counts.
_RULES: Sequence[Callable[[str, str], Iterator[Mention]]] = (
    _emails,
    _urls,
    _dates,
    _money,
    _phones,
    _organizations,
    _people,
)


def _address_owners(text: str, mentions: Sequence[Mention]) -> Iterator[Relation]:
    """``Ada Lovelace <ada@example.org>``: whose address it is."""
    for number in range(1, len(mentions)):
        owner, address = mentions[number - 1], mentions[number]
        between = text[owner.end : address.start].strip()
        if address.type == "email" and owner.type in ("person", "organization") and between in ("<", "("):
            yield Relation(number - 1, number, "has_email", 0.95)


def _in_one_sentence(text: str, mentions: Sequence[Mention]) -> Iterator[Relation]:
    """Pairs that one sentence names, nearest first: of the mentions that count, and one more than count of them."""
    sentences, position, sentence = [], 0, 0
    ends = [end.start() for end in _SENTENCE_END.finditer(text)]
    for mention in mentions[:MOST_PASSAGE_MENTIONS]:
        # The full stop of ``3. März`` or of ``Ltd.`` is part of a mention.
        sentence += sum(position <= end < mention.start for end in ends)
        sentences.append(sentence)
        position = mention.end
    pairs = [
        (first, second)
        for first in range(len(sentences))
        for second in range(first + 1, len(sentences))
        if sentences[first] == sentences[second] and {mentions[first].type, mentions[second].type} & _NAMED
    ]
    pairs.sort(key=lambda pair: (pair[1] - pair[0], pair))
    for first, second in pairs[: MOST_PASSAGE_RELATIONS + 1]:
        yield Relation(first, second, "mentioned_with", 0.5)
