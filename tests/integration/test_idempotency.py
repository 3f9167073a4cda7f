"""``Idempotency-Key`` on every call that creates something (http-api, conventions)."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.asgi_client import ApiClient, make_file

pytest_plugins = ["tests.integration.record_plane"]

REPLAYED = "Idempotency-Replayed"
TUS = {"Tus-Resumable": "1.0.0"}
NAME = base64.b64encode(b"a.txt").decode()
CHUNKS = {"filename": "a.bin", "total_size": 10, "mime_type": "application/octet-stream"}
MEDIA = {"file_name": "a.png", "file_size": 10, "content_type": "image/png"}

#: name -> a request that creates something, its other body, and another declaration. Each form has a new boundary.
CREATIONS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "raw": (
        {"method": "POST", "path": "/files/?filename=a.txt", "content": b"hello"},
        {"content": b"hellO"},
        {"path": "/files/?filename=b.txt"},
    ),
    "put": ({"method": "PUT", "path": "/files/a.txt", "content": b"hello"}, {"content": b""}, {"path": "/files/b.txt"}),
    "form": (
        {"method": "POST", "path": "/files/", "files": {"file": ("a.txt", b"hello")}, "data": {"reference": "1"}},
        {"files": {"file": ("a.txt", b"hellO")}},
        {"data": {"reference": "2"}},
    ),
    "batch": (
        {"method": "POST", "path": "/files/batch/", "files": [("file", ("a", b"1")), ("file", ("b", b"2"))]},
        {"files": [("file", ("a", b"1")), ("file", ("b", b"3"))]},
        {"path": "/files/batch/?reference=2"},
    ),
    "tus": (
        {"method": "POST", "path": "/files/", "headers": TUS | {"Upload-Length": "5"}},
        {"headers": TUS | {"Upload-Length": "6"}},
        {"headers": TUS | {"Upload-Length": "5", "Upload-Metadata": f"filename {NAME}"}},
    ),
    "tus with the first bytes": (
        {
            "method": "POST",
            "path": "/files/",
            "headers": TUS | {"Upload-Length": "5", "Content-Type": "application/offset+octet-stream"},
            "content": b"hel",
        },
        {"content": b"heL"},
        {"path": "/files/?x=1"},
    ),
    "tus with all bytes": (
        {
            "method": "POST",
            "path": "/files/",
            "headers": TUS | {"Upload-Length": "5", "Content-Type": "application/offset+octet-stream"},
            "content": b"hello",
        },
        {"content": b"hellO"},
        {"headers": TUS | {"Upload-Length": "9", "Content-Type": "application/offset+octet-stream"}},
    ),
    "ietf": (
        {"method": "POST", "path": "/files/", "headers": {"Upload-Complete": "?0", "Upload-Length": "5"}},
        {"content": b"x"},
        {"headers": {"Upload-Complete": "?0", "Upload-Length": "6"}},
    ),
    "ietf with all bytes": (
        {"method": "POST", "path": "/files/", "headers": {"Upload-Complete": "?1"}, "content": b"hello"},
        {"content": b"hellO"},
        {"headers": {"Upload-Complete": "?0"}},
    ),
    "chunks": (
        {"method": "POST", "path": "/api/v1/upload/init", "json": CHUNKS},
        {"json": CHUNKS | {"total_size": 11}},
        {"json": CHUNKS | {"reference": "x"}},
    ),
    "media": (
        {"method": "POST", "path": "/api/v1/media/upload/init", "json": MEDIA},
        {"json": MEDIA | {"file_size": 11}},
        {"json": MEDIA | {"post_id": "7"}},
    ),
    "grant": (
        {"method": "POST", "path": "/uploads/grants/", "json": {"reference": "1"}},
        {"json": {"reference": "2"}},
        {"json": {"expires_in": 60}},
    ),
}
#: Headers that may differ between an answer and the same answer given again.
VARYING = {REPLAYED.lower(), "x-request-id", "date"}


@pytest.fixture
def caller(user: Callable[..., ApiClient]) -> ApiClient:
    """A new user who calls the whole application."""
    from windlass.asgi import application

    return user(app=application)


def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


def send(caller: ApiClient, request: dict[str, Any], header: dict[str, str]) -> httpx.Response:
    options = dict(request)
    method, path = options.pop("method"), options.pop("path")
    return caller(method, path, **options | {"headers": options.get("headers", {}) | header})


def counts(caller: ApiClient) -> tuple[int, int]:
    """How many upload sessions and files the caller has."""
    from windlass.files.models import FileAsset, UploadSession

    owned = {"owner": caller.owner}
    return UploadSession.objects.filter(**owned).count(), FileAsset.objects.filter(**owned).count()


def objects(home: Path) -> int:
    return sum(1 for each in (home / "media" / "objects").rglob("*") if each.is_file())


def without_varying(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in VARYING}


class TestEveryCreatingCall:
    @pytest.mark.parametrize("name", CREATIONS)
    def test_the_same_request_gets_the_first_answer_and_has_no_second_effect(
        self, caller: ApiClient, name: str, records_home: Path
    ) -> None:
        request, header = CREATIONS[name][0], key()
        first = send(caller, request, header)
        assert first.status_code in (200, 201), first.text
        assert REPLAYED not in first.headers
        effect, stored = counts(caller), objects(records_home)
        for _ in range(2):
            again = send(caller, request, header)
            assert again.headers[REPLAYED] == "true"
            assert (again.status_code, again.content) == (first.status_code, first.content)
            assert without_varying(again) == without_varying(first)
        assert (counts(caller), objects(records_home)) == (effect, stored)

    @pytest.mark.parametrize("name", CREATIONS)
    @pytest.mark.parametrize("other", [1, 2], ids=["body", "declaration"])
    def test_another_request_with_the_key_is_422(self, caller: ApiClient, name: str, other: int) -> None:
        request, header = CREATIONS[name][0], key()
        assert send(caller, request, header).status_code in (200, 201)
        effect = counts(caller)
        refused = send(caller, request | CREATIONS[name][other], header)
        assert refused.status_code == 422, refused.text
        assert refused.json()["type"] == "/problems/idempotency-key-reused"
        assert counts(caller) == effect

    @pytest.mark.parametrize("name", ["raw", "form", "tus", "ietf", "chunks", "grant"])
    def test_a_malformed_key_is_400(self, caller: ApiClient, name: str) -> None:
        refused = send(caller, CREATIONS[name][0], {"Idempotency-Key": "two words"})
        assert refused.status_code == 400
        assert "1 to 255 printable ASCII characters" in refused.text
        assert counts(caller) == (0, 0)

    def test_two_keys_are_400(self, caller: ApiClient) -> None:
        headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "a"), *caller.headers.items()]
        caller.headers = {}
        for path, options in (("/files/", {"content": b"x"}), ("/uploads/grants/", {"json": {}})):
            asked = httpx.Headers(headers)
            assert _call_with(caller, path, asked, options).status_code == 400

    def test_keys_of_another_caller_and_without_a_key_are_independent(
        self, caller: ApiClient, user: Callable[..., ApiClient]
    ) -> None:
        from windlass.asgi import application

        request, header, other = CREATIONS["raw"][0], key(), user(app=application)
        ids = {send(each, request, header).json()["id"] for each in (caller, other)}
        ids.add(send(caller, request, {}).json()["id"])
        assert len(ids) == 3

    def test_quoted_and_bare_are_the_same_key(self, caller: ApiClient) -> None:
        name = str(uuid.uuid4())
        first = send(caller, CREATIONS["raw"][0], {"Idempotency-Key": name})
        again = send(caller, CREATIONS["raw"][0], {"Idempotency-Key": f'"{name}"'})
        assert again.json()["id"] == first.json()["id"]

    @pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
    def test_other_methods_ignore_it(self, caller: ApiClient, method: str) -> None:
        header = key()
        file_id = send(caller, CREATIONS["raw"][0], header).json()["id"]
        response = caller(method, f"/files/{file_id}/", headers=header | {"Idempotency-Key": "two words"})
        assert response.status_code in (200, 204)
        assert REPLAYED not in response.headers


def _call_with(caller: ApiClient, path: str, headers: httpx.Headers, options: dict[str, Any]) -> httpx.Response:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(caller._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post(path, headers=headers, **options)

    return asyncio.run(call())


class TestResumable:
    @pytest.mark.parametrize(
        ("creation", "patch"),
        [
            (TUS | {"Upload-Length": "5"}, TUS | {"Content-Type": "application/offset+octet-stream"}),
            (
                {"Upload-Complete": "?0", "Upload-Length": "5"},
                {"Content-Type": "application/partial-upload", "Upload-Complete": "?0"},
            ),
        ],
        ids=["tus", "ietf"],
    )
    def test_a_repeated_creation_says_where_the_upload_stands_now(
        self, caller: ApiClient, creation: dict[str, str], patch: dict[str, str]
    ) -> None:
        header = key()
        first = caller("POST", "/files/", headers=creation | header)
        path = first.headers["Location"]
        assert caller("PATCH", path, headers=patch | {"Upload-Offset": "0"}, content=b"hel").is_success
        again = caller("POST", "/files/", headers=creation | header)
        assert (again.status_code, again.headers["Location"]) == (201, path)
        assert again.headers["Upload-Offset"] == "3"

    def test_an_ended_upload_is_410(self, caller: ApiClient) -> None:
        header, creation = key(), TUS | {"Upload-Length": "5"}
        path = caller("POST", "/files/", headers=creation | header).headers["Location"]
        assert caller("DELETE", path, headers=TUS).status_code == 204
        assert caller("POST", "/files/", headers=creation | header).status_code == 410

    def test_a_creation_whose_bytes_were_refused_keeps_its_upload(self, caller: ApiClient) -> None:
        header = key() | TUS | {"Upload-Length": "5", "Content-Type": "application/offset+octet-stream"}
        wrong = {"Upload-Checksum": f"sha256 {base64.b64encode(bytes(32)).decode()}"}
        refused = caller("POST", "/files/", headers=header | wrong, content=b"hello")
        assert refused.status_code == 460
        again = caller("POST", "/files/", headers=header | wrong, content=b"hello")
        assert (again.status_code, again.headers["Location"]) == (201, refused.headers["Location"])
        assert again.headers["Upload-Offset"] == "0"
        assert counts(caller) == (1, 0)


class TestRefusals:
    def test_a_refused_request_frees_its_key(self, caller: ApiClient) -> None:
        header = key()
        assert caller("POST", "/files/?sha256=" + "0" * 64, headers=header, content=b"hello").status_code == 422
        assert caller("POST", "/files/", headers=header, content=b"hello").status_code == 201
        assert counts(caller)[1] == 1

    def test_a_form_of_which_some_files_were_refused_is_answered_as_before(self, caller: ApiClient) -> None:
        header = key()
        parts = [("file", (f"{number}", b"x")) for number in range(11)]
        first = caller("POST", "/files/", headers=header, files=parts)
        assert (len(first.json()["files"]), len(first.json()["errors"])) == (10, 1)
        again = caller("POST", "/files/", headers=header, files=parts)
        assert again.headers[REPLAYED] == "true"
        assert again.content == first.content
        assert counts(caller)[1] == 10


class TestMediaForms:
    """Their answer comes after processing, so what is recorded with the files is replaced by it."""

    @pytest.fixture(autouse=True)
    def _without_wait(self, configure: Callable[..., None]) -> None:
        configure(MEDIA_WAIT_SECONDS="0")

    @pytest.mark.parametrize(("call", "part"), [("simple", "file"), ("images", "images")])
    def test_a_repeated_form(self, caller: ApiClient, call: str, part: str) -> None:
        header, path = key(), f"/api/v1/media/upload/{call}"
        first = caller("POST", path, headers=header, files={part: ("a.png", b"png", "image/png")})
        assert first.status_code == 200, first.text
        again = caller("POST", path, headers=header, files={part: ("a.png", b"png", "image/png")})
        assert (again.headers[REPLAYED], again.content) == ("true", first.content)
        other = caller("POST", path, headers=header, files={part: ("a.png", b"other", "image/png")})
        assert other.status_code == 422
        assert counts(caller) == (1, 1)

    def test_a_picture_that_was_stored_and_then_rejected(
        self, caller: ApiClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from windlass.files.models import FileAsset
        from windlass.http.uploads import media_api

        async def reject(file_ids: list[uuid.UUID], _: float) -> None:
            rejection = {"rule": "type", "detail": "No picture.", "limit": None, "actual": None}
            await FileAsset.objects.filter(id__in=file_ids).aupdate(status="REJECTED", rejection=rejection)

        monkeypatch.setattr(media_api, "until_processed", reject)
        header, path = key(), "/api/v1/media/upload/simple"
        first = caller("POST", path, headers=header, files={"file": ("a.png", b"png", "image/png")})
        assert (first.status_code, first.json()["detail"]) == (422, "No picture.")
        again = caller("POST", path, headers=header, files={"file": ("a.png", b"png", "image/png")})
        assert (again.status_code, again.headers[REPLAYED], again.json()) == (422, "true", first.json())
        assert counts(caller) == (1, 1)


class TestClaims:
    def test_a_request_that_still_runs_is_409(self, caller: ApiClient) -> None:
        from windlass.files.models import IdempotencyKey

        header = key()

        async def scenario() -> tuple[httpx.Response, httpx.Response, httpx.Response]:
            transport = httpx.ASGITransport(caller._app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost", headers=caller.headers | header
            ) as client:
                finish = asyncio.Event()

                async def slow() -> Any:
                    yield b"hel"
                    await finish.wait()
                    yield b"lo"

                running = asyncio.create_task(client.post("/files/", content=slow()))
                rows = IdempotencyKey.objects.filter(key=header["Idempotency-Key"]).exclude(claim_holder="")
                while not await rows.aexists():
                    await asyncio.sleep(0.01)
                early = await client.post("/files/", content=b"hello")
                finish.set()
                return await running, early, await client.post("/files/", content=b"hello")

        first, early, late = asyncio.run(scenario())
        assert (first.status_code, late.status_code) == (201, 201)
        assert early.status_code == 409
        assert early.headers["Retry-After"] == "1"
        assert early.json()["type"] == "/problems/request-in-progress"
        assert late.json()["id"] == first.json()["id"]
        assert counts(caller)[1] == 1

    def test_of_many_at_once_one_is_executed(self, caller: ApiClient) -> None:
        header = key()

        async def scenario() -> list[httpx.Response]:
            transport = httpx.ASGITransport(caller._app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost", headers=caller.headers | header
            ) as client:
                return await asyncio.gather(*(client.post("/files/", content=b"hello") for _ in range(8)))

        answers = asyncio.run(scenario())
        executed = [each for each in answers if each.status_code == 201 and REPLAYED not in each.headers]
        assert len(executed) == 1
        assert {each.status_code for each in answers} <= {201, 409}
        assert {each.json()["id"] for each in answers if each.status_code == 201} == {executed[0].json()["id"]}
        assert counts(caller)[1] == 1

    def test_a_request_that_lost_its_key_creates_nothing(self, caller: ApiClient) -> None:
        """Its process was stopped for longer than its claim lasts, and a repeated request took the key over."""
        from windlass.files import api as files
        from windlass.files.idempotency_keys import record_upload
        from windlass.kernel.problem_types import RequestInProgress

        asked = files.KeyedRequest(caller.owner, str(uuid.uuid4()), "f" * 64)
        old, new = files.claim_key(asked, "web-1", -1), files.claim_key(asked, "web-2", 10)
        assert isinstance(old, files.KeyClaim)
        assert isinstance(new, files.KeyClaim)
        for act in (
            lambda: files.record_answer(old, files.Answer(201, [], b"")),
            lambda: record_upload(old, uuid.uuid4()),
        ):
            with pytest.raises(RequestInProgress):
                act()
        files.release_key(old)
        files.record_answer(new, files.Answer(201, [("a", "b")], b"answer"))
        third = files.claim_key(asked, "web-1", 10)
        assert isinstance(third, files.AnsweredRequest)
        assert third.answer == files.Answer(201, [("a", "b")], b"answer")

    def test_a_claim_that_a_wrong_clock_made_ends_as_soon_as_any_other(self, caller: ApiClient) -> None:
        from windlass.files import api as files
        from windlass.kernel.problem_types import RequestInProgress

        asked = files.KeyedRequest(caller.owner, str(uuid.uuid4()), "f" * 64)
        files.claim_key(asked, "web-1", 3600)
        assert files.correct_key_claims_ahead(10) == 1
        assert files.correct_key_claims_ahead(10) == 0
        with pytest.raises(RequestInProgress):
            files.claim_key(asked, "web-2", 10)
        files.correct_key_claims_ahead(-10)
        assert isinstance(files.claim_key(asked, "web-2", 10), files.KeyClaim)

    @pytest.mark.parametrize("name", ["raw", "form"])
    def test_a_commit_that_the_database_did_not_confirm(
        self, caller: ApiClient, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file is recorded, which nobody knows: its bytes stay, and the repeated request gets its record."""
        from django.db import OperationalError

        from windlass import executors
        from windlass.files.api import load_file, open_blob
        from windlass.http.uploads import multipart_intake
        from windlass.receiving import single

        def unconfirmed(run: Callable[..., Any]) -> Callable[..., Any]:
            async def run_unconfirmed(*work: Any) -> None:
                await run(*work)
                raise OperationalError("server closed the connection unexpectedly")

            return run_unconfirmed

        header, request = key(), CREATIONS[name][0]
        with monkeypatch.context() as patch:
            patch.setattr(single, "in_thread_then_transaction", unconfirmed(executors.in_thread_then_transaction))
            patch.setattr(multipart_intake, "in_transaction", unconfirmed(executors.in_transaction))
            assert send(caller, request, header).status_code == 503
        again = send(caller, request, header)
        assert (again.status_code, again.headers[REPLAYED]) == (201, "true")
        asset = load_file(uuid.UUID(again.json()["id"]))
        assert asset is not None
        assert asset.blob is not None
        with open_blob(asset.blob) as stored:
            assert stored.read() == b"hello"
        assert counts(caller)[1] == 1

    def test_an_answer_expires(self, caller: ApiClient, configure: Callable[..., None]) -> None:
        from windlass.files.models import IdempotencyKey
        from windlass.kernel.clock import now
        from windlass.operations.sweep import housekeeping

        configure(IDEMPOTENCY_HOURS="2")
        header, request = key(), CREATIONS["raw"][0]
        first = send(caller, request, header).json()["id"]
        rows = IdempotencyKey.objects.filter(key=header["Idempotency-Key"])
        hours = (rows.get().expires_at - now()) / timedelta(hours=1)
        assert 1.9 < hours <= 2
        rows.update(expires_at=now() - timedelta(seconds=1))
        assert send(caller, request, header).json()["id"] != first
        housekeeping()
        assert rows.count() == 1
        rows.update(expires_at=now() - timedelta(seconds=1))
        housekeeping()
        assert rows.count() == 0

    def test_a_process_that_starts_frees_the_keys_of_its_former_self(self, caller: ApiClient) -> None:
        from windlass.files import api as files

        asked = files.KeyedRequest(caller.owner, str(uuid.uuid4()), "f" * 64)
        files.claim_key(asked, "web-of-the-test", 60)
        files.KEY_CLAIMS.release_all("web-of-the-test")
        assert isinstance(files.claim_key(asked, "web-of-the-test", 60), files.KeyClaim)


