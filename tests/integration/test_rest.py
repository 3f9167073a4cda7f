"""The operations of the record plane, through Django's ASGI handler on a real database."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.asgi_client import REQUEST_ID, ApiClient, make_file
from windlass.files.search_facts import searchable_facts

pytest_plugins = ["tests.integration.record_plane"]

User = Callable[..., ApiClient]
#: What a process reads about once a second, whoever asks for what.
PERIODIC = re.compile("servicelevel|circuitbreaker")


@contextmanager
def counted_queries() -> Iterator[list[str]]:
    """The statements that every connection of this process runs meanwhile."""
    from django.db.backends.utils import CursorWrapper

    seen: list[str] = []
    original = CursorWrapper.execute

    def execute(self: Any, sql: Any, params: Any = None) -> Any:
        seen.append(sql)
        return original(self, sql, params)

    CursorWrapper.execute = execute  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        CursorWrapper.execute = original  # type: ignore[method-assign]


def make_whole_file(owner: str, **values: Any) -> Any:
    """A file that is ready, with steps of two runs and a thumbnail."""
    from windlass.files.api import FileStatus, Rendition, StepRun, StepState

    facts = {"mime_type": "image/jpeg", "checksum": "ab" * 32, "width": 640, "height": 480, "run": 2, "progress": 99}
    asset = make_file(owner, status=FileStatus.READY, gate_passed=True, **(facts | values))
    steps = [
        (1, "intake", "size", StepState.FAILED, "of the run before"),
        (2, "intake", "size", StepState.DONE, "3 bytes"),
        (2, "intake", "type", StepState.OWED, ""),
        (2, "derive", "thumbnail", StepState.DONE, "made"),
    ]
    for position, (run, stage, step, state, detail) in enumerate(steps):
        StepRun.objects.create(
            file=asset, run=run, stage=stage, step=step, position=position, state=state, detail=detail, seconds=0.5
        )
    Rendition.objects.create(
        file=asset, name="thumbnail", kind="image", mime_type="image/webp", store="local", key="k", size=9, width=4
    )
    return asset


def problem(response: Any, status: int, slug: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["status"], body["type"]) == (status, f"/problems/{slug}")
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == REQUEST_ID
    return body


class TestRecord:
    def test_a_record_has_every_field_of_the_contract(self, user: User) -> None:
        caller = user()
        asset = make_whole_file(caller.owner, reference="order-7", metadata={"a": 1})
        record = caller("GET", f"/files/{asset.id}/").json()
        path = f"/files/{asset.id}"
        assert record == {
            "id": str(asset.id),
            "original_filename": "a.txt",
            "size": 3,
            "status": "READY",
            "mime_type": "image/jpeg",
            "declared_mime_type": None,
            "checksum": "ab" * 32,
            "checksum_algorithm": "sha256",
            "width": 640,
            "height": 480,
            "duration": None,
            "page_count": None,
            "extra_attributes": {},
            "metadata": {"a": 1},
            "profile": "default",
            "reference": "order-7",
            "duplicate_of": None,
            "thumbnail_url": f"{path}/thumbnail/",
            "renditions": [
                {
                    "name": "thumbnail",
                    "kind": "image",
                    "mime_type": "image/webp",
                    "size": 9,
                    "width": 4,
                    "height": None,
                    "url": f"{path}/renditions/thumbnail/",
                }
            ],
            "checks": [
                {"name": "size", "state": "passed", "detail": "3 bytes"},
                {"name": "type", "state": "owed", "detail": ""},
            ],
            "created_at": record["created_at"],
            "updated_at": record["updated_at"],
            "expires_at": None,
            "rejection": None,
            "links": {
                "self": f"{path}/",
                "status": f"{path}/status/",
                "download": f"{path}/download/",
                "events": f"{path}/events/",
            },
        }
        assert record["created_at"].endswith("Z")

    def test_status_has_the_steps_of_the_current_run(self, user: User) -> None:
        caller = user()
        asset = make_whole_file(caller.owner)
        status = caller("GET", f"/files/{asset.id}/status/").json()
        assert (status["id"], status["status"], status["progress"]) == (str(asset.id), "READY", 100)
        assert [step["name"] for step in status["steps"]] == ["size", "type", "thumbnail"]
        assert status["steps"][0] == {
            "name": "size",
            "stage": "intake",
            "state": "done",
            "seconds": 0.5,
            "progress": 0,
            "detail": "3 bytes",
        }
        assert status["owed"] == ["type"]

    def test_media_url_is_the_base_of_download_links(self, user: User, configure: Callable[..., None]) -> None:
        configure(MEDIA_URL="https://cdn.example/media/")
        caller = user()
        asset = make_whole_file(caller.owner)
        record = caller("GET", f"/files/{asset.id}/").json()
        base = f"https://cdn.example/media/files/{asset.id}"
        assert record["thumbnail_url"] == f"{base}/thumbnail/"
        assert record["renditions"][0]["url"] == f"{base}/renditions/thumbnail/"
        assert record["links"]["download"] == f"{base}/download/"
        assert record["links"]["self"] == f"/files/{asset.id}/"
        signed = caller("POST", f"/files/{asset.id}/signed-url/").json()
        assert signed["url"].startswith(f"{base}/download/?expires=")


class TestList:
    def test_pages_have_every_file_once_newest_first(self, user: User) -> None:
        caller = user()
        made = [str(make_file(caller.owner).id) for _ in range(5)]
        from windlass.files.api import FileAsset

        moment = FileAsset.objects.get(id=made[0]).created_at
        FileAsset.objects.filter(id__in=made[:3]).update(created_at=moment)  # one moment across a page's edge
        seen, path = [], "/files/?limit=2"
        while path:
            page = caller("GET", path).json()
            assert len(page["results"]) <= 2
            seen += [record["id"] for record in page["results"]]
            path = page["next"] and page["next"].removeprefix("http://localhost")
        assert seen[:2] == [made[4], made[3]]
        assert sorted(seen) == sorted(made)

    def test_next_keeps_the_filters(self, user: User) -> None:
        caller = user()
        for name in ("one.txt", "two.txt", "one.md"):
            make_file(caller.owner, original_filename=name, reference="x")
        page = caller("GET", "/files/", params={"limit": 1, "q": "ONE", "reference": "x"}).json()
        assert [record["original_filename"] for record in page["results"]] == ["one.md"]
        page = caller("GET", page["next"]).json()
        assert [record["original_filename"] for record in page["results"]] == ["one.txt"]
        assert page["next"] is None

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("status=READY", {"b.png"}),
            ("mime_type=image/png", {"b.png"}),
            ("mime_type=image/*", {"b.png", "c.gif"}),
            ("status=READY&status=FAILED", {"b.png"}),
            ("kind=image", {"b.png", "c.gif"}),
            ("kind=other", {"a.txt"}),
            ("q=K%C3%84THE", {"b.png"}),
            ("from=2020-02-02", {"a.txt", "c.gif"}),
            ("to=2020-02-01", {"b.png"}),
            ("to=2020-02-01T12:00:00%2B01:00", set()),
            ("from=2020-02-01T11:00:00Z&to=2020-02-01T11:00:01Z", {"b.png"}),
            ("reference=r1", {"a.txt"}),
            ("q=.g", {"c.gif"}),
            ("q=100%25", set()),
            ("", {"a.txt", "b.png", "c.gif"}),
        ],
    )
    def test_a_list_is_filtered_by_each_parameter(self, user: User, query: str, found: set[str]) -> None:
        from windlass.files.api import FileAsset, FileStatus

        caller = user()
        make_file(caller.owner, original_filename="a.txt", reference="r1")
        old = make_file(
            caller.owner,
            original_filename="b.png",
            mime_type="image/png",
            status=FileStatus.READY,
            search_facts=searchable_facts({"title": "An K\u00e4the", "exif": {"model": "X100"}}),
        )
        FileAsset.objects.filter(id=old.id).update(created_at=datetime(2020, 2, 1, 11, tzinfo=UTC))
        make_file(caller.owner, original_filename="c.gif", mime_type="image/gif")
        results = caller("GET", f"/files/?{query}").json()["results"]
        assert {record["original_filename"] for record in results} == found

    @pytest.mark.parametrize("sort", ["created", "-created", "name", "-name", "size", "-size"])
    def test_pages_of_every_order_have_every_file_once(self, user: User, sort: str) -> None:
        caller = user()
        made = [
            make_file(caller.owner, original_filename=name, size=size)
            for name, size in [("b", 7), ("B", 7), ("a b", 1), ("\u00e4", 0), ("b", 7), ("c", 2**40)]
        ]
        from windlass.files.api import FileAsset

        FileAsset.objects.filter(id__in=[each.id for each in made[:3]]).update(created_at=made[0].created_at)
        column = {"created": "created_at", "name": "search_name", "size": "size"}[sort.removeprefix("-")]
        expected = FileAsset.objects.filter(owner=caller.owner).values_list(column, "id")
        seen, path = [], f"/files/?limit=2&sort={sort}"
        while path:
            page = caller("GET", path).json()
            seen += [record["id"] for record in page["results"]]
            path = page["next"]
        in_order = sorted(expected, reverse=sort.startswith("-"))
        if column != "search_name":  # the collation of the database sorts names
            assert seen == [str(file_id) for _, file_id in in_order]
        assert sorted(seen) == sorted(str(each.id) for each in made)

    @pytest.mark.parametrize("sort", ["created", "-created", "name", "-name", "size", "-size"])
    @pytest.mark.parametrize("staff", [True, False])
    def test_an_order_follows_an_index(self, user: User, sort: Any, staff: bool) -> None:
        """Also deep in the list, and for staff, who see everybody's files: no page sorts all files."""
        from windlass.files.api import is_of_kind, visible_files
        from windlass.http.rest.file_order import FileOrder
        from windlass.kernel.principals import Principal

        order, caller = FileOrder(sort), user()
        cursor = order.cursor(make_file(caller.owner, mime_type="text/plain"))
        files = visible_files(Principal(caller.owner, staff)).select_related(None)
        plan = order.sorted(order.after(files.filter(is_of_kind("text")), cursor))[:3].explain()
        assert "file_by_" in plan if staff else "file_of_owner" in plan, plan
        assert "TEMP B-TREE" not in plan, plan

    @pytest.mark.parametrize("asked", ["\u00dcBER", "u\u0308ber", "STRASSE", "\u202eStra\u00dfe", "%"])
    def test_a_name_is_found_in_any_case_and_composition(self, user: User, asked: str) -> None:
        caller = user()
        make_file(caller.owner, original_filename="\u00fcber die Stra\u00dfe 100 %.txt")
        make_file(caller.owner, original_filename="other.txt")
        results = caller("GET", "/files/", params={"q": asked}).json()["results"]
        assert [record["original_filename"] for record in results] == ["\u00fcber die Stra\u00dfe 100 %.txt"]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("limit=201", "limit"),
            ("limit=0", "limit"),
            ("limit=many", "limit"),
            ("status=DONE", "status"),
            ("cursor=none-of-ours", "cursor"),
            ("sort=name&cursor=none-of-ours", "cursor"),
            ("sort=name&cursor=bmFtZSBhADAgMDE5MzdiYTAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAw", "cursor"),
            (
                "sort=size&cursor=c2l6ZSA5OTk5OTk5OTk5OTk5OTk5OTk5OTkgMDE5MzdiYTAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAw",
                "cursor",
            ),
            ("sort=-size&cursor=c2l6ZSA5IDAxOTM3YmEwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMA", "cursor"),
            ("sort=color", "sort"),
            ("kind=picture", "kind"),
            ("from=yesterday", "from"),
            ("from=2020-02-01T12:00:00", "from"),
            ("to=9999-12-31", "to"),
            ("from=0001-01-01T00:00:00%2B14:00", "from"),
            ("cursor=MDAwMS0wMS0wMVQwMDowMDowMCsxNDowMCAwMDAw", "cursor"),
            ("q=%00", "q"),
        ],
    )
    def test_an_invalid_parameter_is_named(self, user: User, query: str, field: str) -> None:
        body = problem(user()("GET", f"/files/?{query}"), 422, "invalid-field")
        assert body["field"] == field
        assert field in body["detail"].lower()

    def test_a_page_has_at_most_200_files(self, user: User) -> None:
        assert user()("GET", "/files/?limit=200").status_code == 200

    def test_a_list_is_compressed_where_the_client_accepts_it(self, user: User) -> None:
        caller = user()
        for _ in range(5):
            make_whole_file(caller.owner)
        plain = caller("GET", "/files/", headers={"Accept-Encoding": "identity"})
        small = caller("GET", "/files/", headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in plain.headers
        assert (small.headers["content-encoding"], small.headers["vary"]) == ("gzip", plain.headers["vary"])
        assert "Accept-Encoding" in plain.headers["vary"]
        assert int(small.headers["content-length"]) < len(plain.content) / 2
        assert small.json() == plain.json()

    def test_a_list_of_twenty_files_needs_as_many_queries_as_of_one(self, user: User) -> None:
        caller = user()
        make_whole_file(caller.owner)
        with counted_queries() as few:
            caller("GET", "/files/")
        for _ in range(19):
            make_whole_file(caller.owner)
        with counted_queries() as many:
            assert len(caller("GET", "/files/").json()["results"]) == 20
        selects = [
            [sql for sql in seen if sql.startswith("SELECT") and not PERIODIC.search(sql)] for seen in (few, many)
        ]
        assert len(selects[0]) == len(selects[1]) <= 6, selects


class TestOwners:
    CALLS = [
        ("GET", ""),
        ("GET", "status/"),
        ("POST", "signed-url/"),
        ("POST", "reprocess/"),
        ("POST", "release/"),
        ("DELETE", ""),
    ]

    @pytest.mark.parametrize(("method", "rest"), CALLS)
    def test_another_users_file_is_not_found(self, user: User, method: str, rest: str) -> None:
        from windlass.files.api import FileAsset

        asset = make_whole_file(user().owner)
        body = problem(user()(method, f"/files/{asset.id}/{rest}"), 404, "not-found")
        unknown = problem(user()(method, f"/files/{uuid.uuid4()}/{rest}"), 404, "not-found")
        assert body["title"] == unknown["title"]
        assert FileAsset.objects.get(id=asset.id).status == "READY"

    @pytest.mark.parametrize(("method", "rest"), CALLS)
    def test_an_invalid_id_is_not_found(self, user: User, method: str, rest: str) -> None:
        problem(user()(method, f"/files/no-id-of-ours/{rest}"), 404, "not-found")

    def test_lists_have_the_callers_files_only(self, user: User) -> None:
        first, second = user(), user()
        mine = make_file(first.owner)
        make_file(second.owner)
        assert [record["id"] for record in first("GET", "/files/").json()["results"]] == [str(mine.id)]

    def test_staff_see_all(self, user: User) -> None:
        reference = uuid.uuid4().hex
        asset = make_file(user().owner, reference=reference)
        staff = user(staff=True)
        assert staff("GET", f"/files/{asset.id}/").status_code == 200
        results = staff("GET", f"/files/?reference={reference}").json()["results"]
        assert [record["id"] for record in results] == [str(asset.id)]

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/files/"),
            ("GET", "/files/security/config/"),
            ("GET", "/profiles/"),
            *((method, f"/files/{uuid.uuid4()}/{rest}") for method, rest in CALLS),
        ],
    )
    def test_each_call_requires_a_credential(
        self, anybody: ApiClient, configure: Callable[..., None], method: str, path: str
    ) -> None:
        configure(AUTH_MODE="required")
        response = anybody(method, path)
        problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"].startswith("Bearer")

    def test_a_wrong_token_is_refused_in_open_mode_too(self, record_plane: Any) -> None:
        problem(ApiClient(record_plane, "wl_wrong")("GET", "/files/"), 401, "invalid-token")


