"""What the rules find in texts, and which names mean the same."""

from __future__ import annotations

import resource

import pytest

from windlass.knowledge.graph import extraction, rules
from windlass.knowledge.graph.normal_forms import entity_id, exact_id, normal_form
from windlass.knowledge.passages import split_text


def found(text: str, language: str = "en") -> list[tuple[str, str]]:
    return [(each.type, each.name) for each in rules.extract(text, language).mentions]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (
            "en",
            "Dear Mr. John Smith, the Acme Widgets Ltd. paid $1.2 million on March 12, 2024.",
            [
                ("person", "John Smith"),
                ("organization", "Acme Widgets Ltd."),
                ("money", "$ 1200000.00"),
                ("date", "2024-03-12"),
            ],
        ),
        ("en", "Due 03/04/2024, or 25/12/2023, or on 31/02/2023.", [("date", "2023-12-25")]),
        ("es", "Antes del 03/04/2024.", [("date", "2024-04-03")]),
        ("tr", "5 Apr\u0131l 2024, APR\u0130L 6, 2024, 7 APRIL 2024", [("date", "2024-04-07")]),
        ("en", "It cost USD 1,250.50, not €3.", [("money", "USD 1250.50"), ("money", "EUR 3.00")]),
        (
            "en",
            "Call +44 20 7946 0958 or see (https://Example.org/A?b=1).",
            [("phone", "+442079460958"), ("url", "https://example.org/A?b=1")],
        ),
        ("en", "Ada Lovelace <ada@example.org>", [("person", "Ada Lovelace"), ("email", "ada@example.org")]),
        (
            "de",
            "Die Müller & Söhne GmbH & Co. KG zahlte am 3. März 2024 genau 1.250,00 € an Frau Dr. Anna von der Leine.",
            [
                ("organization", "Müller & Söhne GmbH & Co. KG"),
                ("date", "2024-03-03"),
                ("money", "EUR 1250.00"),
                ("person", "Anna von der Leine"),
            ],
        ),
        (
            "de",
            "Rechnung 12.03.2024 über 3 Mio. Euro. Die Deutsche Leinen AG half.",
            [("date", "2024-03-12"), ("money", "EUR 3000000.00"), ("organization", "Deutsche Leinen AG")],
        ),
        (
            "es",
            "El 12 de marzo de 2024 Construcciones del Norte S.A. pagó 1.500,75 euros a la Sra. María García López.",
            [
                ("date", "2024-03-12"),
                ("organization", "Construcciones del Norte S.A."),
                ("money", "EUR 1500.75"),
                ("person", "María García López"),
            ],
        ),
        (
            "en",
            "Nothing: version 1.2.3, 10.0.0.1, 12:30, a.b@c, in EUR and Limited, Mr. and Mrs., 5 m long, EUR 0,500.",
            [],
        ),
    ],
)
def test_what_is_found(language: str, text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text, language) == expected
    for mention in rules.extract(text, language).mentions:
        assert 0 <= mention.start < mention.end <= len(text)


def test_what_one_sentence_names_is_related() -> None:
    text = "Acme Ltd pays Ada Lovelace <ada@example.org> EUR 5. Blue Inc gets nothing."
    facts = rules.extract(text, "en")
    names = [mention.name for mention in facts.mentions]
    related = {(names[each.source], names[each.target], each.type) for each in facts.relations}
    assert ("Ada Lovelace", "ada@example.org", "has_email") in related
    assert ("Acme Ltd", "Ada Lovelace", "mentioned_with") in related
    assert not any("Blue Inc" in pair for pair in related)


def test_names_of_one_company_have_one_normal_form() -> None:
    names = ["Acme Widgets Ltd.", "ACME  Widgets Limited", "Acme Widgets", "“Acme Widgets”, Inc.", "Acme Widgets S.A."]
    assert {normal_form("organization", name) for name in names} == {"acme widgets"}
    assert len({entity_id("user:1", "organization", name) for name in names}) == 1
    assert len({exact_id("user:1", "organization", name) for name in names}) == len(names)
    assert normal_form("organization", "Inc.") == "inc"
    assert entity_id("user:2", "organization", "Acme") != entity_id("user:1", "organization", "Acme")
    assert normal_form("person", "Frau Dr. Anna Müller") == normal_form("person", "anna müller")


def test_a_place_that_two_passages_share_counts_once_and_bounds_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [
        f"Sentence {number} says that Acme{number} Ltd owes money to somebody else here. " for number in range(90)
    ]
    passages = split_text("".join(sentences))
    assert sum(len(each.text) for each in passages) > len("".join(sentences))  # they overlap

    def joined() -> extraction.FileFacts:
        return extraction.join_facts("user:1", "x", [(each, rules.extract(each.text, "en")) for each in passages])

    facts = joined()
    assert [len(each.places) for each in facts.entities] == [1] * 90
    assert not facts.is_cut
    assert joined() == facts
    monkeypatch.setattr(extraction, "MOST_ENTITIES", 10)
    assert len(joined().entities) == 10
    assert joined().is_cut


def test_what_is_found_fits_its_columns_and_does_not_grow_with_the_square_of_a_text() -> None:
    domain = ".".join(["a" * 60] * 6) + ".example"
    (mention,) = rules.extract(f"Write to {'b' * 60}@{domain}.", "en").mentions
    assert extraction.LONGEST_NAME < len(mention.name) == mention.end - mention.start
    facts = rules.extract("a@b.co " * 228, "en")
    assert len(facts.mentions) == 228
    assert len(facts.relations) == extraction.MOST_PASSAGE_RELATIONS + 1


def test_long_names_that_begin_alike_are_two_entities_and_fit_their_column() -> None:
    begin = f"https://example.org/{'a' * 300}"
    (passage,) = split_text(f"See {begin}/one and {begin}/two.")
    facts = extraction.join_facts("user:1", "x", [(passage, rules.extract(passage.text, "en"))])
    assert len({each.entity for each in facts.entities}) == len({each.exact for each in facts.entities}) == 2
    assert {each.name for each in facts.entities} == {begin[: extraction.LONGEST_NAME]}


@pytest.mark.parametrize(
    "piece", ["Aa ", "A", "1,", "1 ", "+1 2 ", "a@b.", "A & ", "Mr. ", "(Ab Cd ", "1. ", "https://", "<", "Aa-", "A. "]
)
def test_hostile_texts_take_linear_time(piece: str) -> None:
    """A passage is bounded, so the time of a file is in proportion to its size; CPU seconds, with much room."""
    text = (piece * 2000)[:1600]
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_utime
    for _ in range(20):
        rules.extract(text, "en")
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_utime - before < 2
