"""What both planes check of every request, and what every reply contains: over all routes."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.asgi_client import ApiClient, make_file
from tests.integration.test_access import ROWS

pytest_plugins = ["tests.integration.record_plane"]

#: Pages for browsers, made by Django. They have no declared query.
SHELLS = {"GET /", "GET /f/{}", "GET /first-run/", "GET /operations/", "GET /sign-in/"}
PAGES = SHELLS | {"GET /api/docs", "GET /api/openapi.json"}
#: test_websockets.py has these.
WEBSOCKETS = {row for row in ROWS if row.startswith("WS ")}
CALLS = ROWS.keys() - WEBSOCKETS
#: The clients of these add parameters of their own.
OWN_NAMES = {row for row in ROWS if "/s3/" in row or row.startswith("OPTIONS") or "ES /uploads/{}" in row} | {
    f"{method} /uploads/{{}}" for method in ("HEAD", "PATCH", "DELETE")
}
JSON_CALLS = [
    "/files/zip/",
    "/files/{}/signed-url/",
    "/uploads/grants/",
    "/api/v1/upload/init",
    "/api/v1/upload/chunk",
    "/api/v1/upload/complete",
    "/api/v1/upload/cancel",
    "/api/v1/media/upload/init",
    "/api/v1/media/upload/{}/finalize",
    "/api/v1/media/posts/{}/published",
    "/s3/multipart",
    "/s3/multipart/{}/complete?key=x",
]


@pytest.fixture
def call(records_home: Path) -> ApiClient:
    """The whole application in open mode."""
    from windlass.asgi import application

    return ApiClient(application)


def path_of(template: str) -> str:
    return template.replace("{}", str(uuid.uuid4()), 1).replace("{}", "1")


class TestQueries:
    @pytest.mark.parametrize("row", sorted(CALLS - PAGES - OWN_NAMES))
    def test_an_unknown_query_parameter_is_422_on_every_route(self, call: ApiClient, row: str) -> None:
        method, _, template = row.partition(" ")
        answer = call(method, f"{path_of(template)}?nonsense=1")
        assert answer.status_code == 422, answer.text
        assert answer.json()["field"] == "nonsense"

    @pytest.mark.parametrize("row", sorted(OWN_NAMES))
    def test_routes_of_foreign_clients_ignore_unknown_parameters(self, call: ApiClient, row: str) -> None:
        method, _, template = row.partition(" ")
        assert call(method, f"{path_of(template)}?nonsense=1").status_code != 422

    def test_resumable_creations_ignore_unknown_parameters(self, call: ApiClient) -> None:
        tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "1"}
        assert call("POST", "/files/?page=3", headers=tus).status_code == 201
        assert call("POST", "/files/?page=3", headers={"Upload-Complete": "?0"}).status_code == 201

    @pytest.mark.parametrize(
        ("path", "nearest"),
        [
            ("/files/?search=x", "q"),
            ("/files/?limt=3", "limit"),
            ("/files/?page_size=3", "limit"),
            ("/files/?Status=READY", "status"),
            ("/files/?mimetype=a/b", "mime_type"),
            ("/files/?reference=a&ref=b", "reference"),
            ("/files/?page=2", "cursor"),
            ("/files/zip/?id=x", "ids"),
            ("/api/v1/quota?user=7", "owner"),
            (f"/files/{uuid.uuid4()}/download/?expire=1", "expires"),
        ],
    )
    def test_an_unknown_parameter_suggests_the_nearest(self, call: ApiClient, path: str, nearest: str) -> None:
        answer = call("GET", path)
        assert answer.status_code == 422
        assert f"Did you mean {nearest}?" in answer.json()["detail"]
        assert nearest in answer.json()["allowed"]

    def test_every_documented_parameter_is_accepted(self, call: ApiClient) -> None:
        """Every query parameter of the document, on every route of its own."""
        document = call("GET", "/api/openapi.json").json()
        for path, item in document["paths"].items():
            for method, operation in item.items():
                names = [each["name"] for each in operation["parameters"] if each["in"] == "query"]
                for name in names if method == "get" and "events" not in path else ():
                    answer = call("GET", _filled(path), params={name: "1"})
                    assert "has no query parameter" not in answer.text, (path, name)

    def test_jquerys_cache_buster_is_ignored(self, call: ApiClient) -> None:
        assert call("GET", "/files/?_=1764460800000").status_code == 200

    @pytest.mark.parametrize(
        ("query", "detail"),
        [
            ("limit=abc", "limit must be an integer from 1 to 200."),
            ("limit=", "limit must be an integer from 1 to 200."),
            ("limit=201", "limit must be an integer from 1 to 200."),
            ("limit=1.5", "limit must be an integer from 1 to 200."),
            ("limit=1e2", "limit must be an integer from 1 to 200."),
            ("limit=" + "9" * 5000, "limit must be an integer from 1 to 200."),
            ("trashed=maybe", "trashed must be true or false."),
            ("mime_type=pdf", "mime_type must be a type such as image/png, or all of a kind such as image/*."),
            ("mime_type=*/*", "mime_type must be a type such as image/png, or all of a kind such as image/*."),
            ("q=" + "x" * 256, "q must have at most 255 characters."),
        ],
    )
    def test_an_invalid_value_is_explained_in_our_words(self, call: ApiClient, query: str, detail: str) -> None:
        answer = call("GET", f"/files/?{query}")
        assert (answer.status_code, answer.json()["detail"]) == (422, detail)

    @pytest.mark.parametrize("value", ["0", "604801", '"x"', "1.5", "true", "[]"])
    def test_an_invalid_expires_in_is_explained_with_its_bounds(self, call: ApiClient, value: str) -> None:
        file = make_file("anonymous")
        for path in ("/uploads/grants/", f"/files/{file.id}/signed-url/"):
            answer = call("POST", path, content=f'{{"expires_in": {value}}}')
            told = "expires_in must be an integer from 1 to 604800 seconds, which is a week."
            assert (answer.status_code, answer.json()["detail"]) == (422, told)

    def test_an_invalid_status_is_explained_with_the_valid_ones(self, call: ApiClient) -> None:
        detail = call("GET", "/files/?status=ready").json()["detail"]
        assert detail.startswith("status must be one of PENDING, PROCESSING, READY")


def _filled(path: str) -> str:
    return re.sub("{[^}]*}", lambda found: str(uuid.uuid4()), path)


class TestText:
    """PostgreSQL refuses NUL, and half of a surrogate pair is no UTF-8: neither gets as far as a query."""

    @pytest.mark.parametrize("row", sorted(ROWS.keys() - PAGES))
    def test_nul_in_a_query_is_refused_on_every_route(self, call: ApiClient, row: str) -> None:
        method, _, template = row.partition(" ")
        status = 400 if "/s3/" in template else 422
        for query in ("reference=%00", "a%00b=1"):
            answer = call(method, f"{path_of(template)}?{query}")
            assert answer.status_code == status, answer.text

    @pytest.mark.parametrize("row", sorted(row for row in ROWS if "{}" in row and not row.startswith("PUT")))
    def test_nul_in_a_path_is_404_on_every_route(self, call: ApiClient, row: str) -> None:
        method, _, template = row.partition(" ")
        for spelled in ("%00", "a%00b"):
            assert call(method, template.replace("{}", spelled), content=b"{}").status_code == 404

    @pytest.mark.parametrize("path", JSON_CALLS)
    @pytest.mark.parametrize(
        "body",
        [rb'{"reference": "\ud800"}', rb'{"a\u0000": 1}', rb'{"a": [{"b": "\udfff\ud800"}]}', b'{"a": "\xed\xa0\x80"}'],
    )
    def test_nul_and_lone_surrogates_in_json_are_refused(self, call: ApiClient, path: str, body: bytes) -> None:
        assert call("POST", path_of(path), content=body).status_code in (400, 422)

    def test_a_surrogate_pair_is_accepted(self, call: ApiClient) -> None:
        body = rb'{"reference": "\ud83d\ude00 \\u0000"}'
        assert call("POST", "/uploads/grants/", content=body).status_code == 201

    def test_a_cookie_with_nul_is_ignored(self, call: ApiClient) -> None:
        assert call("GET", "/files/", headers={"Cookie": 'sessionid="\\000abcdefgh"'}).status_code == 200


class TestJson:
    @pytest.mark.parametrize("path", JSON_CALLS)
    @pytest.mark.parametrize(
        "body", [b"[null]", b"true", b'"x"', b"1", b"null", b"[]", b"1e999", b"NaN", b"{", b"[" * 100_000]
    )
    def test_json_that_is_no_object_is_refused_by_every_call(self, call: ApiClient, path: str, body: bytes) -> None:
        file = make_file("anonymous")
        answer = call("POST", path.replace("{}", str(file.id)), content=body)
        assert answer.status_code in (400, 413, 422), answer.text
        assert "server" not in json.dumps(answer.json())


class TestReplies:
    @pytest.mark.parametrize("row", sorted(CALLS - SHELLS))
    def test_allow_lists_exactly_the_methods_of_the_path(self, call: ApiClient, row: str) -> None:
        """Every method is tried: those of Allow are not refused, and all others are, with the same Allow."""
        _, _, template = row.partition(" ")
        if "events" in template:
            pytest.skip("a stream does not end")
        path = path_of(template)
        allowed = set(call("OPTIONS", path).headers.get("allow", "").split(", "))
        assert row.partition(" ")[0] in allowed
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
            answer = call(method, path)
            if method in allowed:
                assert answer.status_code != 405, method
            else:  # 404 where another path has an id in the place of this one's word: that there is no such thing
                assert answer.status_code in ((405, 400) if "/s3/" in template else (405, 404)), method
            if answer.status_code == 405:
                assert set(answer.headers["allow"].split(", ")) == allowed

    def test_a_literal_path_segment_is_not_taken_for_an_id(self, call: ApiClient) -> None:
        assert call("PATCH", "/api/v1/media/upload/init").headers["allow"] == "OPTIONS, POST"
        assert call("PATCH", "/uploads/grants/").status_code in (404, 405)
        assert call("OPTIONS", "/files/security/config").headers["allow"] == "GET, HEAD, OPTIONS"
        for method in ("GET", "OPTIONS"):
            answer = call(method, "/files/nothing/here")
            assert (answer.status_code, "allow" in answer.headers) == (404, False)

    @pytest.mark.parametrize("row", sorted(CALLS - SHELLS))
    def test_every_reply_is_no_store_by_default(self, call: ApiClient, row: str) -> None:
        method, _, template = row.partition(" ")
        answer = call("HEAD" if "events" in template else method, path_of(template))
        assert "no-store" in answer.headers["cache-control"]

    def test_records_lists_and_status_are_private_and_no_store(self, call: ApiClient) -> None:
        file = make_file("anonymous")
        for path in ("/files/", f"/files/{file.id}/", f"/files/{file.id}/status/", "/profiles/"):
            assert call("GET", path).headers["cache-control"] == "private, no-store"
        signed = call("POST", f"/files/{file.id}/signed-url/")
        assert (signed.status_code, signed.headers["cache-control"]) == (201, "private, no-store")


def pages(call: ApiClient, path: str) -> Iterator[dict[str, Any]]:
    following: str | None = path
    while following:
        answer = call("GET", following)
        assert answer.status_code == 200, answer.text
        assert len(answer.content) < 6 * 1024 * 1024
        yield answer.json()
        following = answer.json()["next"]


def test_a_page_has_a_limit_of_bytes(call: ApiClient) -> None:
    """Each record has about 1 MB of metadata, as of an upload before there was a limit: a page holds some of them."""
    reference = uuid.uuid4().hex
    made = [str(make_file("anonymous", metadata={"a": "x" * 1_000_000}, reference=reference).id) for _ in range(7)]
    made.append(str(make_file("anonymous", extra_attributes={"a": "x" * 5_000_000}, reference=reference).id))
    found = list(pages(call, f"/files/?limit=200&reference={reference}"))
    assert len(found) > 2
    assert [record["id"] for page in found for record in page["results"]] == made[::-1]


def test_djangos_pages_refuse_nul_too(call: ApiClient) -> None:
    for path in ("/admin/?q=%00", "/admin/login/?next=%00", "/?a%00=1"):
        answer = call("GET", path)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-field")
