"""Grants against a real server that requires credentials: one upload, in any protocol, and nothing else."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.process.chunk_client import problem
from tests.process.conftest import ServerProcess
from tests.process.wire import MB, PATCH, TUS, StoredData, Wire, connect, eventually, metadata, wait_until_processed

IETF = {"Upload-Draft-Interop-Version": "6"}


@pytest.fixture(scope="module")
def closed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("grants") / "home", AUTH_MODE="required")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def target_server(closed_server: ServerProcess) -> ServerProcess:
    return closed_server


@pytest.fixture(scope="module")
def backend(closed_server: ServerProcess) -> Iterator[httpx.Client]:
    """A client that creates grants."""
    token = closed_server.command("token", "create", "--user", "shop").stdout.strip()
    with connect(closed_server, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


@pytest.fixture
def browser(closed_server: ServerProcess) -> Iterator[httpx.Client]:
    """A client without a credential."""
    with connect(closed_server) as client:
        yield client


def grant(backend: httpx.Client, **terms: Any) -> str:
    answer = backend.post("/uploads/grants/", json=terms)
    assert answer.status_code == 201, answer.text
    assert set(answer.json()) == {"url", "expires_at"}
    url: str = answer.json()["url"]
    assert urlsplit(url).path == "/files/"
    return url


def assert_grant_used(answer: httpx.Response) -> None:
    problem(answer, 403, "grant-used")


def test_a_grant_allows_one_form(backend: httpx.Client, browser: httpx.Client) -> None:
    url = grant(backend, profile="default", reference="order-17")
    answer = browser.post(url, files={"file": ("a.txt", b"anchor")}, data={"reference": "mine", "profile": "media"})
    assert answer.status_code == 201, answer.text
    record = answer.json()
    assert (record["reference"], record["profile"]) == ("order-17", "default")
    problem(browser.get(f"/files/{record['id']}/"), 401, "unauthenticated")
    assert wait_until_processed(backend, record["id"])["status"] == "READY"
    assert_grant_used(browser.post(url, files={"file": ("b.txt", b"again")}))


def test_a_grant_allows_one_raw_body(backend: httpx.Client, browser: httpx.Client) -> None:
    for method, path in (("POST", "/files/"), ("PUT", "/files/big.bin")):
        url = urlsplit(grant(backend))
        answer = browser.request(method, f"{path}?{url.query}", content=os.urandom(3 * MB))
        assert answer.status_code == 201, answer.text
        assert_grant_used(browser.request(method, f"{path}?{url.query}", content=b"again"))
        assert backend.get(f"/files/{answer.json()['id']}/").status_code == 200


def test_line_21_the_location_of_a_granted_tus_upload_carries_the_grant(
    backend: httpx.Client, browser: httpx.Client
) -> None:
    url = grant(backend, profile="default")
    data = os.urandom(100_000)
    created = browser.post(url, headers=TUS | {"Upload-Length": "100000"} | metadata(filename="a.bin", profile="media"))
    assert created.status_code == 201, created.text
    location = created.headers["Location"]
    assert set(parse_qs(urlsplit(location).query)) == {"grant"}
    assert_grant_used(browser.post(url, headers=TUS | {"Upload-Length": "5"}))
    assert browser.head(location, headers=TUS).headers["Upload-Offset"] == "0"
    for start in (0, 50_000):
        body = data[start : start + 50_000]
        assert browser.patch(location, headers=PATCH | {"Upload-Offset": str(start)}, content=body).status_code == 204
    status = browser.get(location, headers={"Accept": "application/json"}).json()
    assert status["status"] == "completed"
    problem(browser.get(location), 403, "forbidden")
    assert browser.head(urlsplit(location).path, headers=TUS).status_code == 401
    record = wait_until_processed(backend, status["file_id"])
    assert (record["checksum"], record["profile"]) == (hashlib.sha256(data).hexdigest(), "default")


def test_line_21_the_location_of_a_granted_ietf_upload_carries_the_grant(
    backend: httpx.Client, browser: httpx.Client
) -> None:
    url = grant(backend)
    created = browser.post(url, headers=IETF | {"Upload-Complete": "?0"}, content=b"anchor ")
    assert created.status_code == 201, created.text
    location = created.headers["Location"]
    assert "grant=" in location
    reply = browser.head(location, headers=IETF)
    assert (reply.status_code, reply.headers["Upload-Offset"]) == (204, "7")
    patch = IETF | {"Upload-Offset": "7", "Upload-Complete": "?1", "Content-Type": "application/partial-upload"}
    assert browser.patch(location, headers=patch, content=b"aweigh").status_code in (200, 201, 204)
    assert browser.get(location, headers={"Accept": "application/json"}).json()["status"] == "completed"
    assert_grant_used(browser.post(url, headers=IETF | {"Upload-Complete": "?1"}, content=b"again"))


def test_a_granted_upload_may_be_deleted_and_the_grant_stays_used(backend: httpx.Client, browser: httpx.Client) -> None:
    url = grant(backend)
    location = browser.post(url, headers=TUS | {"Upload-Length": "10"}).headers["Location"]
    assert browser.delete(location, headers=TUS).status_code == 204
    assert_grant_used(browser.post(url, headers=TUS | {"Upload-Length": "10"}))


def test_a_grant_allows_nothing_but_its_upload(backend: httpx.Client, browser: httpx.Client) -> None:
    query = urlsplit(grant(backend)).query
    other = backend.post("/files/", headers=TUS | {"Upload-Length": "10"}).headers["Location"]
    assert browser.head(f"{other}?{query}", headers=TUS).status_code == 404
    assert browser.delete(f"{other}?{query}", headers=TUS).status_code == 404
    file = backend.post("/files/", files={"file": ("a.txt", b"private")}).json()
    for method, path in (
        ("GET", "/files/"),
        ("GET", f"/files/{file['id']}/"),
        ("GET", f"/files/{file['id']}/download/"),
        ("DELETE", f"/files/{file['id']}/"),
        ("GET", "/events/"),
        ("GET", f"{other}/events/"),
        ("POST", "/uploads/grants/"),
        ("POST", "/api/v1/upload/init"),
        ("POST", "/api/v1/media/upload/simple"),
    ):
        answer = browser.request(method, f"{path}?{query}", content=b"{}" if method == "POST" else None)
        assert answer.status_code == 401, (path, answer.text)
    final = TUS | {"Upload-Concat": f"final;{other}"}
    assert browser.post(f"/files/?{query}", headers=final).status_code == 403
    assert browser.post("/files/?grant=wlg_made-up", content=b"x").status_code == 401


def test_the_terms_of_a_grant_are_enforced(
    backend: httpx.Client, browser: httpx.Client, stored_data: StoredData
) -> None:
    small = grant(backend, max_size=1000)
    before = stored_data.snapshot()
    problem(browser.post(small, content=bytes(1001)), 413, "file-too-large", limit=1000)
    problem(browser.post(small, content=iter([bytes(700), bytes(700)])), 413, "file-too-large", limit=1000)
    assert browser.post(small, headers=TUS | {"Upload-Length": "1001"}).status_code == 413
    assert not stored_data.added_since(before)
    deferred = browser.post(small, headers=TUS | {"Upload-Defer-Length": "1"})
    location = deferred.headers["Location"]
    answer = browser.patch(location, headers=PATCH | {"Upload-Offset": "0", "Upload-Length": "1001"}, content=b"x")
    assert answer.status_code == 413
    media = grant(backend, profile="media")
    problem(browser.post(f"{media}&filename=a.pdf", content=b"x"), 415, "unsupported-media-type")
    short = grant(backend, expires_in=1)
    eventually(lambda: browser.post(short, headers=TUS | {"Upload-Length": f"{10**15}"}).status_code == 401)
    page = grant(backend, origin="https://shop.example")
    problem(browser.post(page, content=b"x", headers={"Origin": "https://evil.example"}), 403, "forbidden")
    assert browser.post(page, content=b"x", headers={"Origin": "https://shop.example"}).status_code == 201


def test_a_started_upload_continues_after_its_grant_has_expired(backend: httpx.Client, browser: httpx.Client) -> None:
    url = grant(backend, expires_in=1)
    location = browser.post(url, headers=TUS | {"Upload-Length": "3"}).headers["Location"]
    other = grant(backend, expires_in=1)
    eventually(lambda: browser.post(other, headers=TUS | {"Upload-Length": f"{10**15}"}).status_code == 401)
    assert browser.patch(location, headers=PATCH | {"Upload-Offset": "0"}, content=b"abc").status_code == 204


def test_concurrent_uses_of_a_grant_create_one_file(
    backend: httpx.Client, closed_server: ServerProcess, stored_data: StoredData
) -> None:
    url, before = grant(backend), stored_data.file_count()

    def send(number: int) -> int:
        with connect(closed_server) as client:
            return client.post(url, files={"file": (f"{number}.txt", f"number {number}".encode())}).status_code

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(6)))
    assert sorted(answers) == [201, 403, 403, 403, 403, 403]
    assert stored_data.file_count() == before + 1


def test_the_second_file_of_a_form_is_refused(backend: httpx.Client, browser: httpx.Client) -> None:
    parts = [("file", ("a.txt", b"one")), ("file", ("b.txt", b"two"))]
    answer = browser.post(grant(backend), files=parts)
    document = answer.json()
    assert (answer.status_code, len(document["files"])) == (201, 1)
    assert document["errors"][0]["type"] == "/problems/grant-used"


def test_an_interrupted_upload_does_not_use_up_the_grant(
    backend: httpx.Client, browser: httpx.Client, closed_server: ServerProcess, stored_data: StoredData
) -> None:
    url = urlsplit(grant(backend))
    before = stored_data.snapshot()
    with Wire(closed_server.port) as dying:
        dying.head("PUT", f"/files/a.bin?{url.query}", {"Content-Length": str(5 * MB)}, bytes(3 * MB))
        eventually(lambda: stored_data.added_since(before))
    eventually(lambda: not stored_data.added_since(before))
    assert browser.put(f"/files/a.bin?{url.query}", content=bytes(5 * MB)).status_code == 201


@pytest.mark.parametrize(
    "terms",
    [
        {"profile": "no-such"},
        {"profile": 5},
        {"max_size": -1},
        {"max_size": "many"},
        {"expires_in": 0},
        {"expires_in": 10**9},
        {"origin": "shop.example"},
        {"origin": "https://shop.example/path"},
        {"reference": "x" * 256},
        {"reference": "a\0b"},
    ],
)
def test_invalid_terms_are_refused(backend: httpx.Client, browser: httpx.Client, terms: dict[str, Any]) -> None:
    problem(backend.post("/uploads/grants/", json=terms), 422, "invalid-field")
    problem(browser.post("/uploads/grants/", json={}), 401, "unauthenticated")


def test_revoking_a_token_in_another_process_ends_its_event_stream(closed_server: ServerProcess) -> None:
    """By the command, in another process than the one that serves the stream."""
    token = closed_server.command("token", "create", "--user", "leaver").stdout.strip()
    number = closed_server.command("token", "list").stdout.split("leaver")[0].split()[-1]
    with (
        connect(closed_server, headers={"Authorization": f"Bearer {token}"}) as leaver,
        leaver.stream("GET", "/events/") as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")
        closed_server.command("token", "revoke", number)
        began = time.monotonic()
        assert not [line for line in lines if line.startswith("data:")]
        assert time.monotonic() - began < 15
        problem(leaver.get("/events/"), 401, "invalid-token")


def test_a_home_that_others_can_read_is_made_private(tmp_path: Path) -> None:
    """The directory, the database with what lies beside it, and the key."""
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    (home / "secret-key").write_text("0123456789abcdef" * 4)
    (home / "secret-key").chmod(0o644)
    server = ServerProcess(home)
    server.command("migrate")
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in home.iterdir() if each.is_file()}
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert {name: mode for name, mode in modes.items() if name.startswith(("windlass.sqlite3", "secret-key"))} == {
        name: 0o600 for name in modes if name.startswith(("windlass.sqlite3", "secret-key"))
    }
    assert {"windlass.sqlite3", "secret-key"} <= modes.keys()
