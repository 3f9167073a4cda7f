"""A server below a path, behind a real nginx that takes the path away: every URL in every kind of reply leads back.

First the proxy tells the path (``X-Forwarded-Prefix``), then the server knows it (``ROOT_PATH``).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from tests import samples, services
from tests.conftest import require
from tests.process.conftest import ServerProcess
from tests.process.wire import PATCH, TUS, eventually
from windlass.client import Client

PREFIX = "/wl"
PROXY = """
location {prefix}/ {{
    proxy_pass {upstream}/;
    proxy_http_version 1.1;
    proxy_request_buffering off;
    proxy_buffering off;
    proxy_set_header Host $http_host;
    {told}
}}
"""
FORWARDED_HEADERS = f"""
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto https;
    proxy_set_header X-Forwarded-Host files.example.org;
    proxy_set_header X-Forwarded-Port 8443;
    proxy_set_header X-Forwarded-Prefix {PREFIX};
"""
ORIGIN = "https://files.example.org:8443"
LINK = re.compile(r"(?:https?://[^\s\"'<>]+|/(?:wl|files|uploads|events|api|admin|static|s3|profiles)[/?][^\s\"'<>]*)")


@pytest.fixture(scope="module", params=["forwarded", "ROOT_PATH"])
def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, bool]]:
    """The URL that clients use, and whether the proxy tells another origin."""
    is_forwarded = request.param == "forwarded"
    settings = {"TRUSTED_PROXIES": "127.0.0.1"} if is_forwarded else {"ROOT_PATH": PREFIX}
    server = ServerProcess(tmp_path_factory.mktemp("prefix") / "home", ALLOWED_HOSTS="*", **settings)
    server.start()
    program = require(services.find_nginx(), "nginx is not installed")
    location = PROXY.format(prefix=PREFIX, upstream=server.url, told=FORWARDED_HEADERS if is_forwarded else "")
    with services.nginx(program, server.url, location) as url:
        yield url + PREFIX, is_forwarded
    server.kill()


@pytest.fixture(scope="module")
def http(behind: tuple[str, bool]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=behind[0], timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def file(http: httpx.Client) -> dict[str, Any]:
    """The record of a picture that has been processed."""
    created = http.post("/files/", files={"file": ("a b.jpg", samples.jpeg())}, data={"reference": "prefix"})
    assert created.status_code == 201, created.text
    found = eventually(lambda: _done(http, created.json()["id"]), within=60)
    assert found["renditions"]
    return found


def _done(http: httpx.Client, file_id: str) -> dict[str, Any] | None:
    record: dict[str, Any] = http.get(f"/files/{file_id}/").json()
    return record if record["status"] == "READY" else None


def links_of(value: Any) -> list[str]:
    """Every URL in a document, but for the names of problem types."""
    if isinstance(value, Mapping):
        return [link for name, inner in value.items() if name != "type" for link in links_of(inner)]
    if isinstance(value, list):
        return [link for inner in value for link in links_of(inner)]
    return [value] if isinstance(value, str) and LINK.fullmatch(value) else []


def checked_link(http: httpx.Client, link: str, is_forwarded: bool) -> str:
    """The link as this test can follow it. It must lie below the prefix, at the origin that the client used."""
    parts = urlsplit(link)
    if parts.netloc:
        assert f"{parts.scheme}://{parts.netloc}" == (
            ORIGIN if is_forwarded else f"http://{http.base_url.netloc.decode()}"
        )
    assert parts.path.startswith(f"{PREFIX}/"), link
    return urljoin(str(http.base_url), parts.path) + (f"?{parts.query}" if parts.query else "")


def follow(http: httpx.Client, link: str, is_forwarded: bool, **options: Any) -> httpx.Response:
    """A stream without an end is asked for its head."""
    with http.stream("GET", checked_link(http, link, is_forwarded), **options) as reply:
        if not reply.headers.get("content-type", "").startswith("text/event-stream"):
            reply.read()
        return reply


def test_links_of_a_record_resolve_through_the_proxy(
    http: httpx.Client, behind: tuple[str, bool], file: dict[str, Any]
) -> None:
    links = links_of(file)
    assert len(links) >= 6, "self, status, download, events, thumbnail, renditions"
    for link in links:
        assert follow(http, link, behind[1]).status_code == 200, link


def test_the_next_link_of_a_list_resolves_through_the_proxy(
    http: httpx.Client, behind: tuple[str, bool], file: dict[str, Any]
) -> None:
    http.put("/files/second.txt", content=b"second", params={"reference": "prefix"}).raise_for_status()
    page = http.get("/files/", params={"limit": 1, "reference": "prefix"}).json()
    assert page["next"].startswith(f"{PREFIX}/files/?"), "a path: the client knows the origin"
    assert follow(http, page["next"], behind[1]).json()["results"][0]["id"] == file["id"]
    for link in links_of(page["results"]):
        checked_link(http, link, behind[1])


def test_the_location_of_a_new_file_resolves_through_the_proxy(http: httpx.Client, behind: tuple[str, bool]) -> None:
    for made in (
        http.post("/files/", content=b"raw", params={"filename": "raw.txt"}),
        http.put("/files/put.txt", content=b"put"),
        http.post("/files/", files={"file": ("form.txt", b"form")}),
    ):
        location = made.headers["Location"]
        assert urlsplit(location).netloc == (urlsplit(ORIGIN).netloc if behind[1] else "")
        assert follow(http, location, behind[1]).json()["id"] == made.json()["id"]
        for link in links_of(made.json()):
            checked_link(http, link, behind[1])


@pytest.mark.parametrize("first", [TUS | {"Upload-Length": "4"}, {"Upload-Complete": "?0"}], ids=["tus", "ietf"])
def test_a_resumable_upload_continues_at_its_location(
    http: httpx.Client, behind: tuple[str, bool], first: dict[str, str]
) -> None:
    created = http.post("/files/", headers=first)
    where = checked_link(http, created.headers["Location"], behind[1])
    ietf = {"Content-Type": "application/partial-upload", "Upload-Complete": "?1", "Upload-Offset": "0"}
    headers = PATCH | {"Upload-Offset": "0"} if "Tus-Resumable" in first else ietf
    done = http.patch(where, headers=headers, content=b"four")
    assert done.is_success, done.text
    assert follow(http, done.headers["Windlass-File"], behind[1]).json()["size"] == 4
    for link in links_of(done.json() if done.content else {}):
        checked_link(http, link, behind[1])


def test_upload_concat_accepts_locations_with_the_prefix(http: httpx.Client, behind: tuple[str, bool]) -> None:
    parts = []
    for body in (b"one", b"two"):
        headers = TUS | {"Upload-Concat": "partial", "Upload-Length": "3"}
        parts.append(http.post("/files/", headers=headers).headers["Location"])
        http.patch(checked_link(http, parts[-1], behind[1]), headers=PATCH | {"Upload-Offset": "0"}, content=body)
    final = http.post("/files/", headers=TUS | {"Upload-Concat": f"final;{' '.join(parts)}"})
    assert final.status_code == 201, final.text
    done = http.head(checked_link(http, final.headers["Location"], behind[1]), headers=TUS)
    assert follow(http, done.headers["Windlass-File"], behind[1]).json()["size"] == 6


def test_signed_and_grant_urls_are_absolute(http: httpx.Client, behind: tuple[str, bool], file: dict[str, Any]) -> None:
    signed = http.post(f"/files/{file['id']}/signed-url/").json()["url"]
    assert urlsplit(signed).netloc
    assert follow(http, signed, behind[1]).content == samples.jpeg()
    grant = http.post("/uploads/grants/", json={}).json()["url"]
    created = http.post(checked_link(http, grant, behind[1]), headers=TUS | {"Upload-Length": "4"})
    where = checked_link(http, created.headers["Location"], behind[1])
    assert http.patch(where, headers=PATCH | {"Upload-Offset": "0"}, content=b"four").status_code == 204


def test_links_of_the_chunk_and_media_apis_have_the_prefix(http: httpx.Client, behind: tuple[str, bool]) -> None:
    asked = {"filename": "chunks.txt", "total_size": 4, "mime_type": "text/plain"}
    upload = http.post("/api/v1/upload/init", json=asked).json()["upload_id"]
    http.put(f"/api/v1/upload/{upload}/chunks/0", content=b"four").raise_for_status()
    done = http.post("/api/v1/upload/complete", json={"upload_id": upload}).json()
    assert checked_link(http, done["file_path"], behind[1])
    media = http.post("/api/v1/media/upload/simple", files={"file": ("m.jpg", samples.jpeg(), "image/jpeg")}).json()
    assert follow(http, media["file_path"], behind[1]).content == samples.jpeg()
    assert follow(http, media["thumbnail_url"], behind[1]).headers["content-type"].startswith("image/")


def test_links_of_html_pages_have_the_prefix(http: httpx.Client, behind: tuple[str, bool]) -> None:
    for page in ("/", "/api/docs", "/admin/login/"):
        text = http.get(page).raise_for_status().text
        links = [link for link in re.findall(r'(?:href|src)="([^"#]+)"', text) if not link.startswith("data:")]
        assert links, page
        for link in links:
            reply = follow(http, link, behind[1])
            assert reply.status_code == 200 or reply.headers["Location"].startswith(f"{PREFIX}/"), (page, link)
    assert f'data-root="{PREFIX}"' in http.get("/").text
    assert http.get("/admin").headers.get("location", f"{PREFIX}/admin/").startswith(f"{PREFIX}/admin/")


def test_paths_of_the_openapi_document_have_the_prefix(http: httpx.Client, behind: tuple[str, bool]) -> None:
    document = http.get("/api/openapi.json").json()
    page = http.get("/api/docs").text
    assert f"{PREFIX}/api/openapi.json" in page
    server = urlsplit(document.get("servers", [{}])[0].get("url", "")).path if document.get("servers") else ""
    paths = [server + path for path in document["paths"]]
    assert f"{PREFIX}/files" in [path.rstrip("/") for path in paths]
    assert all(path.startswith(f"{PREFIX}/") for path in paths)


def test_problem_documents_have_the_prefix(http: httpx.Client, behind: tuple[str, bool]) -> None:
    for reply, status in (
        (http.get("/files/00000000-0000-4000-8000-000000000000/"), 404),
        (http.get("/nowhere"), 404),
        (http.delete("/files/"), 405),
        (http.patch("/files/", headers=TUS), 405),
    ):
        assert reply.status_code == status, reply.text
        assert reply.json().get("instance", PREFIX).startswith(PREFIX), reply.text


def test_links_of_events_have_the_prefix(http: httpx.Client, behind: tuple[str, bool], file: dict[str, Any]) -> None:
    with http.stream("GET", f"/files/{file['id']}/events/") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                for link in links_of(event):
                    checked_link(http, link, behind[1])
                if event["type"] == "file.ready":
                    break


def test_the_python_client_works_below_a_prefix(http: httpx.Client, behind: tuple[str, bool]) -> None:
    """It resolves references against the URL that it was given; an upload goes where Location says."""
    for name in ("client-0.txt", "client-1.txt"):
        http.put(f"/files/{name}", content=b"client").raise_for_status()
    with Client(behind[0]) as client:
        assert {found.original_filename for found in client.files(q="client-", limit=1)} >= {"client-0.txt"}
        if not behind[1]:  # the origin that the other proxy tells does not exist here
            sent = client.upload(io.BytesIO(b"client"), filename="client-2.txt")
            assert client.wait(sent.id).status == "READY"