class TestGrants:
    def test_a_repeated_upload_with_a_used_grant(self, caller: ApiClient) -> None:
        from windlass.asgi import application

        url = caller("POST", "/uploads/grants/", json={}).json()["url"].removeprefix("http://localhost")
        header, anybody = key(), ApiClient(application)
        first = anybody("POST", url, headers=header, content=b"hello")
        assert first.status_code == 201, first.text
        again = anybody("POST", url, headers=header, content=b"hello")
        assert (again.headers[REPLAYED], again.json()) == ("true", first.json())
        for other in ({}, key()):
            refused = anybody("POST", url, headers=other, content=b"hello")
            assert (refused.status_code, refused.json()["type"]) == (403, "/problems/grant-used")
        assert anybody("POST", url, headers=header, content=b"hellO").status_code == 422
        assert counts(caller)[1] == 1

    def test_a_grant_whose_upload_was_cut_by_a_crash(self, caller: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
        """The half upload ends, and the grant is free for the repeated request."""
        from windlass.asgi import application
        from windlass.files import api as files
        from windlass.http.uploads import keyed_requests
        from windlass.receiving import lease
        from windlass.receiving.single import SingleRequestUpload

        async def die(*_: Any) -> None:
            raise OSError("the server dies here")

        async def nothing(*_: Any) -> None: ...

        url = caller("POST", "/uploads/grants/", json={}).json()["url"].removeprefix("http://localhost")
        header, anybody, content = key(), ApiClient(application), bytes(2 * 1024 * 1024)
        with monkeypatch.context() as patch:
            patch.setattr(SingleRequestUpload, "verify", die)
            patch.setattr(SingleRequestUpload, "discard", nothing)
            patch.setattr(keyed_requests._KeyedExecution, "_settle", die)
            assert anybody("POST", url, headers=header, content=content).status_code == 500
        for leases in (files.UPLOAD_LEASES, files.KEY_CLAIMS):
            leases.release_all(lease.holder())
        again = anybody("POST", url, headers=header, content=content)
        assert again.status_code == 201, again.text
        statuses = files.UploadSession.objects.filter(owner=caller.owner).values_list("status", flat=True)
        assert sorted(statuses) == ["completed", "failed"]
        assert counts(caller)[1] == 1

    def test_every_call_that_accepts_a_used_grant_with_a_key_looks_for_the_key(self) -> None:
        from windlass.accounts.access import GrantUse
        from windlass.http.byte_endpoints import BYTE_ENDPOINTS

        creating = [each for each in BYTE_ENDPOINTS if each.access.grant_use is GrantUse.CREATE]
        assert {each.name for each in creating} >= {"create_file", "put_file", "create_files"}
        assert [each.name for each in creating if not each.takes_idempotency_key] == []


class TestRecords:
    def test_signing_reprocessing_and_releasing(self, caller: ApiClient) -> None:
        asset = make_file(caller.owner, b"hello", status="READY", gate_passed=True)
        for call, body in (("signed-url", {"expires_in": 60}), ("reprocess", None), ("release", None)):
            header = key()
            first = caller("POST", f"/files/{asset.id}/{call}/", headers=header, json=body)
            assert first.is_success, first.text
            again = caller("POST", f"/files/{asset.id}/{call}/", headers=header, json=body)
            assert (again.headers[REPLAYED], again.content) == ("true", first.content)
        asset.refresh_from_db()
        assert asset.run == 2

    def test_the_answer_of_reprocessing_is_recorded_with_the_run(self, caller: ApiClient) -> None:
        """As if the server had died before it answered: the next one answers, and starts no other run."""
        from windlass.http.rest import keyed_calls

        asset, header = make_file(caller.owner, b"hello", status="READY", gate_passed=True), key()
        with pytest.MonkeyPatch.context() as patch:

            async def die(*_: Any) -> None:
                raise OSError("the server dies here")

            patch.setattr(keyed_calls, "_settle", die)
            assert caller("POST", f"/files/{asset.id}/reprocess/", headers=header).status_code == 500
        again = caller("POST", f"/files/{asset.id}/reprocess/", headers=header)
        assert (again.status_code, again.headers[REPLAYED]) == (202, "true")
        asset.refresh_from_db()
        assert asset.run == 2

    def test_webhooks(self, caller: ApiClient, configure: Callable[..., None]) -> None:
        configure(WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8")
        header, wanted = key(), {"url": "http://127.0.0.1:9/hook", "types": ["file.ready"]}
        first = caller("POST", "/api/v1/webhooks", headers=header, json=wanted)
        assert first.status_code == 201, first.text
        again = caller("POST", "/api/v1/webhooks", headers=header, json=wanted)
        assert (again.headers[REPLAYED], again.json()) == ("true", first.json())
        path, header = f"/api/v1/webhooks/{first.json()['id']}/rotate-secret", key()
        secrets = [caller("POST", path, headers=header).json() for _ in range(2)]
        assert secrets[0] == secrets[1]
        assert secrets[0] != first.json()

    def test_retrying_failed_tasks(self, user: Callable[..., ApiClient]) -> None:
        from windlass.asgi import application

        staff, header, ids = user(staff=True, app=application), key(), [str(uuid.uuid4())]
        first = staff("POST", "/error-handling/retry-tasks", headers=header, json={"task_ids": ids})
        again = staff("POST", "/error-handling/retry-tasks", headers=header, json={"task_ids": ids})
        assert (first.status_code, again.headers[REPLAYED], again.json()) == (200, "true", first.json())
        other = staff("POST", "/error-handling/retry-tasks", headers=header, json={"task_ids": []})
        assert other.status_code == 422
        assert other.json()["type"] == "/problems/idempotency-key-reused"


#: Creating methods of the API that take no key, and why.
WITHOUT_KEY = {
    "POST /files/zip": "reads files and creates nothing",
    "POST /search": "searches and creates nothing",
    "POST /api/v1/upload/chunk": "a chunk is known by its index, and the same bytes are a duplicate",
    "PUT /api/v1/upload/{}/chunks/{}": "a chunk is known by its index, and the same bytes are a duplicate",
    "POST /api/v1/media/upload/chunk": "a chunk is known by its index, and the same bytes are a duplicate",
    "POST /api/v1/auth/token": "each sign-in is its own, and no reply with a credential is kept",
    "POST /api/v1/auth/refresh": "a refresh token is valid once, so that a stolen one is noticed",
    "POST /api/v1/auth/revoke": "repeating it changes nothing",
    "POST /api/v1/auth/session": "it changes the session of the browser, and no reply with a credential is kept",
    "POST /api/v1/auth/ticket": "a ticket is forgotten after a minute, and no reply with a credential is kept",
    "POST /graph/entities/{}/merges": "repeating it changes nothing",
    "POST /api/v1/upload/cancel": "ends an upload; repeating it changes nothing",
    "POST /api/v1/media/cleanup/expired": "deletes what has expired; repeating it deletes what has expired since",
    "POST /error-handling/circuit-breakers/{}/reset": "repeating it changes nothing",
    "PUT /error-handling/service-level": "repeating it changes nothing",
}


def test_every_creating_call_takes_a_key(records_home: Path) -> None:
    """A new POST or PUT declares ``takes_idempotency_key``, or is listed above with the reason why it needs none."""
    from windlass.http.rest.openapi import api, without_names

    taking, others = set(), set()
    for path, operations in api.get_openapi_schema()["paths"].items():
        for method in {"post", "put"} & operations.keys():
            names = {each["name"] for each in operations[method].get("parameters", [])}
            (taking if "Idempotency-Key" in names else others).add(f"{method.upper()} {without_names(path)}")
    assert others == WITHOUT_KEY.keys()
    assert taking >= {"POST /files", "PUT /files/{}", "POST /uploads/grants", "POST /error-handling/retry-tasks"}
