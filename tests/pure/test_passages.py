"""Texts are split into passages that the search finds: whole, bounded, the same each time."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from windlass.knowledge.languages import detect_language
from windlass.knowledge.passages import MOST_TOKENS, OVERLAP_TOKENS, count_tokens, split_text
from windlass.knowledge.queries import parse_query
from windlass.knowledge.words import compared_form, simple_form, spans_of, words_of

_PIECES = st.sampled_from(
    [
        *("A sentence. ", "Another one! ", "\n\n", "\f", "# Heading\n\n", "a\tb\nc\td\n", "| x | y |\n| - | - |\n"),
        *("日本語。", "\n", "1. item\n", "- item\n", "word " * 90, "x" * 2000, "   ", "é", "\u0e01\u0e32", "…", '."'),
        *("\u200d", "🙂"),
    ]
)
_TEXTS = st.one_of(
    st.text(max_size=3000), st.lists(_PIECES, max_size=120).map("".join), st.text(max_size=40).map(lambda t: t * 300)
)


@given(_TEXTS)
@example("\x062\x99\x1f\r0\U000b22faT.\U000e36e1\x1cðÂá" * 300)  # divided where two white spaces follow each other
def test_passages_cover_the_text_within_their_bounds(text: str) -> None:
    """Every character that is no white space is in a passage; passages begin and end in order, and overlap little."""
    passages = split_text(text)
    covered = bytearray(len(text))
    for number, passage in enumerate(passages):
        assert passage.ordinal == number
        assert passage.text == text[passage.start : passage.end] == passage.text.strip() != ""
        assert count_tokens(passage.text) <= MOST_TOKENS
        covered[passage.start : passage.end] = b"\1" * (passage.end - passage.start)
        assert passage.page is None or passage.page == text.count("\f", 0, passage.start) + 1
    assert all(character.isspace() or covered[at] for at, character in enumerate(text))
    for before, after in itertools.pairwise(passages):
        assert before.start < after.start
        assert before.end < after.end
        assert count_tokens(text[after.start : before.end]) <= 2 * OVERLAP_TOKENS
    assert split_text(text) == passages


@given(_TEXTS)
def test_words_are_places_in_the_text(text: str) -> None:
    last = 0
    for word in words_of(text):
        assert last <= word.start < word.end <= len(text)
        assert word.text == compared_form(text[word.start : word.end])
        assert [each.text for each in words_of(word.text)] != []
        last = word.end


def test_passages_have_the_page_on_which_they_start() -> None:
    pages = ["The first page. " * 40, "", "The third page. " * 40]
    passages = split_text("\f".join(pages))
    assert [passage.page for passage in passages] == [1, 3]
    assert {passage.page for passage in split_text("One page.", one_page=True)} == {1}
    assert {passage.page for passage in split_text("No page.")} == {None}


def test_a_passage_repeats_the_end_of_the_one_before() -> None:
    text = " ".join(f"This is sentence number {number} of a long paragraph." for number in range(200))
    passages = split_text(text)
    assert len(passages) > 5
    for before, after in itertools.pairwise(passages):
        repeated = text[after.start : before.end]
        assert repeated.startswith("This is sentence number")
        assert repeated.endswith("paragraph.")


def test_a_heading_begins_a_passage_and_a_table_is_whole() -> None:
    paragraph = "It is a sentence of this section, neither long nor short. " * 12
    table = "Item\tPrice\n" + "".join(f"Thing {number}\t{number}.50\n" for number in range(40))
    passages = split_text(f"# First\n\n{paragraph}\n\n# Second\n\n{paragraph}\n\n{table}\n{paragraph}")
    assert passages[1].text.startswith("# Second")
    assert any(table.strip() in passage.text for passage in passages)


@pytest.mark.parametrize(
    "text", ["." * 10**6, "\f" * 10**6, '."' * 10**6, "\n \n" * 10**6, "a" * 10**6, "|\n" * 10**6, " \t" * 10**6]
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    began = time.process_time()
    split_text(text)
    assert time.process_time() - began < 30  # quadratic time would be hours


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The lease ends with the year, and it is not renewed by itself.", "en"),
        ("Der Vertrag endet mit dem Jahr und wird nicht von selbst verlängert.", "de"),
        ("Le contrat prend fin avec l'année et il n'est pas renouvelé par la loi.", "fr"),
        ("El contrato termina con el año y no se renueva por la ley.", "es"),
        ("Договор не продлевается и заканчивается в конце года, как это было раньше.", "ru"),
        ("契約は年末に終了し、自動的に更新されません。", "ja"),
        ("合同在年底结束。", "zh"),
        ("Αυτή η σύμβαση λήγει στο τέλος του έτους.", "el"),
        ("계약은 연말에 종료됩니다.", "ko"),
        ("8f3a 0012 ACME-77", ""),
        ("", ""),
    ],
)
def test_the_language_of_a_text(text: str, language: str) -> None:
    assert detect_language(text) == language


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("Did the pet get its injection?", ["did", "pet", "get", "its", "injection"]),
        ("Wer bezahlt die Anlegestelle?", ["wer", "bezahlt", "anlegestelle"]),
        ('"the boathouse"', ["the boathouse"]),
        ('"die" Anlegestelle', ["die", "anlegestelle"]),
        ("the who", ["who"]),
        ("the", ["the"]),
    ],
)
def test_common_words_are_left_out_of_a_question(query: str, terms: list[str]) -> None:
    assert [" ".join(term.words) for term in parse_query(query)] == terms


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Straße, CAFÉ!", ["strasse", "cafe"]),
        ("cafe\u0301 über_all", ["cafe", "uber", "all"]),
        ("ﬁn №5 ½", ["fin", "5", "12"]),
        ("東京tower 2", ["東", "京", "tower", "2"]),
        ("किताब ١٢", ["किताब", "١٢"]),
        ("don't e-mail a@b.example", ["don", "t", "e", "mail", "a", "b", "example"]),
    ],
)  # fmt: skip
def test_words_are_compared_without_case_and_accents(text: str, words: list[str]) -> None:
    assert [word.text for word in words_of(text)] == words


@given(st.text(st.characters(max_codepoint=0x2100), max_size=30))
def test_a_simple_form_has_the_words_of_its_text_at_their_places(text: str) -> None:
    simple = simple_form(text)
    if simple is not None:
        found = [(match[0], *match.span()) for match in re.finditer("[0-9a-z]+", simple)]
        assert found == list(spans_of(text))