class TestChanges:
    def test_a_signed_url_is_valid_for_its_path_and_time(self, user: User) -> None:
        from windlass.accounts.api import is_signature_valid
        from windlass.kernel.clock import now

        caller = user()
        asset = make_whole_file(caller.owner)
        response = caller("POST", f"/files/{asset.id}/signed-url/", json={"expires_in": 60})
        assert response.status_code == 201
        url = urlsplit(response.json()["url"])
        query = dict(part.split("=") for part in url.query.split("&"))
        assert url.path == f"/files/{asset.id}/download/"
        assert is_signature_valid(url.path, query["expires"], query["signature"])
        left = datetime.fromisoformat(response.json()["expires_at"]) - now()
        assert timedelta(0) < left <= timedelta(seconds=60)

    @pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", ""])
    def test_json_is_parsed_whatever_its_content_type(self, user: User, content_type: str) -> None:
        caller = user()
        asset = make_whole_file(caller.owner)
        headers = {"Content-Type": content_type}
        path = f"/files/{asset.id}/signed-url/"
        assert caller("POST", path, content=b'{"expires_in": 5}', headers=headers).status_code == 201
        body = problem(caller("POST", path, content=b'{"expires_in": 0}', headers=headers), 422, "invalid-field")
        assert body["field"].endswith("expires_in")
        problem(caller("POST", path, content=b"{", headers=headers), 400, "bad-request")
        too_deep = problem(caller("POST", path, content=b"[" * 100_000, headers=headers), 400, "bad-request")
        assert "64 levels" in too_deep["detail"]

    @pytest.mark.parametrize(
        ("status", "code", "slug"),
        [("RELEASED", 410, "file-released"), ("REJECTED", 403, "file-refused"), ("QUARANTINED", 403, "file-refused")],
    )
    def test_files_that_are_not_served_are_not_signed(self, user: User, status: str, code: int, slug: str) -> None:
        caller = user()
        asset = make_file(caller.owner, status=status)
        problem(caller("POST", f"/files/{asset.id}/signed-url/"), code, slug)

    def test_reprocess_starts_a_new_run(self, user: User) -> None:
        from windlass.jobs.api import Job

        caller = user()
        asset = make_whole_file(caller.owner, content=b"abc")
        response = caller("POST", f"/files/{asset.id}/reprocess/")
        assert response.status_code == 202, response.text
        assert response.json()["status"] == "PENDING"
        assert response.json()["progress"] == 0
        assert Job.objects.get(file_id=asset.id, run=3).request_id == REQUEST_ID

    @pytest.mark.parametrize(
        ("status", "code", "slug"), [("PROCESSING", 409, "still-running"), ("RELEASED", 410, "file-released")]
    )
    def test_reprocess_refuses_files_that_cannot_be_processed(
        self, user: User, status: str, code: int, slug: str
    ) -> None:
        caller = user()
        asset = make_file(caller.owner, status=status)
        problem(caller("POST", f"/files/{asset.id}/reprocess/"), code, slug)

    def test_release_keeps_the_record_and_may_be_repeated(self, user: User) -> None:
        from windlass.storage.contract import ObjectMissing
        from windlass.storage.registry import store

        caller = user()
        asset = make_file(caller.owner, content=b"bytes to go", status="READY", checksum="cd" * 32)
        for _ in range(2):
            response = caller("POST", f"/files/{asset.id}/release/")
            assert response.status_code == 200, response.text
            assert response.json()["status"] == "RELEASED"
            assert response.json()["checksum"] == "cd" * 32
        with pytest.raises(ObjectMissing):
            store().open(asset.blob.key)

    def test_delete_deletes_record_and_bytes(self, user: User) -> None:
        from windlass.storage.contract import ObjectMissing
        from windlass.storage.registry import store

        caller = user()
        asset = make_file(caller.owner, content=b"bytes to go", status="READY")
        response = caller("DELETE", f"/files/{asset.id}/")
        assert (response.status_code, response.content) == (204, b"")
        problem(caller("GET", f"/files/{asset.id}/"), 404, "not-found")
        with pytest.raises(ObjectMissing):
            store().open(asset.blob.key)


