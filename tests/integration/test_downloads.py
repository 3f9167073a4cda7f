"""Downloads over real HTTP: bytes, ranges, conditions, safe headers, and who may download in which status."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from windlass import conf
from windlass.accounts import api as accounts
from windlass.files.api import Blob, FileAsset, FileStatus, Rendition
from windlass.http.downloads import files as downloads
from windlass.http.downloads.object_streaming import (
    LARGEST_BLOCK,
    SMALLEST_BLOCK,
    ObjectReader,
    ObjectResponse,
    next_size,
)
from windlass.http.server import zero_copy
from windlass.kernel.byte_ranges import ByteRange
from windlass.kernel.ids import new_id
from windlass.storage.registry import store

NO_PROC = not Path("/proc/self/fdinfo").exists()
DATA = b"".join(n.to_bytes(4, "big") for n in range(700_000))  # several blocks, and no two stretches alike


@pytest.fixture(scope="module")
def server(database: Path) -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(
        Starlette(routes=downloads.endpoints.routes), lifespan="off", ws="none", log_level="warning"
    )
    running = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()
    running.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def client(server: tuple[str, int]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{server[0]}:{server[1]}", timeout=30) as client:
        yield client


def a_file(data: bytes = DATA, **values: Any) -> FileAsset:
    key = f"objects/ab/{new_id()}"
    store().put(key, io.BytesIO(data), len(data))
    sha256 = hashlib.sha256(data).hexdigest()
    owner = values.setdefault("owner", "user:1")
    blob = Blob.objects.create(owner=owner, store="local", key=key, size=len(data), sha256=sha256)
    defaults = {
        "status": FileStatus.READY,
        "gate_passed": True,
        "original_filename": "report.pdf",
        "mime_type": "application/pdf",
        "checksum": sha256,
        "profile": "default",
    }
    return FileAsset.objects.create(blob=blob, size=len(data), **(defaults | values))


def a_rendition(asset: FileAsset, name: str = "thumbnail", data: bytes = b"picture") -> Rendition:
    key = f"renditions/{asset.id}/{name}"
    store().put(key, io.BytesIO(data), len(data))
    return Rendition.objects.create(
        file=asset, name=name, kind="image", mime_type="image/webp", store="local", key=key, size=len(data)
    )


def path(asset: FileAsset) -> str:
    return f"/files/{asset.id}/download"


def etag(asset: FileAsset) -> str:
    return f'"{asset.checksum}"'


# The bytes


def test_a_download_has_the_whole_file(client: httpx.Client) -> None:
    asset = a_file()
    reply = client.get(path(asset))
    assert reply.status_code == 200
    assert reply.content == DATA
    assert reply.headers["content-length"] == str(len(DATA))
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["etag"] == etag(asset)
    assert reply.headers["cache-control"] == "private"
    assert parsedate_to_datetime(reply.headers["last-modified"]) == asset.created_at.replace(microsecond=0)


@pytest.mark.parametrize("size", [0, 1, 65_536, 262_143, 262_144, 262_145])
def test_file_sizes_around_the_block_size(client: httpx.Client, size: int) -> None:
    reply = client.get(path(a_file(DATA[:size])))
    assert (reply.status_code, reply.content) == (200, DATA[:size])


def test_head_has_the_headers_and_no_body(client: httpx.Client) -> None:
    asset = a_file()
    reply = client.head(path(asset), headers={"Range": "bytes=0-1"})
    whole = client.get(path(asset))
    assert (reply.status_code, reply.content) == (200, b"")
    assert {k: v for k, v in reply.headers.items() if k != "date"} == {
        k: v for k, v in whole.headers.items() if k != "date"
    }


def test_one_connection_serves_again_after_each_reply(server: tuple[str, int]) -> None:
    asset = a_file()
    with socket.create_connection(server) as line:
        stream = line.makefile("rb")
        for _ in range(2):
            line.sendall(f"GET {path(asset)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            while stream.readline() != b"\r\n":
                pass
            assert stream.read(len(DATA)) == DATA


SIZE = len(DATA)
RANGES = [
    ("bytes=0-0", 0, 1),
    ("bytes=0-99", 0, 100),
    ("bytes=1000000-1999999", 1_000_000, 2_000_000),
    ("bytes=262144-", 262_144, SIZE),
    ("bytes=-5", SIZE - 5, SIZE),
    (f"bytes=-{SIZE * 2}", 0, SIZE),
    (f"bytes={SIZE - 1}-{SIZE * 9}", SIZE - 1, SIZE),
]


@pytest.mark.parametrize(("header", "start", "stop"), RANGES)
def test_a_range_is_206_with_its_bytes(client: httpx.Client, header: str, start: int, stop: int) -> None:
    reply = client.get(path(a_file()), headers={"Range": header})
    assert reply.status_code == 206
    assert reply.content == DATA[start:stop]
    assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert reply.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize(
    "header", [f"bytes={SIZE}-", f"bytes={SIZE + 7}-{SIZE + 9}", "bytes=-0", "bytes=9" + "9" * 90 + "-"]
)
def test_a_range_beyond_the_end_is_416(client: httpx.Client, header: str) -> None:
    reply = client.get(path(a_file()), headers={"Range": header})
    assert reply.status_code == 416
    assert reply.headers["content-range"] == f"bytes */{SIZE}"
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["type"] == "/problems/range-not-satisfiable"


@pytest.mark.parametrize(
    "header", ["bytes=2-1", "bytes=0-1,3-4", "lines=1-2", "bytes=-", "bytes=" + "9" * 5000 + "-", "x"]
)
def test_an_invalid_range_is_ignored(client: httpx.Client, header: str) -> None:
    reply = client.get(path(a_file(b"12345")), headers={"Range": header})
    assert (reply.status_code, reply.content) == (200, b"12345")


def test_a_range_of_an_empty_file_is_ignored(client: httpx.Client) -> None:
    reply = client.get(path(a_file(b"")), headers={"Range": "bytes=0-"})
    assert (reply.status_code, reply.content) == (200, b"")


# Conditions


def test_if_range_resumes_only_the_same_file(client: httpx.Client) -> None:
    asset = a_file()
    modified = client.head(path(asset)).headers["last-modified"]
    older = "Mon, 01 Jan 2024 00:00:00 GMT"
    for validator, status in [
        (etag(asset), 206),
        (modified, 206),
        ('"another"', 200),
        (f"W/{etag(asset)}", 200),
        (older, 200),
        ("nonsense", 200),
    ]:
        reply = client.get(path(asset), headers={"Range": "bytes=10-19", "If-Range": validator})
        assert reply.status_code == status, validator
        assert reply.content == (DATA[10:20] if status == 206 else DATA)


def test_a_matching_validator_is_304(client: httpx.Client) -> None:
    asset = a_file()
    modified = asset.created_at
    for headers in [
        {"If-None-Match": etag(asset)},
        {"If-None-Match": f'"x", W/{etag(asset)}'},
        {"If-None-Match": "*"},
        {"If-None-Match": etag(asset), "Range": "bytes=0-1"},
        {"If-Modified-Since": (modified + timedelta(hours=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")},
    ]:
        for method in ("GET", "HEAD"):
            reply = client.request(method, path(asset), headers=headers)
            assert (reply.status_code, reply.content) == (304, b""), headers
            assert reply.headers["etag"] == etag(asset)


def test_another_validator_is_200(client: httpx.Client) -> None:
    asset = a_file(b"12345")
    future = (datetime.now(UTC) + timedelta(days=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    for headers in [
        {"If-None-Match": '"x"', "If-Modified-Since": future},
        {"If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"},
        {"If-Modified-Since": "yesterday"},
        {"If-None-Match": ""},
    ]:
        assert client.get(path(asset), headers=headers).status_code == 200, headers


# Names and types


@pytest.mark.parametrize(
    "name",
    [
        'quo"te.txt',
        "semi;colon=.txt",
        "back\\slash.txt",
        "percent%41.txt",
        "cr\r\nSet-Cookie: x=1.txt",
        "nul\0.txt",
        "übergrößenträger €.txt",
        "日本語.txt",
        "gpj.\u202eexe",
        "'; drop.txt",
        "-",
        " ",
    ],
)
def test_hostile_filenames_are_encoded_in_content_disposition(client: httpx.Client, name: str) -> None:
    reply = client.get(path(a_file(b"x", original_filename=name)))
    assert reply.status_code == 200
    assert "set-cookie" not in reply.headers
    value = reply.headers["content-disposition"]
    plain = re.fullmatch(r'attachment; filename="([^"\\%;]*)"(?:; filename\*=UTF-8\'\'([\w.~%-]+))?', value)
    assert plain, value
    assert unquote(plain[2] if plain[2] else plain[1]) == name


@pytest.mark.parametrize(
    "mime_type", ["image/jpeg", "image/png", "image/webp", "video/mp4", "audio/mpeg", "text/plain"]
)
def test_harmless_types_are_inline(client: httpx.Client, mime_type: str) -> None:
    reply = client.get(path(a_file(b"x", mime_type=mime_type, original_filename="evil.html")))
    assert reply.headers["content-disposition"] == 'inline; filename="evil.html"'
    _is_safe(reply, mime_type)


@pytest.mark.parametrize(
    "mime_type",
    [
        "text/html",
        "image/svg+xml",
        "application/pdf",
        "text/xml",
        "application/javascript",
        "audio/x-mpegurl",
        "text/plainer",
    ],
)
def test_active_types_are_attachments(client: httpx.Client, mime_type: str) -> None:
    reply = client.get(path(a_file(b"x", mime_type=mime_type)))
    assert reply.headers["content-disposition"] == 'attachment; filename="report.pdf"'
    _is_safe(reply, mime_type)


@pytest.mark.parametrize("mime_type", [None, "", "nonsense", "text/html\r\nx: y", "image/png; x=<script>"])
def test_an_invalid_type_is_octet_stream(client: httpx.Client, mime_type: str | None) -> None:
    """The declared type is never used."""
    reply = client.get(path(a_file(b"x", mime_type=mime_type, declared_mime_type="text/html")))
    assert reply.headers["content-disposition"].startswith("attachment")
    _is_safe(reply, "application/octet-stream")


@pytest.mark.parametrize(
    ("mime_type", "facts", "sent"),
    [
        ("text/plain", {"encoding": "utf-8"}, "text/plain; charset=utf-8"),
        ("text/csv", {"encoding": "cp1252"}, "text/csv; charset=windows-1252"),
        ("text/plain", {"encoding": "cp932"}, "text/plain; charset=shift_jis"),
        ("text/plain", {"encoding": "utf-16-le"}, "text/plain; charset=utf-16le"),
        ("text/plain", {"encoding": "us-ascii"}, "text/plain; charset=us-ascii"),
        ("text/plain", {"encoding": "us-ascii", "counted_bytes": 67108864}, "text/plain; charset=utf-8"),
        ("text/plain", {"encoding": "cp850"}, "text/plain"),
        ("text/plain", {}, "text/plain"),
        ("text/html\r\nx: y", {"encoding": "utf-8"}, "application/octet-stream"),
        ("image/png", {"encoding": "utf-8"}, "image/png"),
    ],
)
def test_a_text_is_served_with_its_detected_encoding(
    client: httpx.Client, mime_type: str, facts: dict[str, Any], sent: str
) -> None:
    asset = a_file("Größe".encode(), mime_type=mime_type, extra_attributes=facts)
    assert client.get(path(asset)).headers["content-type"] == sent
    assert client.head(path(asset)).headers["content-type"] == sent


def _is_safe(reply: httpx.Response, mime_type: str) -> None:
    assert reply.headers["content-type"] == mime_type
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-security-policy"] == "sandbox"


# When


@pytest.mark.parametrize(
    ("values", "status", "problem"),
    [
        ({"status": "PENDING", "gate_passed": False}, 409, "not-ready"),
        ({"status": "PROCESSING", "gate_passed": False}, 409, "not-ready"),
        ({"status": "PROCESSING", "gate_passed": True}, 200, ""),
        ({"status": "READY", "gate_passed": True}, 200, ""),
        ({"status": "FAILED", "gate_passed": True}, 200, ""),
        ({"status": "FAILED", "gate_passed": False, "message": "scanner away"}, 409, "conflict"),
        (
            {"status": "REJECTED", "rejection": {"rule": "type", "detail": "HTML is refused."}},
            403,
            "file-refused",
        ),
        ({"status": "REJECTED", "gate_passed": False, "rejection": None}, 403, "file-refused"),
        ({"status": "QUARANTINED", "gate_passed": True}, 403, "file-refused"),
        ({"status": "RELEASED", "gate_passed": True}, 410, "file-released"),
    ],
)
def test_only_files_that_passed_the_gate_are_served(
    client: httpx.Client, values: dict[str, Any], status: int, problem: str
) -> None:
    asset = a_file(b"bytes", **values)
    a_rendition(asset)
    reply = client.get(path(asset))
    assert reply.status_code == status
    thumbnail = client.get(f"/files/{asset.id}/thumbnail")
    if not problem:
        assert (reply.content, thumbnail.content) == (b"bytes", b"picture")
        return
    assert reply.json()["type"] == f"/problems/{problem}"
    assert ("retry-after" in reply.headers) == (problem == "not-ready")
    expected = 404 if values["status"] == "FAILED" else status
    assert thumbnail.status_code == expected
    for word in (values.get("message"), (values.get("rejection") or {}).get("detail")):
        assert (word or "") in reply.json()["detail"]


def test_missing_bytes_are_500_without_internals(client: httpx.Client) -> None:
    """A record whose object is missing is our fault; the reply says so and nothing of our insides."""
    asset = a_file()
    assert asset.blob
    store().delete(asset.blob.key)
    reply = client.get(path(asset))
    assert reply.status_code == 500
    assert asset.blob.key not in reply.text


# Renditions


def test_renditions_are_served_by_name(client: httpx.Client) -> None:
    asset = a_file(original_filename="Holiday.final.jpeg")
    a_rendition(asset, "thumbnail", b"small picture")
    a_rendition(asset, "preview", b"larger picture")
    reply = client.get(f"/files/{asset.id}/thumbnail")
    assert (reply.status_code, reply.content) == (200, b"small picture")
    assert reply.headers["content-disposition"] == 'inline; filename="Holiday.final-thumbnail.webp"'
    _is_safe(reply, "image/webp")
    assert client.get(f"/files/{asset.id}/renditions/thumbnail").content == b"small picture"
    part = client.get(f"/files/{asset.id}/renditions/preview", headers={"Range": "bytes=0-5"})
    assert (part.status_code, part.content) == (206, b"larger")
    assert client.head(f"/files/{asset.id}/renditions/preview").headers["content-length"] == "14"


def test_the_text_of_a_file_is_served(client: httpx.Client) -> None:
    asset = a_file(original_filename="Log book.docx")
    assert client.get(f"/files/{asset.id}/text").status_code == 404
    words = "déjà vu\n".encode()
    made = a_rendition(asset, "text", words)
    Rendition.objects.filter(id=made.id).update(kind="text", mime_type="text/plain; charset=utf-8")
    reply = client.get(f"/files/{asset.id}/text")
    assert (reply.status_code, reply.content) == (200, words)
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["content-disposition"] == 'inline; filename="Log book-text.txt"'
    part = client.get(f"/files/{asset.id}/text", headers={"Range": "bytes=0-0"})
    assert (part.status_code, part.content) == (206, b"d")
    assert client.head(f"/files/{asset.id}/text").headers["content-length"] == str(len(words))


def test_a_text_that_is_still_extracted_is_409_with_retry_after(client: httpx.Client) -> None:
    asset = a_file(status=FileStatus.PROCESSING)
    reply = client.get(f"/files/{asset.id}/text")
    assert (reply.status_code, int(reply.headers["retry-after"]) > 0) == (409, True)


def test_bytes_that_move_between_query_and_opening_are_served(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = a_file()
    picture = a_rendition(asset)
    assert asset.blob is not None
    for row, data in ((asset.blob, DATA), (picture, b"picture")):
        moved, old = f"{row.key}-moved", row.key
        store().put(moved, io.BytesIO(data), len(data))
        type(row).objects.filter(id=row.id).update(key=moved)
        store().delete(old)
    monkeypatch.setattr(downloads, "_find_file", lambda *_: asset)  # as it was read before
    monkeypatch.setattr(downloads, "_find_rendition", lambda *_: (asset, picture))
    reply = client.get(path(asset), headers={"Range": "bytes=5-"})
    assert (reply.status_code, reply.content) == (206, DATA[5:])
    reply = client.get(f"/files/{asset.id}/thumbnail")
    assert (reply.status_code, reply.content) == (200, b"picture")


@pytest.mark.parametrize("name", ["n" * 251 + ".pdf", "\u00fc" * 125 + ".jpeg", "\u65e5" * 85, "." + "n" * 254])
def test_the_filename_of_a_rendition_has_the_usual_limit(client: httpx.Client, name: str) -> None:
    asset = a_file(original_filename=name)
    a_rendition(asset, "r" * 64)
    reply = client.get(f"/files/{asset.id}/renditions/{'r' * 64}")
    said = reply.headers["content-disposition"]
    told = unquote(said.rpartition("UTF-8''")[2]) if "UTF-8" in said else said.partition('filename="')[2].rstrip('"')
    assert told.endswith("-" + "r" * 64 + ".webp")
    assert len(told.encode()) <= 255


def test_a_new_rendition_has_another_etag(client: httpx.Client) -> None:
    asset = a_file()
    rendition = a_rendition(asset)
    first = client.get(f"/files/{asset.id}/thumbnail").headers["etag"]
    known = client.get(f"/files/{asset.id}/thumbnail", headers={"If-None-Match": first})
    assert known.status_code == 304
    store().put(rendition.key, io.BytesIO(b"PICTURE"), 7)
    again = client.get(f"/files/{asset.id}/thumbnail", headers={"If-None-Match": first})
    assert (again.status_code, again.content) == (200, b"PICTURE")


def test_a_missing_rendition_is_404_and_a_pending_one_409(client: httpx.Client) -> None:
    made, making = a_file(), a_file(status=FileStatus.PROCESSING)
    for name in ("thumbnail", "renditions/preview", "renditions/..%2f..%2fetc"):
        assert client.get(f"/files/{made.id}/{name}").status_code == 404
    reply = client.get(f"/files/{making.id}/thumbnail")
    assert reply.status_code == 409
    assert int(reply.headers["retry-after"]) >= 1


# Who


@pytest.fixture
def token(database: Path) -> Callable[[str], dict[str, str]]:
    def bearer(name: str, staff: bool = False) -> dict[str, str]:
        return {"Authorization": f"Bearer {accounts.create_token(name, staff=staff)}"}

    return bearer


def _owner(headers: dict[str, str]) -> str:
    from windlass.accounts.tokens import principal_of_token

    found = principal_of_token(headers["Authorization"].removeprefix("Bearer "))
    assert found
    return found.owner


def test_another_users_file_is_not_found(client: httpx.Client, token: Callable[..., dict[str, str]]) -> None:
    alice, bob, staff = token("alice"), token("bob"), token("boss", staff=True)
    asset = a_file(b"hers", owner=_owner(alice))
    a_rendition(asset)
    for end in ("download", "thumbnail", "renditions/thumbnail"):
        url = f"/files/{asset.id}/{end}"
        assert client.get(url, headers=alice).status_code == 200
        assert client.get(url, headers=staff).status_code == 200
        assert client.get(url, headers=bob).status_code == 404
        assert client.get(url, headers={"Authorization": "Bearer wl_wrong"}).status_code == 401


def test_an_unknown_file_gets_the_reply_of_another_users_file(
    client: httpx.Client, token: Callable[..., dict[str, str]]
) -> None:
    other = a_file(owner="user:other")
    bob = token("bob")
    for name in (str(uuid.uuid4()), str(other.id), "nonsense", str(other.id).replace("-", "")):
        reply = client.get(f"/files/{name}/download", headers=bob)
        assert (reply.status_code, reply.json()["detail"]) == (404, f"There is no file {name}.")


@pytest.fixture
def credentials_required(database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WINDLASS_AUTH_MODE", "required")
    conf.reload()
    yield
    monkeypatch.undo()
    conf.reload()


@pytest.mark.usefixtures("credentials_required")
def test_a_signed_link_needs_no_other_credential(client: httpx.Client) -> None:
    asset, other = a_file(b"signed"), a_file(b"other")
    link, _ = accounts.sign_path(f"/files/{asset.id}/download/", 60)
    link = link.replace("/?", "?")  # the front door strips trailing slashes
    assert client.get(path(asset)).status_code == 401
    assert client.get(link).content == b"signed"
    assert client.head(link).status_code == 200
    assert client.get(link.replace(str(asset.id), str(other.id))).status_code == 403
    assert client.get(f"/files/{asset.id}/thumbnail?{link.partition('?')[2]}").status_code == 401


def test_an_invalid_or_expired_link_is_refused(client: httpx.Client) -> None:
    asset = a_file()
    old, _ = accounts.sign_path(f"/files/{asset.id}/download/", -1)
    good, _ = accounts.sign_path(f"/files/{asset.id}/download/", 60)
    longer = re.sub(r"expires=(\d+)", lambda found: f"expires={int(found[1]) + 9}", good)
    for link in (old, longer, good + "0", good.replace("expires", "expire"), f"{path(asset)}?signature="):
        reply = client.get(link.replace("/?", "?"))
        assert reply.status_code == 403
        assert "expired" in reply.json()["detail"]


def test_a_signed_link_to_a_deleted_or_refused_file_is_refused(client: httpx.Client) -> None:
    missing, refused = uuid.uuid4(), a_file(status=FileStatus.QUARANTINED)
    for file_id, status in ((missing, 404), (refused.id, 403)):
        link, _ = accounts.sign_path(f"/files/{file_id}/download/", 60)
        reply = client.get(link.replace("/?", "?"))
        assert reply.status_code == status
        assert reply.headers["content-type"] == "application/problem+json"


# Clients that are slow, or go


def _positions(key: str) -> list[int]:
    """How far each open descriptor of the object has been read."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").endswith(key):
                found.append(int(Path(f"/proc/self/fdinfo/{name}").read_text().split()[1]))
        except FileNotFoundError:
            continue
    return found


