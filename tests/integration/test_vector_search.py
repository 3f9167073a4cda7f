"""What any database's search by vectors must do, asked through ``knowledge.api``. ``test_vectors_on_postgresql`` runs
it with pgvector."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import cycle

import numpy as np
import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.integration.asgi_client import make_file
from windlass.files.api import FileAsset, visible_files
from windlass.kernel.owners import Owners
from windlass.kernel.principals import Principal
from windlass.knowledge import api as knowledge
from windlass.knowledge import postgresql_vectors, sqlite_vectors
from windlass.knowledge.api import Passage, QueryVector
from windlass.knowledge.file_vectors import embed_file
from windlass.knowledge.indexing import PassageIndex
from windlass.knowledge.matches import Match
from windlass.knowledge.model_endpoint import ModelRefused
from windlass.knowledge.models import PassageVector
from windlass.knowledge.vector_math import Vectors, normalized
from windlass.knowledge.vectors import find_nearest, stored_model

pytestmark = pytest.mark.usefixtures("database")

SIZE = 8


class TrialEmbedder:
    """The vector of a passage is what follows ``@`` in it: angles, in degrees, in planes of their own."""

    def __init__(self, key: str = "trial", size: int = SIZE) -> None:
        self.key, self.size = key, size
        self.calls: list[int] = []

    def passages(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(len(texts))
        return np.vstack([self.at(float(text.rpartition("@")[2] or 0)) for text in texts])

    def query(self, text: str) -> Vectors:
        return self.at(float(text))

    def at(self, degrees: float) -> Vectors:
        angle = np.radians(degrees)
        row = np.zeros((1, self.size), dtype=np.float32)
        row[0, :2] = np.cos(angle), np.sin(angle)
        return row


@pytest.fixture
def owner() -> str:
    return f"owner-{uuid.uuid4()}"


@pytest.fixture
def embedder() -> TrialEmbedder:
    return TrialEmbedder(f"trial-{uuid.uuid4()}")


Add = Callable[..., FileAsset]


@pytest.fixture
def add(owner: str, embedder: TrialEmbedder) -> Add:
    """Adds a checked file of the owner whose one passage has this angle."""

    def add_file(degrees: float, **values: object) -> FileAsset:
        asset: FileAsset = make_file(str(values.pop("owner", owner)), **({"gate_passed": True} | values))
        index = PassageIndex()
        index.replace(asset.id, index.prepare(f"passage @{degrees}", one_page=False))
        embed_file(asset.id, embedder, nullcontext)
        return asset

    return add_file


def nearest(embedder: TrialEmbedder, degrees: float, owner: str, limit: int = 20) -> list[uuid.UUID]:
    return [match.file_id for match in matches(embedder, degrees, owner, limit)]


def matches(embedder: TrialEmbedder, degrees: float, owner: str, limit: int = 20) -> list[Match]:
    principal = Principal(owner)
    asked = QueryVector(embedder.key, embedder.at(degrees))
    return find_nearest(asked, visible_files(principal).filter(gate_passed=True), principal.owners, limit)


@pytest.fixture(params=["few", "many"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each back end has a way for few wanted passages and one for many."""
    if request.param == "many":
        monkeypatch.setattr(sqlite_vectors, "MOST_SELECTED", 0)
        monkeypatch.setattr(postgresql_vectors, "MOST_COMPARED", 0)


@pytest.mark.usefixtures("way")
def test_the_nearest_are_first(add: Add, owner: str, embedder: TrialEmbedder) -> None:
    assert knowledge.vectors_available()
    files = [add(degrees) for degrees in (10, 40, 80, 120)]
    found = matches(embedder, 35, owner)
    assert [match.file_id for match in found] == [files[at].id for at in (1, 0, 2, 3)]
    assert found[0].score == pytest.approx(np.cos(np.radians(5)), abs=2e-3)
    assert nearest(embedder, 35, owner, limit=2) == [files[1].id, files[0].id]


@pytest.mark.usefixtures("way")
def test_others_files_unchecked_and_trashed_ones_are_not_found(add: Add, owner: str, embedder: TrialEmbedder) -> None:
    mine = add(90)
    add(1, owner=f"other-{owner}")
    add(2, gate_passed=False)
    trashed = add(3)
    FileAsset.objects.filter(id=trashed.id).update(trashed_at=trashed.created_at)
    assert nearest(embedder, 0, owner, limit=1) == [mine.id]


