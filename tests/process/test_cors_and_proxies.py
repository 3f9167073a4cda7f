"""Credentials, CORS and proxies on both planes: lines 14, 19 and 20 of the protocols' checklist."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.process.conftest import ServerProcess
from tests.process.wire import TUS, StoredData, connect, create, patch

PAGE = "https://app.example.org"
OTHER = {"Origin": "https://other.example.org"}
LAST = {"Upload-Complete": "?1"}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that requires credentials, allows one origin and pages from disk, and trusts a proxy on this machine."""
    server = ServerProcess(
        tmp_path_factory.mktemp("secured") / "home",
        AUTH_MODE="required",
        CORS_ALLOWED_ORIGINS=f"{PAGE},null",
        TRUSTED_PROXIES="127.0.0.1",
        ALLOWED_HOSTS="127.0.0.1,files.example.org",
    )
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def token(secured: ServerProcess) -> dict[str, str]:
    result = secured.command("token", "create", "--user", "ann")
    return {"Authorization": f"Bearer {result.stdout.strip()}"}


@pytest.fixture
def http(secured: ServerProcess, token: dict[str, str]) -> Iterator[httpx.Client]:
    with connect(secured, headers=token) as client:
        yield client


# Line 14: credentials


def test_line_14_every_method_requires_a_credential(secured: ServerProcess, http: httpx.Client) -> None:
    tus, ietf = create(http, 8), http.post("/files/", headers={"Upload-Complete": "?0"}).headers["Location"]
    wrong = {"Authorization": "Bearer nonsense"}
    part = {"Content-Type": "application/partial-upload", "Upload-Offset": "0", "Upload-Complete": "?0"}
    body = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    with connect(secured) as stranger:
        for credential in ({}, wrong):
            for reply in (
                stranger.post("/files/", headers=TUS | {"Upload-Length": "4"} | credential),
                stranger.head(tus, headers=TUS | credential),
                stranger.patch(tus, headers=TUS | body | credential, content=b"abcd"),
                stranger.delete(tus, headers=TUS | credential),
                stranger.get(tus, headers=credential),
                stranger.post("/files/", headers=LAST | credential, content=b"abcd"),
                stranger.head(ietf, headers=credential),
                stranger.patch(ietf, headers=part | credential, content=b"abcd"),
                stranger.delete(ietf, headers=credential),
            ):
                assert reply.status_code == 401
                assert reply.headers["WWW-Authenticate"].startswith("Bearer")
                assert "Upload-Offset" not in reply.headers
    assert http.head(tus, headers=TUS).headers["Upload-Offset"] == "0"
    assert http.head(ietf).headers["Upload-Offset"] == "0"


def test_line_14_another_users_upload_is_404_and_not_403(secured: ServerProcess, http: httpx.Client) -> None:
    """A client that gets 401 or 403 might discard an upload that is its own."""
    path = create(http, 8)
    bob = secured.command("token", "create", "--user", "bob").stdout.strip()
    with connect(secured, headers={"Authorization": f"Bearer {bob}"}) as other:
        for reply in (other.head(path, headers=TUS), patch(other, path, 0, b"x"), other.delete(path, headers=TUS)):
            assert reply.status_code == 404
        assert other.head(path).status_code == 404
    assert http.head(path, headers=TUS).status_code == 200


# Line 19: pages of other origins


def test_line_19_an_allowed_origin_may_read_replies_of_both_planes(secured: ServerProcess, http: httpx.Client) -> None:
    path = create(http, 8)
    with connect(secured) as stranger:
        replies = (
            http.head(path, headers=TUS | {"Origin": PAGE}),
            http.get("/files/", headers={"Origin": PAGE}),
            http.get(f"/files/{uuid.uuid4()}/", headers={"Origin": PAGE}),
            stranger.post("/files/", headers=TUS | {"Origin": PAGE, "Upload-Length": "4"}),
            stranger.get("/livez", headers={"Origin": PAGE}),
        )
    for reply in replies:
        assert reply.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Origin" in reply.headers["Vary"]
        exposed = {name.strip() for name in reply.headers["Access-Control-Expose-Headers"].split(",")}
        assert exposed >= {
            *("Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Upload-Offset", "Upload-Length"),
            *("Upload-Metadata", "Upload-Expires", "Upload-Concat", "Upload-Complete", "Upload-Limit"),
            *("Location", "Windlass-File", "X-Request-ID", "Retry-After", "RateLimit", "RateLimit-Policy", "ETag"),
            *("Content-Disposition", "Content-Range", "Upload-Defer-Length", "Upload-Draft-Interop-Version"),
        }


