"""``/search/``: what it answers, to whom, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.asgi_client import ApiClient, make_file
from windlass.files.api import FileAsset, StepRun, StepState
from windlass.knowledge.indexing import PassageIndex

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
        ("q=a&mode=hybrid", "text"),
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


def test_it_needs_a_credential(client: ApiClient) -> None:
    from windlass.asgi import application

    assert ApiClient(application)("GET", "/search/?q=a").status_code == 401
    assert ApiClient(application)("POST", "/search/", json={"q": "a"}).status_code == 401
    assert client("PUT", "/search/").status_code == 405