def _until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def _local(key: str) -> Path:
    path = store().local_path(key)
    assert path is not None
    return path


def a_sparse_file(size: int) -> tuple[FileAsset, str]:
    """A file of zeros that takes no room, and its key."""
    asset = a_file(b"x")
    assert asset.blob
    os.truncate(_local(asset.blob.key), size)
    Blob.objects.filter(id=asset.blob.id).update(size=size)
    return asset, asset.blob.key


@pytest.mark.skipif(NO_PROC, reason="needs /proc")
def test_a_file_is_read_no_faster_than_its_client_and_closed_at_its_disconnect(
    server: tuple[str, int],
) -> None:
    asset, key = a_sparse_file(2**42)  # reading on to its end would take an hour
    seen = [0]

    def stands_still() -> bool:
        seen.append(sum(_positions(key)))
        return len(seen) > 25 and seen[-1] == seen[-25] > 0

    with socket.create_connection(server) as line:
        line.sendall(f"GET {path(asset)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        _until(stands_still)
        assert seen[-1] < 64 * 1024 * 1024  # what the kernel's buffers and three blocks hold
    _until(lambda: not _positions(key))


@pytest.mark.skipif(NO_PROC, reason="needs /proc")
def test_a_finished_reply_closes_its_file(client: httpx.Client) -> None:
    asset, key = a_sparse_file(64 * 1024 * 1024)
    with client.stream("GET", path(asset)) as reply:
        assert sum(len(block) for block in reply.iter_raw()) == 64 * 1024 * 1024
    assert _positions(key) == []


def test_a_truncated_object_aborts_the_reply(client: httpx.Client) -> None:
    asset, key = a_sparse_file(64 * 1024 * 1024)
    os.truncate(_local(key), 32 * 1024 * 1024)
    with pytest.raises(httpx.RemoteProtocolError), client.stream("GET", path(asset)) as reply:
        for _ in reply.iter_raw():
            pass
    os.truncate(_local(key), 1)
    assert client.get(path(asset)).status_code == 500


def test_the_block_size_adapts_to_the_client() -> None:
    size = 256 * 1024
    for _ in range(10):
        size = next_size(size, 0.001)
    assert size == LARGEST_BLOCK
    assert next_size(size, 0.2) == size
    for _ in range(10):
        size = next_size(size, 3)
    assert size == SMALLEST_BLOCK


def test_zero_copy_send_gets_a_descriptor(database: Path) -> None:
    """ASGI's zero copy send: the first block as it was read, then a descriptor, an offset and a length."""
    asset = a_file()
    assert asset.blob is not None
    reader = ObjectReader.open(asset.blob.store, asset.blob.key, ByteRange(100, len(DATA) - 10))
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        if message["type"] == zero_copy.MESSAGE:
            message["data"] = os.pread(message["file"], message["count"], message["offset"])
        sent.append(dict(message))

    async def receive() -> Any:
        await asyncio.sleep(60)

    scope = {"type": "http", "method": "GET", "extensions": {zero_copy.MESSAGE: {}}}
    asyncio.run(ObjectResponse(reader, 200, {})(scope, receive, send))
    start, first, rest, end = sent
    assert (start["type"], rest["type"]) == ("http.response.start", zero_copy.MESSAGE)
    assert first["body"] + rest["data"] == DATA[100:-10]
    assert (first["more_body"], end["more_body"], end["body"]) == (True, False, b"")


# The preconditions of RFC 9110, 13.2.2: If-Match, else If-Unmodified-Since, come before all others


def earlier(asset: FileAsset) -> str:
    return format_datetime(asset.created_at - timedelta(days=1), usegmt=True)


def later(asset: FileAsset) -> str:
    return format_datetime(asset.created_at + timedelta(days=1), usegmt=True)


FAILING: list[Callable[[FileAsset], dict[str, str]]] = [
    lambda asset: {"If-Match": '"other"'},
    lambda asset: {"If-Match": ""},
    lambda asset: {"If-Match": f"W/{etag(asset)}"},
    lambda asset: {"If-Match": '"a", "b"'},
    lambda asset: {"If-Match": '"other"', "If-None-Match": etag(asset)},
    lambda asset: {"If-Match": '"other"', "If-Unmodified-Since": later(asset)},
    lambda asset: {"If-Match": '"other"', "Range": "bytes=0-1", "If-Range": etag(asset)},
    lambda asset: {"If-Match": '"other"', "Range": "bytes=99999999-"},
    lambda asset: {"If-Unmodified-Since": earlier(asset)},
    lambda asset: {"If-Unmodified-Since": earlier(asset), "If-None-Match": etag(asset)},
    lambda asset: {"If-Unmodified-Since": earlier(asset), "Range": "bytes=0-1"},
]
HOLDING: list[tuple[Callable[[FileAsset], dict[str, str]], int]] = [
    (lambda asset: {"If-Match": etag(asset)}, 200),
    (lambda asset: {"If-Match": "*"}, 200),
    (lambda asset: {"If-Match": f'"other", W/"x", {etag(asset)}'}, 200),
    (lambda asset: {"If-Match": etag(asset), "If-Unmodified-Since": earlier(asset)}, 200),
    (lambda asset: {"If-Match": etag(asset), "If-None-Match": etag(asset)}, 304),
    (lambda asset: {"If-Match": etag(asset), "Range": "bytes=0-1"}, 206),
    (lambda asset: {"If-Unmodified-Since": later(asset)}, 200),
    (lambda asset: {"If-Unmodified-Since": format_datetime(asset.created_at, usegmt=True)}, 200),
    (lambda asset: {"If-Unmodified-Since": "yesterday"}, 200),
    (lambda asset: {"If-Unmodified-Since": later(asset), "If-None-Match": "*"}, 304),
]


@pytest.mark.parametrize("headers", FAILING)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_failed_precondition_is_412(
    client: httpx.Client, method: str, headers: Callable[[FileAsset], dict[str, str]]
) -> None:
    asset = a_file()
    reply = client.request(method, path(asset), headers=headers(asset))
    assert reply.status_code == 412
    assert reply.headers["etag"] == etag(asset)
    if method == "GET":
        assert reply.json()["type"] == "/problems/precondition-failed"


@pytest.mark.parametrize(("headers", "status"), HOLDING)
def test_a_precondition_that_holds_is_served(
    client: httpx.Client, headers: Callable[[FileAsset], dict[str, str]], status: int
) -> None:
    asset = a_file()
    assert client.get(path(asset), headers=headers(asset)).status_code == status


@pytest.mark.parametrize("name", ["thumbnail", "text", "poster"])
def test_renditions_have_preconditions(client: httpx.Client, name: str) -> None:
    asset = a_file()
    a_rendition(asset, name)
    address = f"/files/{asset.id}/{name}" if name != "poster" else f"/files/{asset.id}/renditions/poster"
    tag = client.get(address).headers["etag"]
    assert client.get(address, headers={"If-Match": tag}).status_code == 200
    assert client.get(address, headers={"If-Match": etag(asset)}).status_code == 412
    assert client.head(address, headers={"If-Unmodified-Since": earlier(asset)}).status_code == 412


def test_a_zip_download_has_no_validators(database: Path) -> None:
    from tests.integration.asgi_client import ApiClient
    from windlass.asgi import application

    asset = a_file(b"abc")
    caller = ApiClient(application)
    for method, address, options in (
        ("GET", f"/files/zip/?ids={asset.id}", {}),
        ("HEAD", f"/files/zip/?ids={asset.id}", {}),
        ("POST", "/files/zip/", {"json": {"ids": [str(asset.id)]}}),
    ):
        for value, status in (("*", 200), (etag(asset), 412)):
            assert caller(method, address, headers={"If-Match": value}, **options).status_code == status
        unmodified = {"If-Unmodified-Since": earlier(asset)}
        assert caller(method, address, headers=unmodified, **options).status_code == 200