@pytest.mark.parametrize(
    "path", ["/files/", f"/uploads/{uuid.uuid4()}", "/files/security/config/", "/api/openapi.json"]
)
def test_line_19_a_preflight_is_answered_without_a_credential(secured: ServerProcess, path: str) -> None:
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "tus-resumable",
    }
    with connect(secured) as browser:
        reply = browser.options(path, headers=asked)
        assert reply.status_code == 204
        assert reply.headers["Access-Control-Allow-Origin"] == PAGE
        assert {"PATCH", "HEAD", "DELETE", "PUT"} <= set(reply.headers["Access-Control-Allow-Methods"].split(", "))
        allowed = {name.strip().lower() for name in reply.headers["Access-Control-Allow-Headers"].split(",")}
        assert allowed >= {
            *("authorization", "content-type", "idempotency-key", "x-request-id", "x-csrftoken"),
            *("x-http-method-override", "x-requested-with", "content-digest", "repr-digest", "tus-resumable"),
            *("upload-length", "upload-offset", "upload-metadata", "upload-defer-length", "upload-concat"),
            *("upload-checksum", "upload-complete", "upload-draft-interop-version"),
        }


def test_line_19_other_origins_get_no_cors_headers(secured: ServerProcess, http: httpx.Client) -> None:
    asked = OTHER | {"Access-Control-Request-Method": "PATCH"}
    for reply in (http.get("/files/", headers=OTHER), http.options("/files/", headers=asked), http.get("/files/")):
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]


def test_line_19_pages_from_disk_may_read_replies_and_send_no_cookies(http: httpx.Client) -> None:
    """Their origin is null, and so is that of a sandboxed frame of any page."""
    for origin, may_send_cookies in ((PAGE, "true"), ("null", None)):
        reply = http.get("/files/", headers={"Origin": origin})
        assert reply.headers["Access-Control-Allow-Origin"] == origin
        assert reply.headers.get("Access-Control-Allow-Credentials") == may_send_cookies


def test_line_19_in_open_mode_an_allowed_origin_may_upload(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(CORS_ALLOWED_ORIGINS=PAGE)
    with connect(server) as browser:
        headers = TUS | {"Upload-Length": "4"}
        assert browser.post("/files/", headers=headers | {"Origin": PAGE}).status_code == 201
        assert browser.post("/files/", headers=headers | OTHER).status_code == 403


# Line 20: behind a proxy

FORWARDED_HEADERS = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "files.example.org",
    "X-Forwarded-For": "203.0.113.9",
}


def locations(http: httpx.Client, headers: dict[str, str]) -> list[str]:
    """Return the locations of a new tus upload, IETF upload and raw file."""
    made = (
        http.post("/files/", headers=TUS | {"Upload-Length": "4"} | headers),
        http.post("/files/", headers={"Upload-Complete": "?0"} | headers),
        http.post("/files/?filename=a", headers=headers, content=b"abcd"),
    )
    assert {reply.status_code for reply in made} == {201}
    return [reply.headers["Location"] for reply in made]


def test_line_20_locations_use_the_forwarded_origin_and_prefix(http: httpx.Client) -> None:
    for location in locations(http, FORWARDED_HEADERS | {"X-Forwarded-Prefix": "/up"}):
        found = urlsplit(location)
        assert (found.scheme, found.netloc) == ("https", "files.example.org")
        assert found.path.startswith(("/up/uploads/", "/up/files/"))
    for location in locations(http, {"Forwarded": "for=203.0.113.9;proto=https;host=files.example.org"}):
        assert location.startswith(("https://files.example.org/uploads/", "https://files.example.org/files/"))
    for location in locations(http, {}):
        assert location.startswith(("/uploads/", "/files/"))


def test_line_20_forwarded_headers_of_untrusted_peers_are_ignored(make_server: Callable[..., ServerProcess]) -> None:
    for proxies in ("", "192.0.2.0/24"):
        server = make_server(TRUSTED_PROXIES=proxies)
        with connect(server) as http:
            for location in locations(http, FORWARDED_HEADERS | {"X-Forwarded-Prefix": "/up"}):
                assert location.startswith(("/uploads/", "/files/"))


def test_line_20_a_forwarded_host_that_is_not_allowed_is_refused(http: httpx.Client) -> None:
    assert http.get("/files/", headers={"X-Forwarded-Host": "evil.example.org"}).status_code == 400


def test_line_20_root_path_prefixes_all_locations(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(ROOT_PATH="/up")
    with connect(server) as http:
        for location in locations(http, {}):
            assert location.startswith(("/up/uploads/", "/up/files/"))
        path = locations(http, {})[0].removeprefix("/up")  # the proxy takes it away
        assert patch(http, path, 0, b"abcd").status_code == 204
        assert http.get(f"/files/{uuid.uuid4()}/").json()["type"] == "/problems/not-found"
        assert http.get("/api/openapi.json").status_code == 200
        assert StoredData(server).file_count() == 3
