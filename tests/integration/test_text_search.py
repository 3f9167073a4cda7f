"""What any database's text search must do, asked through ``knowledge.api``. ``test_search_on_postgresql`` runs it there
too."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from typing import NoReturn

import pytest
from django.db import connection

from tests.integration.asgi_client import make_file
from windlass.files.api import FileAsset, TextModelAway, visible_files
from windlass.kernel.owners import EVERY_OWNER, Owners
from windlass.kernel.principals import Principal
from windlass.knowledge import api as knowledge
from windlass.knowledge import text_search
from windlass.knowledge.api import Passage
from windlass.knowledge.indexing import PassageIndex
from windlass.knowledge.orphans import OrphanSearch
from windlass.knowledge.queries import parse_query
from windlass.knowledge.system_checks import check_search
from windlass.knowledge.text_search import share_of

pytestmark = pytest.mark.usefixtures("database")

Add = Callable[..., FileAsset]


@pytest.fixture
def owner() -> str:
    return f"owner-{uuid.uuid4()}"


@pytest.fixture
def add(owner: str) -> Add:
    """Adds a checked file of the owner with this text."""

    def add_file(text: str, name: str = "a.txt", **values: object) -> FileAsset:
        values = {
            "owner": owner,
            "original_filename": name,
            "search_name": name.casefold(),
            "gate_passed": True,
        } | values
        asset: FileAsset = make_file(str(values.pop("owner")), **values)
        index = PassageIndex()
        index.replace(asset.id, index.prepare(text, one_page=False))
        return asset

    return add_file


def found(query: str, owner: str, limit: int = 20) -> list[uuid.UUID]:
    return [each.file_id for each in knowledge.search(query, visible_files(Principal(owner)), limit)]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("The Café on the corner closes at noon.", "cafe"),
        ("Die Straße ist gesperrt.", "STRASSE"),
        ("All invoices are due in thirty days.", "invoice"),
        ("Счёт оплачен вовремя.", "счет"),
        ("契約は年末に終了します。", "契約"),
        ("合同在年底结束。", "年底"),
        ("สัญญาสิ้นสุดปลายปี", "สิ้นสุด"),
        ("किताब मेज़ पर है", "किताब"),
        ("계약은 연말에 종료됩니다.", "계약"),
        ("part no. 8F3A-0012", "8f3a 0012"),
        ("the deposit is kept in escrow", '"kept in escrow"'),
        ("ﬁnal ﬂight", "final flight"),
        ("عقد الإيجار ينتهي", "الإيجار"),
        ("tokens \u2028 apart\u00a0here", "apart here"),
        ("it's O'Brien's \\ \"boat\" % _ ' :* & | !", "O'Brien's boat"),
    ],
)
def test_a_text_is_found(add: Add, owner: str, text: str, query: str) -> None:
    asset = add(text)
    add("Something else entirely, about gardens and hedges.")
    assert found(query, owner) == [asset.id]


@pytest.mark.parametrize(
    "query",
    ["'", '"', '""', "\\", "*", ":*", "a AND", "NEAR(a b)", "(", "!a & |", "' OR 1=1 --", "%", "\u0301", "🙂", "-"],
)
def test_no_query_is_a_syntax_error(add: Add, owner: str, query: str) -> None:
    add("an ordinary text about nothing")
    found(query, owner)


def test_a_phrase_is_in_order(add: Add, owner: str) -> None:
    right, _ = add("The ship sails north today."), add("North of the ship it sails.")
    assert found('"ship sails north"', owner) == [right.id]
    same, _ = add("今日は東京へ行く"), add("京都は東にある")
    assert found("東京", owner) == [same.id]


def test_a_file_with_every_word_is_before_one_with_any(add: Add, owner: str) -> None:
    some = add("The notice was posted on the door. " * 3)
    every = add("The period of notice for the lease of the flat is three months.")
    add("Nothing of it at all.")
    assert found("what is the notice period of the lease", owner) == [every.id, some.id]


def test_a_file_with_the_words_more_often_is_before_a_longer_one(add: Add, owner: str) -> None:
    little = add("The anchor was lost. " + "Other matters were discussed at length by all. " * 25)
    much = add("Anchor chains: the anchor, its chain, and how an anchor holds.")
    assert found("anchor", owner) == [much.id, little.id]


def test_names_and_facts_are_found(add: Add, owner: str) -> None:
    named = add("", name="Lease Agreement 2026.pdf")
    captioned = add("", name="img_1.jpg", search_facts="harbour at dawn\nnikon")
    assert found("agreement 2026", owner) == [named.id]
    assert found("harbour nikon", owner) == [captioned.id]
    both = add("The agreement was signed in 2026.", name="agreement-2026.txt")
    assert found("agreement 2026", owner)[0] == both.id


def test_a_snippet_shows_the_matches_as_text(add: Add, owner: str) -> None:
    add(
        "<script>alert(1)</script> "
        + "filler text here. " * 30
        + "The <b>winch</b> holds & the pawl clicks. "
        + "more. " * 60
    )
    (result,) = knowledge.search("pawl winch", visible_files(Principal(owner)), 5)
    parts = result.passages[0].snippet
    assert [part.text for part in parts if part.match] == ["winch", "pawl"]
    assert "The <b>winch</b> holds & the pawl clicks." in "".join(part.text for part in parts)
    assert parts[0].text == "…"
    assert 100 < sum(len(part.text) for part in parts) < 300


def test_pages_are_told(add: Add, owner: str) -> None:
    add("\f".join(f"This is what page {number} says about topic{number}. " * 30 for number in range(1, 5)))
    (result,) = knowledge.search("topic3", visible_files(Principal(owner)), 5)
    assert result.passages[0].page == 3
    assert result.passages[0].language == "en"


def test_a_text_is_replaced_and_removed(add: Add, owner: str) -> None:
    asset, index = add("the old words " * 200), PassageIndex()
    index.replace(asset.id, index.prepare("quite new words", one_page=False))
    assert found("old", owner) == []
    assert found("new", owner) == [asset.id]
    assert Passage.objects.filter(file=asset).count() == 1
    index.remove(asset.id)
    assert found("new", owner) == []


def test_words_are_gone_with_the_file(add: Add, owner: str) -> None:
    word = f"zq{uuid.uuid4().hex}"
    asset = add(f"A text with {word} in it.")
    assert _passages_with(word) == 1
    asset.delete()
    assert _passages_with(word) == 0


def test_passages_of_a_file_that_an_old_version_deleted_are_swept(add: Add) -> None:
    asset = add("Left behind.")
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM windlass_files_fileasset WHERE search_name = %s AND owner = %s", ["a.txt", asset.owner]
        )
    assert knowledge.delete_orphaned_passages() >= 1
    assert not Passage.objects.filter(file_id=asset.id).exists()


def test_orphans_are_looked_for_part_by_part(add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call reads a part of the table only; a few of them have read all of it."""
    monkeypatch.setattr("windlass.knowledge.orphans.WINDOW", 2)
    monkeypatch.setattr("windlass.knowledge.indexing._orphans", OrphanSearch[int](Passage, "id", 1_000))
    assets = [add(f"a text of file {number}") for number in range(5)]
    Passage.objects.filter(file=assets[4]).update(file_id=uuid.uuid4())
    before = Passage.objects.count()
    deleted = [knowledge.delete_orphaned_passages() for _ in range(before // 2 + 1)]
    assert deleted[0] == 0
    assert sum(deleted) == before - Passage.objects.count() == 1


def test_a_database_without_a_search_is_an_error_of_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_search(None) == []
    monkeypatch.setattr("windlass.knowledge.system_checks.vendor", lambda: "mysql")
    (error,) = check_search(None)
    assert (error.id, "mysql" in error.msg) == ("windlass.E004", True)


def test_vectors_are_away_where_the_database_cannot_store_them() -> None:
    """A PostgreSQL without pgvector."""
    can_store = connection.vendor == "sqlite"
    if not can_store:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) > 0 FROM pg_extension WHERE extname = 'vector'")
            can_store = cursor.fetchone()[0]
    assert knowledge.vectors_available() is can_store
    if not can_store:
        with pytest.raises(TextModelAway, match="cannot store vectors"):
            PassageIndex().embed(uuid.uuid4(), nullcontext)


def test_a_damaged_model_leaves_vectors_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a model are replaced while the server runs: a text that is indexed meanwhile has not failed."""

    def load() -> NoReturn:
        raise knowledge.BadModel("model.onnx cannot be loaded")

    monkeypatch.setattr("windlass.knowledge.indexing.vectors_available", lambda: True)
    monkeypatch.setattr("windlass.knowledge.embedders.current_embedder", load)
    with pytest.raises(TextModelAway, match="cannot be used"):
        PassageIndex().embed(uuid.uuid4(), nullcontext)


def test_a_stray_word_counts_less_than_all_of_them() -> None:
    terms = parse_query('notice of the lease of the "old boathouse"')
    assert share_of(terms, "the lease of old boathouse notices") == 1
    assert share_of(terms, "sublease old boathouses lease") == pytest.approx(1 / 3)


def test_what_is_ranked_is_bounded(add: Add, owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of common words the newest passages are ranked, and never those of others in place of the own ones; a rare word
    is found however old its passage is, and so are passages with all of the common words."""
    monkeypatch.setattr(text_search, "MOST_RANKED", 3)
    files = visible_files(Principal(owner)).filter(gate_passed=True)

    def best(query: str) -> set[uuid.UUID]:
        return {match.file_id for match in text_search.find_passages(parse_query(query), files, 3, 3)}

    add("quay, quay, quay")
    rare, both = add("bollard"), add("quay and crane")
    newest = [add(f"quay {number}, and boats") for number in range(5)][-3:]
    for number in range(4):
        add(f"crane {number}")
        add(f"crane at the quay {number}", owner=f"other-{owner}")
    assert best("quay") == {asset.id for asset in newest}
    assert best("bollard quay crane") == {rare.id, both.id}
    monkeypatch.setattr(text_search, "MOST_RANKED_AFTER_OTHERS", 1)
    first, second = text_search.find_passages(parse_query("quay crane"), files, 2, 2)
    assert (first.file_id, second.file_id in {newest[-1].id, newest[-2].id}) == (both.id, True)


def test_the_index_is_used_however_few_passages_there_are(add: Add, owner: str) -> None:
    """PostgreSQL would rather read a small table as a whole, and does not know what fetching its words takes."""
    asset = add("A text about fairleads and hawsers.")
    is_sqlite = connection.vendor == "sqlite"
    plans = []

    def explain(execute: Callable[..., object], sql: str, values: object, many: bool, context: object) -> object:
        if (" MATCH " if is_sqlite else " @@ ") in sql and not sql.startswith("EXPLAIN"):
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {'QUERY PLAN ' * is_sqlite}{sql}", values)
                plans.append("\n".join(str(row[-1]) for row in cursor.fetchall()))
        return execute(sql, values, many, context)

    with connection.execute_wrapper(explain):
        assert found("fairleads hawsers", owner) == [asset.id]
    assert len(plans) >= 2
    wanted = "VIRTUAL TABLE INDEX" if is_sqlite else "Bitmap Index Scan on windlass_knowledge_words"
    assert all(wanted in plan for plan in plans), plans


def test_a_lost_index_is_rebuilt_from_the_rows(add: Add, owner: str) -> None:
    asset = add("A text about capstans. " * 400)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("DROP TABLE windlass_knowledge_words")
        else:
            cursor.execute("ALTER TABLE windlass_knowledge_passage DROP COLUMN words")
    for _ in knowledge.rebuild_words():
        pass
    assert found("capstans", owner) == [asset.id]
    asset.delete()
    assert _passages_with("capstans") == 0


def test_a_file_that_has_not_passed_its_checks_is_not_searched_in(add: Add, owner: str) -> None:
    add("secret of an unchecked file", gate_passed=False)
    assert found("unchecked", owner) == []


def test_nobody_finds_what_another_owner_has(add: Add) -> None:
    """Two owners, the same words, 1,000 random queries, alone and under rules that permit some owners."""
    choose = random.Random(15)
    vocabulary = [f"word{number}" for number in range(60)]
    owners = [f"owner-{uuid.uuid4()}" for _ in range(2)]
    of_owner: dict[str, set[uuid.UUID]] = {owner: set() for owner in owners}
    for owner in owners:
        for number in range(25):
            text = " ".join(choose.choices(vocabulary, k=choose.randint(1, 120)))
            name = f"{choose.choice(vocabulary)}-{number}.txt"
            of_owner[owner].add(add(text, name=name, owner=owner).id)
    results = 0
    for _ in range(500):
        query = " ".join(choose.choices(vocabulary, k=choose.randint(1, 4)))
        query = f'"{query}"' if choose.random() < 0.2 else query
        for owner in owners:
            ids = set(found(query, owner, choose.randint(1, 30)))
            assert ids <= of_owner[owner]
            results += len(ids)
    assert results > 1000
    first, second = owners
    staff = Principal(first, staff=True)
    everything = {each.file_id for each in knowledge.search("word1 word2", visible_files(staff), 200)}
    assert everything & of_owner[second]
    for permitted, allowed in (
        (Owners(frozenset({second})), of_owner[second]),
        (Owners(), set()),
        (EVERY_OWNER - {first}, None),
    ):
        under_rule = Principal(first, staff=True, permitted=permitted)
        ids = {each.file_id for each in knowledge.search("word1 word2", visible_files(under_rule), 200)}
        assert not ids & of_owner[first]
        assert allowed is None or ids <= allowed


def _passages_with(word: str) -> int:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT count(*) FROM windlass_knowledge_words WHERE words MATCH %s", [word])
        else:
            cursor.execute("SELECT count(*) FROM windlass_knowledge_passage WHERE words @@ %s::tsquery", [word])
        return int(cursor.fetchone()[0])