class TestRules:
    def test_security_config_has_the_current_limits(self, user: User, configure: Callable[..., None]) -> None:
        configure(MAX_UPLOAD_SIZE="12345", BLOCKED_MIME_TYPES="text/html", SECRET_KEY="not-to-be-seen" * 5)
        response = user()("GET", "/files/security/config/")
        shown = response.json()
        assert shown["max_upload_size"] == 12345
        assert shown["blocked_mime_types"] == ["text/html"]
        assert shown["profiles"] == ["default", "media"]
        assert "not-to-be-seen" not in response.text
        assert "windlass_home" not in response.text

    def test_profiles_have_their_limits_and_steps(self, user: User) -> None:
        default, media = user()("GET", "/profiles/").json()["results"]
        assert (default["name"], media["name"]) == ("default", "media")
        assert "media_rules" in media["steps"]["video/mp4"]
        assert default["max_size"] == 5 * 1024**3
        assert "checksum" in default["steps"]["application/pdf"]

    def test_each_problem_type_is_explained_at_its_uri(self, user: User) -> None:
        document = user()("GET", "/files/no-such-file/").json()
        explained = user()("GET", document["type"]).json()
        assert explained == {
            "type": document["type"],
            "title": document["title"],
            "status": 404,
            "transient": False,
        }
        problem(user()("GET", "/problems/no-such-problem"), 404, "not-found")


