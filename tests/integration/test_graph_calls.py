"""``/graph/``: what it answers, to whom, and what it refuses."""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.asgi_client import ApiClient, make_file
from tests.model_server import hashed_words, model_server
from windlass.files.api import FileAsset, visible_files
from windlass.http.rest import graph as rest
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import Conflict, NotFound
from windlass.knowledge import api as knowledge
from windlass.knowledge.graph.similar_names import may_mean_the_same
from windlass.knowledge.graph.storing import StoredGraph
from windlass.knowledge.indexing import PassageIndex

pytest_plugins = ["tests.integration.record_plane"]


@pytest.fixture
def client(user: Callable[..., ApiClient], configure: Callable[..., None]) -> ApiClient:
    from windlass.asgi import application

    configure(AUTH_MODE="required")
    return user(app=application)


def file_with_graph(owner: str, text: str, **values: Any) -> FileAsset:
    asset: FileAsset = make_file(owner, status="READY", gate_passed=True, **values)
    index, graph = PassageIndex(), StoredGraph()
    prepared = index.prepare(text, one_page=True)
    index.replace(asset.id, prepared)
    found = graph.extract(asset.id, owner, None, lambda _: None)
    assert found is not None
    graph.replace(asset.id, found)
    return asset


def names(client: ApiClient, query: str = "") -> list[str]:
    return [each["name"] for each in client("GET", f"/graph/entities/?{query}").json()["results"]]


def test_the_graph_of_a_file_has_places_and_provenance(client: ApiClient) -> None:
    asset = file_with_graph(client.owner, "The Acme Ltd pays Ada Lovelace <ada@example.org>.")
    document = client("GET", f"/files/{asset.id}/graph/").json()
    assert {each["name"]: each["type"] for each in document["entities"]} == {
        "Acme Ltd": "organization",
        "Ada Lovelace": "person",
        "ada@example.org": "email",
    }
    (acme,) = [each for each in document["entities"] if each["name"] == "Acme Ltd"]
    (place,) = acme["mentions"]
    assert (place["start"], place["end"], place["page"], place["confidence"]) == (4, 12, 1, 0.85)
    passages = client("GET", "/search/?q=acme").json()["results"][0]["passages"]
    assert place["passage_id"] == passages[0]["id"]
    first = document["relations"][0]
    assert (first["from_name"], first["type"], first["to_name"]) == (
        "Ada Lovelace",
        "has_email",
        "ada@example.org",
    )
    assert (first["file_id"], first["passage_id"], first["model"]) == (str(asset.id), place["passage_id"], "rules-2")


def test_entities_are_listed_page_by_page_and_described(client: ApiClient) -> None:
    for number in range(5):
        file_with_graph(client.owner, f"The Acme{number} Ltd and the Common Inc met on 2024-03-0{number + 1}.")
    assert names(client, "type=organization") == [*(f"Acme{number} Ltd" for number in range(5)), "Common Inc"]
    assert names(client, "q=ACME3") == ["Acme3 Ltd"]
    assert names(client, "type=person") == []
    seen, url = [], "/graph/entities/?limit=4"
    while url:
        page = client("GET", url).json()
        seen += [each["name"] for each in page["results"]]
        url = page["next"]
    assert seen == names(client)
    assert len(seen) == 11
    (common,) = client("GET", "/graph/entities/?q=common").json()["results"]
    assert (common["files"], common["mentions"]) == (5, 5)
    described = client("GET", common["link"]).json()
    assert described["names"] == ["Common Inc"]
    assert len(described["files"]) == 5
    assert {each["to_type"] for each in described["relations"]} == {"organization", "date"}


def test_paths_between_entities(client: ApiClient) -> None:
    file_with_graph(client.owner, "The Acme Ltd met the Blue Inc in town.")
    file_with_graph(client.owner, "The Blue Inc met the Cyan GmbH.")
    ids = {each["name"]: each["id"] for each in client("GET", "/graph/entities/").json()["results"]}
    query = {"from": ids["Acme Ltd"], "to": ids["Cyan GmbH"]}
    document = client("GET", "/graph/paths/", params=query).json()
    assert [[each["type"] for each in path] for path in document["paths"]] == [["mentioned_with", "mentioned_with"]]
    assert document["complete"] is True
    assert client("GET", "/graph/paths/", params={**query, "max": "1"}).json()["paths"] == []
    assert client("GET", "/graph/paths/", params={**query, "max": "7"}).status_code == 422
    assert client("GET", "/graph/paths/", params={**query, "to": "x"}).status_code == 422
    assert client("GET", "/graph/paths/", params={**query, "to": str(uuid.uuid4())}).status_code == 404


