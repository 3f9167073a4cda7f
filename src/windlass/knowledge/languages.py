"""The language of a text, told by its script and by its commonest words. Pure.

It is a hint for people and for filters: a wrong one hides nothing from the search.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

from windlass.knowledge.words import compared_form

#: Characters that are looked at; a passage has fewer.
MOST_CHARACTERS = 4_000
#: Commonest words that a text must have at least, and their least share of all of its words.
LEAST_HITS = 2
LEAST_SHARE = 0.06

#: Language -> its commonest words, casefolded. Only languages that a script does not tell.
_WORDS: Mapping[str, str] = {
    "ar": "في من على أن إلى هذا هذه التي الذي عن مع كان لا ما أو بين كل بعد قد",
    "bg": "и на в се за от да не са по с че като това до ще при или беше към",
    "cs": "a se v na je že s z do o jako jsou pro by ve ale to si jeho jsem být které který",
    "da": "og i at det er en til af på som med for ikke den har de et var vi jeg eller blev",
    "de": "der die das und ist nicht eine zu den mit von dem im auf für sich des auch als wird war bei oder sie ich",
    "en": "the of and to in is that it was for on are with as be this by at from or not have an which what you his i",
    "es": "el la de que y en los se del las por un para con no una su al lo como más es pero está",
    "fa": "در به از که این را با است برای آن یک خود شد می ها تا بر هم",
    "fi": "ja on ei että se oli hän mutta ovat kun niin kuin myös joka tai ole sen mukaan voi",
    "fr": "le la les de et des en un une du est que dans qui pour pas sur au par il plus avec sont ce ne vous je",
    "hu": "a az és hogy nem is egy van meg ez csak volt de már még mint vagy ki el ha",
    "id": "yang dan di itu dengan untuk tidak ini dari dalam akan pada juga ke saya adalah oleh ada",
    "it": "il di che la e un per non in una sono del si le con i da della gli al è come più dei nel",
    "nl": "de het een van en in is dat op te voor met niet zijn aan er ook als maar om bij door of wordt",
    "no": "og i det er en til av på som med for ikke den har de et var jeg men eller ble vi også",
    "pl": "w i na się z do nie to jest że o jak po co tak za od przez ale dla są być lub jego",
    "pt": "o a de que e do da em um para com não uma os no se na por mais as dos como mas foi ao ele é",
    "ro": "de și în a la cu pe că din nu este un o care mai pentru sunt se au fost sau",
    "ru": "и в не на что с он как это по но она к у из за от так же для было мы вы или я был",
    "sv": "och i att det är en som på av för med den till inte har de ett om var jag men så eller vi",
    "tr": "ve bir bu da de için ile çok ne daha olarak gibi ama o var en olan kadar değil sonra",
    "uk": "і в не на що з він як це по але вона до у із за від так та для було ми ви або я був",
    "vi": "và của là có không cho được trong một các với người này những để đã khi ở từ",
}  # fmt: skip
#: Start of a character's Unicode name -> its language, where the script has one.
_SCRIPTS: Mapping[str, str] = {
    "ARMENIAN": "hy",
    "BENGALI": "bn",
    "CJK": "zh",
    "DEVANAGARI": "hi",
    "GEORGIAN": "ka",
    "GREEK": "el",
    "HANGUL": "ko",
    "HEBREW": "he",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "TAMIL": "ta",
    "THAI": "th",
}
_COMMON = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_LANGUAGES_OF: dict[str, tuple[str, ...]] = {
    word: tuple(language for language, words in _COMMON.items() if word in words)
    for words in _COMMON.values()
    for word in words
}
_LETTERS = re.compile(r"[^\W\d_]+")


def stop_words_of(words: Collection[str]) -> frozenset[str]:
    """The commonest words of the language of a question with these words, all in their compared form.

    A question has too few words to tell its language for sure: it counts as one of that whose list has most of them,
    and of all of those that have as many.
    """
    hits = {language: sum(word in common for word in words) for language, common in _compared().items()}
    most = max(hits.values())
    chosen = [common for language, common in _compared().items() if most and hits[language] == most]
    return frozenset().union(*chosen)


def detect_language(text: str) -> str:
    """The ISO 639-1 code of the text's language; empty if it cannot be told."""
    words = [word.casefold() for word in _LETTERS.findall(unicodedata.normalize("NFC", text[:MOST_CHARACTERS]))]
    return _by_script(words) or _by_words(words)


def _by_script(words: Iterable[str]) -> str:
    """The language whose script most of the text is written in. Kana tells Japanese, however many Han characters."""
    characters = "".join(words)
    if characters.isascii():
        return ""
    counts: Counter[str] = Counter()
    for character, number in Counter(characters).items():
        script = unicodedata.name(character, "").partition(" ")[0] if character > "\u036f" else ""
        counts[_SCRIPTS.get(script, "")] += number
    counts["zh"], japanese = (0, counts["ja"] + counts["zh"]) if counts["ja"] else (counts["zh"], 0)
    counts["ja"] = japanese
    language, count = max(counts.items(), key=lambda item: (item[1], item[0]))
    return language if 2 * count > counts.total() else ""


def _by_words(words: list[str]) -> str:
    counts: Counter[str] = Counter()
    for word, number in Counter(words).items():
        for language in _LANGUAGES_OF.get(word, ()):
            counts[language] += number
    if not counts:
        return ""
    language, hits = max(counts.items(), key=lambda item: (item[1], item[0]))
    return language if hits >= LEAST_HITS and hits >= LEAST_SHARE * len(words) else ""


@lru_cache(maxsize=1)
def _compared() -> Mapping[str, frozenset[str]]:
    return {language: frozenset(map(compared_form, words)) for language, words in _COMMON.items()}
