"""``/search/``: what it answers, to whom, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.integration.asgi_client import ApiClient, make_file
from tests.model_server import ModelServer, model_server
from windlass.files.api import FileAsset, StepRun, StepState
from windlass.knowledge.indexing import PassageIndex
from windlass.resilience import circuit_breaker

pytest_plugins = ["tests.integration.record_plane"]


@pytest.fixture
def client(user: Callable[..., ApiClient], configure: Callable[..., None]) -> ApiClient:
    from windlass.asgi import application

    configure(AUTH_MODE="required")
    return user(app=application)


def indexed(owner: str, text: str, **values: Any) -> FileAsset:
    asset: FileAsset = make_file(owner, status="READY", gate_passed=True, **values)
    index = PassageIndex()
    index.replace(asset.id, index.prepare(text, one_page=True))
    return asset


def test_a_result_has_the_record_the_passage_and_the_matches(client: ApiClient) -> None:
    asset = indexed(client.owner, "The <b>pawl</b> holds the chain of the winch & that is all.", mime_type="text/plain")
    reply = client("GET", "/search/", params={"q": "PAWL chain"})
    assert reply.status_code == 200
    document = reply.json()
    assert (document["mode"], document["owed"]) == ("text", 0)
    (result,) = document["results"]
    assert result["file"]["id"] == str(asset.id)
    assert result["links"] == {"self": f"/files/{asset.id}/", "text": None}
    (passage,) = result["passages"]
    assert (passage["page"], passage["start"], passage["language"]) == (1, 0, "en")
    assert [part["text"] for part in passage["snippet"] if part["match"]] == ["pawl", "chain"]
    assert "The <b>pawl</b> holds" in "".join(part["text"] for part in passage["snippet"])
    assert client("POST", "/search/", json={"q": "PAWL chain"}).json() == document


def test_the_filters_are_those_of_the_list(client: ApiClient) -> None:
    pdf = indexed(client.owner, "the same words", mime_type="application/pdf", reference="case-7")
    text = indexed(client.owner, "the same words", mime_type="text/plain")

    def ids(**filters: str) -> set[str]:
        reply = client("GET", "/search/", params={"q": "same words", **filters})
        return {each["file"]["id"] for each in reply.json()["results"]}

    assert ids() == {str(pdf.id), str(text.id)}
    assert ids(kind="pdf") == ids(reference="case-7") == ids(mime_type="application/*") == {str(pdf.id)}
    assert ids(mime_type="text/plain") == {str(text.id)}
    assert ids(to="2001-01-01") == set()
    assert len(ids(limit="1", mode="text")) == 1


def test_what_is_not_indexed_yet_is_counted(client: ApiClient) -> None:
    asset = indexed(client.owner, "words")
    StepRun.objects.create(file=asset, run=asset.run, stage="derive", step="index", position=1, state=StepState.OWED)
    assert client("GET", "/search/?q=words").json()["owed"] == 1


def test_another_owner_and_a_file_in_the_trash_are_not_found(client: ApiClient, user: Callable[..., ApiClient]) -> None:
    from windlass.asgi import application

    other = user(app=application)
    indexed(client.owner, "a private matter", original_filename="private.txt", search_name="private.txt")
    assert len(client("GET", "/search/?q=private").json()["results"]) == 1
    assert other("GET", "/search/?q=private").json()["results"] == []
    assert client("DELETE", f"/files/{FileAsset.objects.get(owner=client.owner).id}/").status_code == 204
    assert client("GET", "/search/?q=private").json()["results"] == []


@pytest.mark.parametrize(
    ("query", "limit"),
    [
        ("", "q"),
        ("q=", "q"),
        ("q=%20%20", "q"),
        (f"q={'a' * 1001}", "1000"),
        ("q=a&mode=vector", "text"),
        ("q=a&mode=words", "hybrid"),
        ("q=a&limit=101", "100"),
        ("q=a&query=b", "query"),
        ("q=a&from=yesterday", "2026-01-31"),
    ],
)
def test_a_wrong_query_is_refused_with_what_is_allowed(client: ApiClient, query: str, limit: str) -> None:
    reply = client("GET", f"/search/?{query}")
    assert reply.status_code == 422
    assert limit in reply.json()["detail"]


def test_a_body_may_have_a_longer_query(client: ApiClient) -> None:
    assert client("POST", "/search/", json={"q": "a " * 5000}).status_code == 200
    reply = client("POST", "/search/", json={"q": "a" * 10_001})
    assert reply.status_code == 422
    assert "10000" in reply.json()["detail"]


@pytest.fixture
def model(configure: Callable[..., None]) -> Iterator[ModelServer]:
    with model_server() as server:
        configure(
            AUTH_MODE="required",
            EMBEDDINGS="http",
            EMBEDDINGS_URL=server.url,
            EMBEDDINGS_MODEL="trial",
            EMBEDDINGS_API_KEY="sk-1",
        )
        circuit_breaker.reset()
        yield server
    circuit_breaker.reset()


def test_without_a_model_hybrid_searches_words(client: ApiClient) -> None:
    asset = indexed(client.owner, "the harbour at dawn")
    reply = client("GET", "/search/?q=harbour&mode=hybrid").json()
    assert reply["mode"] == "text"
    assert [each["file"]["id"] for each in reply["results"]] == [str(asset.id)]


def test_with_a_model_words_and_meaning_are_searched(client: ApiClient, model: ModelServer) -> None:
    assets = [indexed(client.owner, text) for text in ("the harbour at dawn", "old sails")]
    for asset in assets:
        PassageIndex().embed(asset.id, nullcontext)
    step = {"stage": "derive", "step": "embed", "position": 1, "state": StepState.OWED}
    StepRun.objects.create(file=assets[0], run=assets[0].run, **step)
    modes = {mode: client("GET", f"/search/?q=harbour{mode}").json() for mode in ("", "&mode=vector", "&mode=text")}
    assert [reply["mode"] for reply in modes.values()] == ["hybrid", "vector", "text"]
    assert [len(reply["results"]) for reply in modes.values()] == [2, 2, 1]
    assert [reply["owed"] for reply in modes.values()] == [0, 1, 0]
    assert all(reply["results"][0]["file"]["id"] == str(assets[0].id) for reply in modes.values())
    assert client("POST", "/search/", json={"q": "harbour"}).json()["mode"] == "hybrid"


def test_while_the_model_is_away_only_vectors_are_refused(client: ApiClient, model: ModelServer) -> None:
    asset = indexed(client.owner, "the harbour at dusk")
    PassageIndex().embed(asset.id, nullcontext)
    model.away = True
    reply = client("GET", "/search/?q=harbour").json()
    assert (reply["mode"], len(reply["results"])) == ("text", 1)
    refused = client("GET", "/search/?q=harbour&mode=vector")
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    assert "mode=text" in refused.json()["detail"]
    model.away = False
    circuit_breaker.reset()
    assert client("GET", "/search/?q=harbour").json()["mode"] == "hybrid"


def test_a_local_model_that_cannot_be_loaded_counts_as_away(
    client: ApiClient, configure: Callable[..., None], tmp_path: Path
) -> None:
    asset = indexed(client.owner, "the harbour at noon")
    for name in ("model.onnx", "tokenizer.json"):
        (tmp_path / name).write_text("damaged")
    configure(EMBEDDINGS="local", EMBEDDINGS_MODEL=str(tmp_path))
    reply = client("GET", "/search/?q=harbour").json()
    assert (reply["mode"], [each["file"]["id"] for each in reply["results"]]) == ("text", [str(asset.id)])
    assert client("GET", "/search/?q=harbour&mode=vector").status_code == 503
    (tmp_path / "model.onnx").unlink()  # since the process started
    assert client("GET", "/search/?q=harbour").json()["mode"] == "text"


def test_passages_are_listed_in_pages(client: ApiClient, user: Callable[..., ApiClient]) -> None:
    from windlass.asgi import application

    asset = indexed(client.owner, "\f".join(f"{'word ' * 140} of page {number}." for number in range(1, 6)))
    first = client("GET", f"/files/{asset.id}/passages/?limit=3").json()
    rest = client("GET", first["next"]).json()
    found = [*first["results"], *rest["results"]]
    assert rest["next"] is None
    assert [each["ordinal"] for each in found] == list(range(5))
    assert [each["page"] for each in found] == [1, 2, 3, 4, 5]
    assert found[1]["text"].endswith("of page 2.")
    assert found[1]["end"] - found[1]["start"] == len(found[1]["text"])
    assert user(app=application)("GET", f"/files/{asset.id}/passages/").status_code == 404
    assert client("GET", f"/files/{asset.id}/passages/?limit=0").status_code == 422
    FileAsset.objects.filter(id=asset.id).update(gate_passed=False)
    assert client("GET", f"/files/{asset.id}/passages/").json() == {"results": [], "next": None}


def test_it_needs_a_credential(client: ApiClient) -> None:
    from windlass.asgi import application

    assert ApiClient(application)("GET", "/search/?q=a").status_code == 401
    assert ApiClient(application)("POST", "/search/", json={"q": "a"}).status_code == 401
    assert client("PUT", "/search/").status_code == 405