def test_the_newest_are_compared_where_the_index_ends_early(
    add: Add, owner: str, embedder: TrialEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one owner among many others the scan of an index may end before it has enough; what it does not find is
    compared, as many of the newest as there is time for."""
    oldest, *newest = (add(degrees).id for degrees in (10, 40, 80))
    monkeypatch.setattr(postgresql_vectors, "MOST_COMPARED", 0)
    monkeypatch.setattr(postgresql_vectors, "MOST_COMPARED_BESIDE", 2)
    monkeypatch.setattr(postgresql_vectors.PostgresqlVectors, "_by_index", lambda *_: [])
    expected = [oldest, *newest] if connection.vendor == "sqlite" else newest
    assert nearest(embedder, 35, owner, limit=3) == [
        each for each in (newest[0], oldest, newest[1]) if each in expected
    ]


def test_a_new_and_a_deleted_file_are_noticed(add: Add, owner: str, embedder: TrialEmbedder) -> None:
    first = add(50)
    assert nearest(embedder, 0, owner) == [first.id]
    second = add(5)
    assert nearest(embedder, 0, owner) == [second.id, first.id]
    second.delete()
    assert nearest(embedder, 0, owner) == [first.id]
    assert PassageVector.objects.filter(model__key=embedder.key).count() == 1


def test_vectors_are_read_once_when_the_newest_is_deleted(
    add: Add, owner: str, embedder: TrialEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = add(50), add(5)
    assert nearest(embedder, 0, owner) == [second.id, first.id]
    monkeypatch.setattr(sqlite_vectors._Array, "_clear", lambda _array: pytest.fail("the array is made anew"))
    second.delete()
    assert nearest(embedder, 0, owner) == [first.id]
    third = add(20)
    assert nearest(embedder, 0, owner) == [third.id, first.id]


def test_rows_that_are_deleted_while_an_array_is_brought_up_to_date(
    add: Add, owner: str, embedder: TrialEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process deletes the newest vectors after their greatest id was read."""
    first = add(50)
    assert nearest(embedder, 0, owner) == [first.id]
    second = add(5)
    append = sqlite_vectors._Array._append

    def delete_and_append(array: sqlite_vectors._Array, database: BaseDatabaseWrapper) -> bool:
        FileAsset.objects.filter(id=second.id).delete()
        return append(array, database)

    if connection.vendor == "sqlite":
        monkeypatch.setattr(sqlite_vectors._Array, "_append", delete_and_append)
    else:
        second.delete()
    assert nearest(embedder, 0, owner) == [first.id]
    assert nearest(embedder, 0, owner) == [first.id]


@pytest.mark.parametrize("delete", ["model", "sql", "index"])
def test_vectors_are_gone_with_their_passage(add: Add, embedder: TrialEmbedder, delete: str) -> None:
    asset = add(1)
    assert PassageVector.objects.filter(model__key=embedder.key).count() == 1
    if delete == "model":
        asset.delete()
    elif delete == "index":
        PassageIndex().remove(asset.id)
    else:  # a process of the version before knows no vectors
        with connection.cursor() as cursor:
            passages = list(Passage.objects.filter(file=asset).values_list("id", flat=True))
            cursor.execute(f"DELETE FROM windlass_knowledge_passage WHERE id = {passages[0]}")
    assert not PassageVector.objects.filter(model__key=embedder.key).exists()


def test_only_missing_vectors_are_made(owner: str, embedder: TrialEmbedder) -> None:
    asset, index = make_file(owner, gate_passed=True), PassageIndex()
    text = "\f".join(f"{'word ' * 130} @{number}" for number in range(40))
    index.replace(asset.id, index.prepare(text, one_page=False))
    count = Passage.objects.filter(file=asset).count()
    assert embed_file(asset.id, embedder, nullcontext) == count == sum(embedder.calls)
    assert max(embedder.calls) <= 32
    Passage.objects.filter(file=asset, ordinal__in=(3, 4)).delete()
    index.replace(asset.id, index.prepare(text, one_page=False))
    embedder.calls.clear()
    assert embed_file(asset.id, embedder, nullcontext) == count
    assert sum(embedder.calls) == count
    embedder.calls.clear()
    embed_file(asset.id, embedder, nullcontext)
    assert embedder.calls == []


def test_a_vector_of_a_deleted_passage_is_left_out(owner: str, embedder: TrialEmbedder) -> None:
    asset, index = make_file(owner, gate_passed=True), PassageIndex()
    index.replace(asset.id, index.prepare("a passage @1", one_page=False))

    def passages(texts: Sequence[str]) -> Vectors:
        Passage.objects.filter(file=asset).delete()
        return TrialEmbedder.passages(embedder, texts)

    embedder.passages = passages  # type: ignore[method-assign]
    assert embed_file(asset.id, embedder, nullcontext) == 0
    assert not PassageVector.objects.filter(model__key=embedder.key).exists()


def test_both_versions_are_searched_until_the_new_one_is_complete(
    add: Add, owner: str, embedder: TrialEmbedder
) -> None:
    files = [add(degrees) for degrees in (10, 80)]
    new = TrialEmbedder(f"new-{uuid.uuid4()}", size=5)
    embed_file(files[0].id, new, nullcontext)
    asked = [QueryVector(each.key, each.at(70)) for each in (new, embedder)]
    principal = Principal(owner)
    found = knowledge.search("70", visible_files(principal), 10, owners=principal.owners, vectors=asked, by_words=False)
    assert {each.file_id for each in found} == {each.id for each in files}
    assert PassageVector.objects.filter(model__key=embedder.key).count() == 1
    embed_file(files[1].id, new, nullcontext)
    assert not PassageVector.objects.filter(model__key=embedder.key).exists()
    assert nearest(new, 70, owner) == [files[1].id, files[0].id]


def test_another_size_under_the_same_name_is_refused(add: Add, owner: str, embedder: TrialEmbedder) -> None:
    add(1)
    with pytest.raises(ModelRefused, match=f"5 numbers, and of {SIZE} before"):
        stored_model(embedder.key, 5)
    wrong = QueryVector(embedder.key, TrialEmbedder(size=5).at(0))
    assert find_nearest(wrong, visible_files(Principal(owner)), Owners(frozenset({owner})), 5) == []


def test_words_and_meaning_are_fused(add: Add, owner: str, embedder: TrialEmbedder) -> None:
    near, far = add(3), add(170, original_filename="winch.txt", search_name="winch.txt")
    principal = Principal(owner)
    asked = [QueryVector(embedder.key, embedder.at(0))]
    hybrid = knowledge.search("winch", visible_files(principal), 10, owners=principal.owners, vectors=asked)
    assert [each.file_id for each in hybrid] == [far.id, near.id]
    assert [part.text for part in hybrid[1].passages[0].snippet] == ["passage @3"]
    by_words = knowledge.search("winch", visible_files(principal), 10)
    assert [each.file_id for each in by_words] == [far.id]


def test_isolation_over_random_queries(embedder: TrialEmbedder) -> None:
    """No file of another owner is found, and of the own ones always as many as were asked for, the nearest ones."""
    chance = random.Random(7)
    owners = [f"owner-{uuid.uuid4()}" for _ in range(2)]
    angles: dict[str, dict[uuid.UUID, float]] = {owner: {} for owner in owners}
    for number, owner in zip(range(40), cycle(owners), strict=False):
        asset, degrees = make_file(owner, gate_passed=True), number * 4.5
        index = PassageIndex()
        index.replace(asset.id, index.prepare(f"word{number % 5} of @{degrees}", one_page=False))
        embed_file(asset.id, embedder, nullcontext)
        angles[owner][asset.id] = degrees
    for _ in range(1_000):
        owner = chance.choice(owners)
        own, principal = angles[owner], Principal(owner)
        closest = chance.choice(list(own))
        degrees = own[closest] + chance.uniform(-1, 1)
        asked = [QueryVector(embedder.key, embedder.at(degrees))]
        limit, by_words = chance.choice((1, 5, 30)), chance.random() < 0.5
        found = knowledge.search(
            f"word{chance.randrange(5)}",
            visible_files(principal),
            limit,
            owners=principal.owners,
            vectors=asked,
            by_words=by_words,
        )
        assert {each.file_id for each in found} <= set(own)
        assert len(found) == min(limit, len(own))
        assert by_words or found[0].file_id == closest


def test_vectors_get_the_length_one_unless_they_have_none() -> None:
    vectors = normalized(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32))
    assert vectors[0].tolist() == pytest.approx([0.6, 0.8])
    assert vectors[1].tolist() == [0, 0]


def test_pgvector_is_used_from_the_version_on_that_has_the_iterative_scan() -> None:
    versions = {"0.4.4": False, "0.6.0": False, "0.7.4": False, "0.8.0": True, "0.10.1": True, "1.0": True}
    assert {version: postgresql_vectors.is_new_enough(version) for version in versions} == versions