@pytest.mark.parametrize("path", ["?limit=201", "?cursor=%00", "?cursor=YWJj", "?q=" + "a" * 201, "?nome=a"])
def test_a_wrong_query_is_refused(client: ApiClient, path: str) -> None:
    assert client("GET", f"/graph/entities/{path}").status_code == 422


def test_unknown_entities_are_not_found_and_a_credential_is_needed(client: ApiClient) -> None:
    from windlass.asgi import application

    assert client("GET", f"/graph/entities/{uuid.uuid4()}/").status_code == 404
    assert client("GET", "/graph/entities/x/").status_code == 404
    for path in ("/graph/entities/", "/graph/paths/?from=a&to=b", f"/files/{uuid.uuid4()}/graph/"):
        assert ApiClient(application)("GET", path).status_code == 401


#: Calls of the graph, and how many entities each names.
CALLS = {"_entity_page": 0, "_described_entity": 1, "_paths": 2, "_file_graph": 0, "_merged": 2, "_split": 1}


@pytest.mark.usefixtures("records_home")
def test_nothing_of_another_owner_is_ever_seen() -> None:
    """1,000 random calls of two owners whose files name the same companies, and who merge and split them: each sees
    what the own files say, and what the other one has is to each as what does not exist."""
    chance, owners = random.Random(15), [f"user:{uuid.uuid4()}" for _ in range(2)]
    files: dict[str, set[str]] = {owner: set() for owner in owners}
    for number in range(8):
        owner = owners[number % 2]
        text = f"The Shared{number // 4} Ltd met the Own{number} Inc, and Ada Lovelace <a{number % 2}@example.org>."
        files[owner].add(str(file_with_graph(owner, text).id))
    own = {
        owner: {row["id"] for row in rest._entity_page(visible(owner), rest.EntityQuery.model_validate({}))["results"]}
        for owner in owners
    }
    everything = sorted(own[owners[0]] | own[owners[1]])
    outcomes = Counter[str]()
    for _ in range(1_000):
        owner, entity, other = chance.choice(owners), chance.choice(everything), chance.choice(everything)
        name = chance.choice(sorted(CALLS))
        named = set((entity, other)[: CALLS[name]])
        arguments = {
            "_entity_page": (rest.EntityQuery.model_construct(q="own", type=None, limit=50, cursor=None),),
            "_file_graph": (),
            "_paths": (rest.PathQuery.model_construct(from_=entity, to=other, max=4),),
        }.get(name, (entity, other)[: CALLS[name]])
        try:
            of = visible(owner).get(id=chance.choice(sorted(files[owner]))) if name == "_file_graph" else visible(owner)
            outcome, reply = "found", json.dumps(getattr(rest, name)(of, *arguments))
        except (NotFound, Conflict) as error:
            outcome, reply = type(error).__name__, str(error)
        outcomes[outcome] += 1
        assert named <= own[owner] or outcome == "NotFound", (name, arguments)
        strangers = {*everything, *files[owners[0]], *files[owners[1]]} - own[owner] - files[owner] - named
        assert not [each for each in strangers if each in reply], (name, arguments)
    assert set(outcomes) == {"found", "NotFound", "Conflict"}
    assert min(outcomes.values()) > 20


def visible(owner: str) -> Any:
    return visible_files(Principal(owner))


def test_entities_are_merged_and_split(client: ApiClient, user: Callable[..., ApiClient]) -> None:
    file_with_graph(client.owner, "The Acme Ltd met the Blue Inc and Mr. John Smith here.")
    ids = {each["name"]: each["id"] for each in client("GET", "/graph/entities/").json()["results"]}
    path = f"/graph/entities/{ids['Acme Ltd']}/merges/"
    merged = client("POST", path, json={"entity": ids["Blue Inc"]})
    assert merged.json()["names"] == ["Acme Ltd", "Blue Inc"]
    assert names(client) == ["Acme Ltd", "John Smith"]
    assert client("POST", path, json={"entity": ids["John Smith"]}).status_code == 409
    assert client("POST", path, json={"entity": "x"}).status_code == 422
    assert client("POST", path, json={"entity": str(uuid.uuid4())}).status_code == 404
    other = user()
    file_with_graph(other.owner, "The Acme Ltd met the Blue Inc here.")
    (foreign,) = [each["id"] for each in other("GET", "/graph/entities/?q=blue").json()["results"]]
    assert client("POST", path, json={"entity": foreign}).status_code == 404
    assert other("POST", path, json={"entity": foreign}).status_code == 404
    again = client("POST", path, json={"entity": ids["Blue Inc"]})
    assert (again.status_code, again.json()) == (200, merged.json()), "a client that got no answer repeats the call"
    assert client("DELETE", path).json()["names"] == ["Acme Ltd"]
    assert client("DELETE", path).status_code == 409
    assert names(client) == ["Acme Ltd", "Blue Inc", "John Smith"]
    assert names(other) == ["Acme Ltd", "Blue Inc"]