class TestRefusals:
    @pytest.mark.parametrize(
        "path",
        ["/files/a/b/c/", "/profiles/x/", "/uploads/", "/events/x", "/no/such/page", "/api/nothing"],
    )
    def test_unknown_paths_are_problems(self, user: User, path: str) -> None:
        problem(user()("GET", path), 404, "not-found")

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PATCH", "/files/", {"GET", "HEAD", "OPTIONS", "POST", "PUT"}),
            ("POST", f"/files/{uuid.uuid4()}/", {"GET", "HEAD", "DELETE", "OPTIONS", "PUT"}),
            ("GET", f"/files/{uuid.uuid4()}/release/", {"OPTIONS", "POST"}),
            ("DELETE", f"/files/{uuid.uuid4()}/download/", {"GET", "HEAD", "OPTIONS"}),
            ("DELETE", "/profiles/", {"GET", "HEAD", "OPTIONS"}),
        ],
    )
    def test_other_methods_are_405_with_those_of_both_planes(
        self, user: User, method: str, path: str, allowed: set[str]
    ) -> None:
        response = user()(method, path)
        problem(response, 405, "method-not-allowed")
        assert set(response.headers["allow"].split(", ")) == allowed

    def test_head_has_the_status_of_get(self, user: User) -> None:
        caller = user()
        asset = make_file(caller.owner)
        assert caller("HEAD", f"/files/{asset.id}/").status_code == 200
        assert caller("HEAD", f"/files/{uuid.uuid4()}/").status_code == 404

    def test_an_unexpected_error_is_a_problem_without_internals(
        self, user: User, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from windlass.http.rest import files

        def broken(*_: Any) -> None:
            raise RuntimeError("/secret/path")

        monkeypatch.setattr(files, "list_page", broken)
        response = user()("GET", "/files/")
        problem(response, 500, "internal-error")
        assert "/secret/path" not in response.text
        assert "RuntimeError" in capsys.readouterr().out

    def test_a_body_that_is_too_large_is_refused(self, user: User) -> None:
        caller = user()
        asset = make_file(caller.owner)
        body = json.dumps({"pad": "x" * 5 * 1024 * 1024}).encode()
        problem(caller("POST", f"/files/{asset.id}/signed-url/", content=body), 413, "body-too-large")


#: Models that the admin shows with what they belong to.
SHOWN_WITH_OTHERS = {"Attempt", "AuditChain", "AuditIdentity", "PendingAuditEntry", "Rendition", "StepRun"}


class TestAdmin:
    def test_every_model_is_registered_and_shown(self, record_plane: Any) -> None:
        """Each list and each form opens: fields, filters and searches that do not exist would fail here."""
        from django.apps import apps
        from django.contrib import admin
        from django.contrib.auth import get_user_model
        from django.test import Client

        client = Client()
        client.force_login(get_user_model().objects.create_superuser(f"admin-{uuid.uuid4().hex}"))
        for label in ("windlass_files", "windlass_jobs", "windlass_events", "windlass_accounts"):
            for model in apps.get_app_config(label).get_models():
                if model.__name__ in (
                    "Rendition",
                    "StepRun",
                    "Attempt",
                    "PendingAuditEntry",
                    "AuditIdentity",
                    "AuditChain",
                ):
                    continue  # shown with what they belong to
                assert admin.site.is_registered(model), model
                base = f"/admin/{label}/{model.__name__.lower()}/"
                assert client.get(base, {"q": "x"}, headers={"host": "localhost"}).status_code == 200

    def test_the_admin_cannot_delete_a_file_without_its_bytes(self, user: User) -> None:
        from django.contrib.auth import get_user_model
        from django.test import Client

        asset = make_whole_file(user().owner)
        client = Client(headers={"host": "localhost"})
        client.force_login(get_user_model().objects.create_superuser(f"admin-{uuid.uuid4().hex}"))
        page = f"/admin/windlass_files/fileasset/{asset.id}"
        assert client.get(f"{page}/change/").status_code == 200
        assert client.post(f"{page}/delete/", {"post": "yes"}).status_code == 403


class TestPage:
    def test_the_page_is_public_and_has_no_inline_scripts(
        self, anybody: ApiClient, configure: Callable[..., None]
    ) -> None:
        configure(AUTH_MODE="required")
        response = anybody("GET", "/")
        assert response.status_code == 200
        assert 'data-open="no"' in response.text
        assert "script-src 'self'" in response.headers["content-security-policy"]
        assert "<script>" not in response.text
        assert "style=" not in response.text

    def test_scripts_and_styles_of_the_page_are_served(self, anybody: ApiClient) -> None:
        import re

        from windlass.asgi import application

        server = ApiClient(application)
        page = anybody("GET", "/").text
        parts = set(re.findall(r'(?:href|src)="(/static/[^"#]+)', page))
        assert {part.rpartition(".")[2] for part in parts} == {"css", "js", "svg"}
        for part in parts:
            assert server("GET", part).status_code == 200