@pytest.fixture
def near_names(configure: Callable[..., None]) -> Iterator[None]:
    """A model for which names are near each other that have the same words, in any order."""
    with model_server(lambda text: hashed_words(" ".join(sorted(set(text.split()) - {"of"})))) as model:
        configure(EMBEDDINGS="http", EMBEDDINGS_URL=model.url, EMBEDDINGS_MODEL=f"names-{uuid.uuid4()}")
        yield


@pytest.mark.usefixtures("near_names")
def test_similar_names_are_merged_within_an_owner_and_a_type_and_split_for_good(
    client: ApiClient, user: Callable[..., ApiClient]
) -> None:
    file_with_graph(client.owner, "The Oxford University Ltd met the Cyan 1 Inc and the Cyan 2 Inc here.")
    file_with_graph(client.owner, "The University of Oxford Ltd. Dear Mrs. Oxford University, write to us.")
    other = user()
    file_with_graph(other.owner, "The Oxford University Ltd is old.")
    before = names(client), names(other)
    pairs = list(knowledge.find_similar(client.owner))
    (pair,) = pairs
    assert {pair.name, pair.into_name} == {"Oxford University Ltd", "University of Oxford Ltd."}
    assert pair.similarity >= knowledge.SIMILARITY
    knowledge.merge_similar(pair)
    assert len(names(client)) == len(before[0]) - 1
    assert names(other) == before[1]
    found = client("GET", f"/graph/entities/{pair.into}/").json()
    assert found["names"] == ["Oxford University Ltd", "University of Oxford Ltd."]
    assert list(knowledge.find_similar(client.owner)) == []
    client("DELETE", f"/graph/entities/{pair.into}/merges/")
    assert names(client) == before[0]
    assert list(knowledge.find_similar(client.owner)) == [], "somebody has decided that they are two"
    knowledge.merge(client.owner, pair.entity, pair.into)
    assert len(names(client)) == len(before[0]) - 1


@pytest.mark.parametrize(
    ("one", "other", "may_be"),
    [
        ("University of Oxford", "Oxford University", True),
        ("Northwind Rope", "Northwind Ropes", True),
        ("John Smith", "John A. Smith", True),
        ("Hewlett-Packard", "hewlett packard", True),
        ("Zora Vale", "Vale, Zora", True),
        ("Acme 1", "Acme 2", False),
        ("Acme Germany", "Acme France", False),
        ("Northwind Rope", "Southwind Rope", False),
        ("Anna Anna", "Anna Meier", False),
        ("Tom", "Tomas", False),
        ("!", "?", False),
    ],
)
def test_names_of_one_entity_share_their_words_and_numbers(one: str, other: str, may_be: bool) -> None:
    assert may_mean_the_same(one, other) is may_mean_the_same(other, one) is may_be


def test_a_real_model_finds_names_that_differ_in_little(sentence_model: Path, configure: Callable[..., None]) -> None:
    configure(EMBEDDINGS="local", EMBEDDINGS_MODEL=str(sentence_model))
    owner = f"user:{uuid.uuid4()}"
    same = "The Oxford University Ltd, the Northwind Rope Ltd and the University of Oxford Inc met."
    file_with_graph(owner, f"{same} The Northwind Ropes Inc came. The Southwind Rope Ltd and the Rope Bank AG did not.")
    found = {frozenset({each.name, each.into_name}) for each in knowledge.find_similar(owner)}
    assert found == {
        frozenset({"Oxford University Ltd", "University of Oxford Inc"}),
        frozenset({"Northwind Rope Ltd", "Northwind Ropes Inc"}),
    }
