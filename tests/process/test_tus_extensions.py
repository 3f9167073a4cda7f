"""tus 1.0.0's extensions through a real server, line by line of the protocols' checklist."""

from __future__ import annotations

import base64
import hashlib
import os
import uuid
import zlib
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx
import pytest

from tests.process.conftest import ServerProcess
from tests.process.wire import (
    MB,
    PATCH,
    TUS,
    StoredData,
    Wire,
    connect,
    create,
    download_when_ready,
    eventually,
    metadata,
    offset,
    patch,
    wait_until_processed,
)
from windlass.kernel.clock import now

DEFER = {"Upload-Defer-Length": "1"}


def create_tus(http: httpx.Client, **headers: str) -> str:
    """A creation with exactly these tus fields."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    created = http.post("/files/", headers=TUS | fields)
    assert created.status_code == 201, created.text
    return str(created.headers["Location"])


def length_of(http: httpx.Client, path: str) -> str | None:
    headers = http.head(path, headers=TUS).headers
    assert ("Upload-Length" in headers) != (headers.get("Upload-Defer-Length") == "1")
    return headers.get("Upload-Length")


# Line 8: a deferred length


@pytest.mark.parametrize("said_with", ["not the last", "the last", "an empty one after the last"])
def test_line_8_any_patch_may_declare_the_length(http: httpx.Client, said_with: str) -> None:
    path, content = create_tus(http, **DEFER), os.urandom(300_000)
    lengths = {"Upload-Length": str(len(content))}
    assert length_of(http, path) is None
    first = lengths if said_with == "not the last" else {}
    last = lengths if said_with == "the last" else {}
    assert patch(http, path, 0, content[:100_000], **first).status_code == 204
    assert length_of(http, path) == (str(len(content)) if first else None)
    assert patch(http, path, 100_000, content[100_000:], **last).status_code == 204
    if said_with == "an empty one after the last":
        assert "Windlass-File" not in http.head(path, headers=TUS).headers
        assert patch(http, path, len(content), b"", **lengths).status_code == 204
    assert download_when_ready(http, path) == content


def test_line_8_the_length_never_changes(http: httpx.Client) -> None:
    path = create_tus(http, **DEFER)
    assert patch(http, path, 0, b"abcd", **{"Upload-Length": "8"}).status_code == 204
    for wrong in ("4", "7", "9"):
        refused = patch(http, path, 4, b"", **{"Upload-Length": wrong})
        assert refused.status_code == 400
        assert refused.json()["type"] == "/problems/inconsistent-upload-length"
    assert length_of(http, path) == "8"
    assert patch(http, path, 4, b"efgh", **{"Upload-Length": "8"}).status_code == 204
    assert download_when_ready(http, path) == b"abcdefgh"


def test_line_8_the_length_of_a_refused_patch_is_not_stored(http: httpx.Client, wire: Wire) -> None:
    path = create_tus(http, **DEFER)
    assert patch(http, path, 0, b"abcd").status_code == 204
    size = {"Upload-Length": "8"}
    digest = {"Upload-Checksum": "sha1 " + base64.b64encode(bytes(20)).decode()}
    assert patch(http, path, 3, b"efgh", **size).status_code == 409
    assert patch(http, path, 4, b"efghi", **size).status_code == 413
    assert patch(http, path, 4, b"efgh", **size, **digest).status_code == 460
    assert patch(http, path, 4, b"", **{"Upload-Length": "3"}).status_code == 400
    assert http.patch(path, headers=TUS | size | {"Upload-Offset": "4"}, content=b"efgh").status_code == 415
    assert (length_of(http, path), offset(http, path)) == (None, 4)
    chunked = {**PATCH, **size, "Upload-Offset": "4", "Transfer-Encoding": "chunked"}
    wire.head("PATCH", path, chunked)
    wire.chunk(b"efghi")
    wire.chunk(b"")
    assert wire.read_reply().status == 413
    assert length_of(http, path) is None
    assert patch(http, path, 8, b"", **size).status_code == 204
    assert download_when_ready(http, path) == b"abcdefgh"


@pytest.mark.parametrize("headers", [{"Upload-Defer-Length": "2"}, {"Upload-Defer-Length": "1", "Upload-Length": "4"}])
def test_line_8_invalid_upload_defer_length_is_refused(
    http: httpx.Client, stored_data: StoredData, headers: dict[str, str]
) -> None:
    before = stored_data.snapshot()
    assert http.post("/files/", headers=TUS | headers).status_code == 400
    assert not stored_data.added_since(before)


def test_line_8_a_late_length_above_the_limit_is_refused(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(MAX_UPLOAD_SIZE="100000")
    with connect(server) as http:
        path = create_tus(http, **DEFER)
        refused = patch(http, path, 0, b"abcd", **{"Upload-Length": "100001"})
        assert (refused.status_code, refused.json()["limit"]) == (413, 100_000)
        assert (length_of(http, path), offset(http, path)) == (None, 0)
        over = patch(http, path, 0, bytes(100_001))
        assert (over.status_code, over.json()["limit"]) == (413, 100_000)


# Line 10: expiration


def test_line_10_replies_have_upload_expires_until_completion(http: httpx.Client) -> None:
    created = http.post("/files/", headers=TUS | {"Upload-Length": "8"})
    first = patch(http, created.headers["Location"], 0, b"abcd")
    for reply in (created, first):
        left = parsedate_to_datetime(reply.headers["Upload-Expires"]) - now()
        assert 23 < left.total_seconds() / 3600 <= 24
    assert "Upload-Expires" not in patch(http, created.headers["Location"], 4, b"efgh").headers
    assert "Upload-Expires" not in http.post("/files/", headers=TUS | {"Upload-Length": "0"}).headers


def test_line_10_an_expired_upload_is_gone(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(UPLOAD_TTL_HOURS=str(2 / 3600), SWEEP_SECONDS="0.5")
    stored_data = StoredData(server)
    with connect(server) as http:
        path = create(http, 8)
        assert patch(http, path, 0, b"abcd").status_code == 204
        eventually(lambda: http.head(path, headers=TUS).status_code == 410)
        for reply in (http.head(path, headers=TUS), patch(http, path, 4, b"efgh")):
            assert reply.status_code == 410
            assert "Upload-Offset" not in reply.headers
        eventually(lambda: not stored_data.object_path(path).exists())
        eventually(lambda: stored_data.session(path)["status"] == "expired")


# Line 11: checksums


def checksum(algorithm: str, content: bytes) -> dict[str, str]:
    found = zlib.crc32(content).to_bytes(4, "big") if algorithm == "crc32" else hashlib.new(algorithm, content).digest()
    return {"Upload-Checksum": f"{algorithm} {base64.b64encode(found).decode()}"}


@pytest.mark.parametrize(
    ("algorithm", "size"), [("md5", 0), ("sha1", 5), ("sha256", MB), ("sha512", 3 * MB), ("crc32", 3 * MB + 7)]
)
def test_line_11_a_body_is_stored_only_if_its_checksum_matches(http: httpx.Client, algorithm: str, size: int) -> None:
    content, head = os.urandom(size), b"head"
    path = create(http, len(head) + size)
    assert patch(http, path, 0, head).status_code == 204
    wrong = patch(http, path, 4, content, **checksum(algorithm, content + b"!"))
    assert (wrong.status_code, wrong.headers["Tus-Resumable"]) == (460, "1.0.0")
    assert wrong.json()["type"] == "/problems/body-digest-mismatch"
    assert offset(http, path) == 4
    right = patch(http, path, 4, content, **checksum(algorithm, content))
    assert (right.status_code, right.headers["Upload-Offset"]) == (204, str(4 + size))
    assert download_when_ready(http, path) == head + content


def test_line_11_a_refused_body_does_not_change_the_running_hash(http: httpx.Client) -> None:
    """The server hashes while it receives; refused bytes must not be part of the hash."""
    content = os.urandom(2 * MB)
    path = create(http, len(content), metadata(sha256=hashlib.sha256(content).hexdigest()))
    assert patch(http, path, 0, content[:MB], **checksum("md5", content[:MB])).status_code == 204
    assert patch(http, path, MB, os.urandom(MB), **checksum("md5", b"other")).status_code == 460
    assert patch(http, path, MB, content[MB:], **checksum("sha1", content[MB:])).status_code == 204
    assert wait_until_processed(http, http.head(path, headers=TUS).headers["Windlass-File"])["status"] == "READY"


@pytest.mark.parametrize("said", ["sha3 AAAA", "sha1 not base64", "sha1"])
def test_line_11_an_invalid_checksum_header_is_refused(http: httpx.Client, said: str) -> None:
    path = create(http, 4)
    assert patch(http, path, 0, b"abcd", **{"Upload-Checksum": said}).status_code == 400
    assert offset(http, path) == 0


@pytest.mark.parametrize("arrives", [10, 2 * MB])
def test_line_11_an_interrupted_body_with_a_checksum_is_not_stored(
    http: httpx.Client, wire: Wire, stored_data: StoredData, arrives: int
) -> None:
    content = os.urandom(4 * MB)
    path = create(http, len(content))
    head = PATCH | {"Upload-Offset": "0", "Content-Length": str(len(content))} | checksum("sha1", content)
    wire.head("PATCH", path, head, content[:arrives])
    eventually(lambda: stored_data.session(path)["lease_holder"])
    wire.close()
    eventually(lambda: not stored_data.session(path)["lease_holder"])
    assert offset(http, path) == 0
    assert patch(http, path, 0, content, **checksum("sha1", content)).status_code == 204
    assert download_when_ready(http, path) == content


def test_line_11_the_checksum_of_a_creation_with_bytes_is_verified(http: httpx.Client) -> None:
    content = os.urandom(5000)
    first, size = content[:2000], {"Upload-Length": str(len(content))}
    wrong = http.post("/files/", headers=PATCH | size | checksum("sha1", b"other"), content=first)
    assert wrong.status_code == 460
    created = http.post("/files/", headers=PATCH | size | checksum("sha1", first), content=first)
    assert (created.status_code, created.headers["Upload-Offset"]) == (201, "2000")
    path = created.headers["Location"]
    assert patch(http, path, 2000, content[2000:]).status_code == 204
    assert download_when_ready(http, path) == content


# Line 13: concatenation


def partial_upload(http: httpx.Client, content: bytes, size: int | None = None) -> str:
    """A partial upload with this content, whole unless it is to have another size."""
    path = create_tus(http, Upload_Concat="partial", Upload_Length=str(len(content) if size is None else size))
    if content:
        assert patch(http, path, 0, content).status_code == 204
    return path


def concatenate(http: httpx.Client, *paths: str, **headers: str) -> httpx.Response:
    fields = {"Upload-Concat": "final;" + " ".join(paths)}
    return http.post("/files/", headers=TUS | fields | {name.replace("_", "-"): text for name, text in headers.items()})


def test_line_13_partial_uploads_become_files_only_in_a_final_upload(
    http: httpx.Client, stored_data: StoredData
) -> None:
    one, two, before = os.urandom(3 * MB + 1), os.urandom(MB), stored_data.file_count()
    first, second, nothing = partial_upload(http, one), partial_upload(http, two), partial_upload(http, b"")
    headers = http.head(first, headers=TUS).headers
    assert (headers["Upload-Concat"], headers["Upload-Offset"], headers["Upload-Length"]) == (
        "partial",
        *[str(len(one))] * 2,
    )
    assert "Windlass-File" not in headers
    assert stored_data.file_count() == before
    absolute = f"{http.base_url}{second}".replace("//uploads", "/uploads")
    reply = concatenate(http, first, absolute, nothing, first, **metadata(filename="joined.bin", note="its own"))
    assert reply.status_code == 201, reply.text
    path = reply.headers["Location"]
    headers = http.head(path, headers=TUS).headers
    assert headers["Upload-Concat"] == f"final;{first} {absolute} {nothing} {first}"
    assert headers["Upload-Offset"] == headers["Upload-Length"] == str(2 * len(one) + len(two))
    assert download_when_ready(http, path) == one + two + one
    record = wait_until_processed(http, headers["Windlass-File"])
    assert (record["original_filename"], record["metadata"]) == ("joined.bin", {"note": "its own"})
    assert record["checksum"] == hashlib.sha256(one + two + one).hexdigest()
    assert stored_data.file_count() == before + 1
    assert patch(http, path, 0, b"x").status_code == 403


def test_line_13_a_repeated_final_creation_returns_the_same_upload(http: httpx.Client, stored_data: StoredData) -> None:
    paths = [partial_upload(http, os.urandom(1000)) for _ in range(2)]
    made = [concatenate(http, *paths, **metadata(filename="twice.bin")) for _ in range(3)]
    files = stored_data.file_count()
    assert {reply.status_code for reply in made} == {201}
    assert len({reply.headers["Location"] for reply in made}) == 1
    others = (
        concatenate(http, *paths, **metadata(filename="other.bin")),
        concatenate(http, *reversed(paths), **metadata(filename="twice.bin")),
    )
    assert len({reply.headers["Location"] for reply in (*made, *others)}) == 3
    assert stored_data.file_count() == files + 2


def test_line_13_a_final_upload_waits_for_incomplete_partial_uploads(
    http: httpx.Client, stored_data: StoredData
) -> None:
    one, two = os.urandom(MB + 5), os.urandom(2000)
    whole, coming = partial_upload(http, one), partial_upload(http, two[:500], size=len(two))
    later = create_tus(http, Upload_Concat="partial", **DEFER)
    response = concatenate(http, whole, coming, later, **metadata(filename="unfinished.bin"))
    path = response.headers["Location"]
    reply = http.head(path, headers=TUS)
    assert (response.status_code, reply.status_code) == (201, 200)
    assert reply.headers.keys() & {"upload-offset", "upload-length", "upload-defer-length"} == set()
    assert patch(http, path, 0, b"x").status_code == 403
    assert concatenate(http, whole, coming, later, **metadata(filename="unfinished.bin")).headers["Location"] == path
    assert patch(http, coming, 500, two[500:]).status_code == 204
    assert "Upload-Offset" not in http.head(path, headers=TUS).headers
    assert patch(http, later, 0, b"end", **{"Upload-Length": "3"}).status_code == 204
    eventually(lambda: "Upload-Offset" in http.head(path, headers=TUS).headers)
    assert download_when_ready(http, path) == one + two + b"end"


def test_line_13_an_invalid_concatenation_creates_nothing(
    http: httpx.Client, shared_server: ServerProcess, stored_data: StoredData
) -> None:
    mine, whole_upload = partial_upload(http, b"mine"), create(http, 4)
    dead = partial_upload(http, b"dead")
    assert http.delete(dead, headers=TUS).status_code == 204
    before = stored_data.snapshot()
    for paths in ([mine, f"/uploads/{uuid.uuid4()}"], [mine, dead], [mine, whole_upload], [mine, "/files/x"], []):
        refused = concatenate(http, *paths)
        assert 400 <= refused.status_code < 500, paths
    assert concatenate(http, mine, Upload_Length="4").status_code == 400
    assert not stored_data.added_since(before)


def test_line_13_a_partial_upload_of_another_user_is_not_found(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(AUTH_MODE="required")
    tokens = [server.command("token", "create", "--user", name).stdout.strip() for name in ("ann", "bob")]
    ann, bob = (connect(server, headers={"Authorization": f"Bearer {token}"}) for token in tokens)
    with ann, bob:
        hers = partial_upload(ann, b"hers")
        assert concatenate(bob, hers).status_code == 404
        assert concatenate(bob, partial_upload(bob, b"his"), hers).status_code == 404
        assert concatenate(ann, hers).status_code == 201


def test_line_13_a_final_upload_fails_with_its_partial_upload(http: httpx.Client) -> None:
    coming = partial_upload(http, b"abc", size=9)
    path = concatenate(http, coming).headers["Location"]
    assert http.delete(coming, headers=TUS).status_code == 204
    eventually(lambda: http.head(path, headers=TUS).status_code == 410)


def test_line_13_concatenation_resumes_after_a_kill(make_server: Callable[..., ServerProcess]) -> None:
    """Every step is committed: the next process copies the missing bytes without a request."""
    server = make_server(CHECKPOINT_BYTES="65536", SWEEP_SECONDS="0.5")
    stored_data, content = StoredData(server), os.urandom(24 * MB)
    with connect(server) as http:
        path = partial_upload(http, content)
        with Wire(server.port) as wire:
            wire.head("POST", "/files/", TUS | {"Upload-Concat": f"final;{path} {path}", "Content-Length": "0"})
            final = eventually(
                lambda: stored_data.rows(
                    "SELECT id, offset FROM windlass_files_uploadsession WHERE offset > 0 AND concat LIKE 'final%'"
                )
            )[0]
            server.kill()
        at = stored_data.scalar("SELECT offset FROM windlass_files_uploadsession WHERE id = ?", final["id"])
        assert 0 < at < 2 * len(content)
    server.start()
    with connect(server) as http:
        location = f"/uploads/{uuid.UUID(final['id'])}"
        eventually(lambda: stored_data.session(location)["status"] == "completed", within=60)
        assert download_when_ready(http, location) == content + content


def test_line_13_partial_uploads_of_a_final_upload_expire_sooner(http: httpx.Client) -> None:
    path = partial_upload(http, b"part")
    life = "expires_at"
    long = http.get(path, headers={"Accept": "application/json"}).json()[life]
    assert concatenate(http, path).status_code == 201
    assert http.get(path, headers={"Accept": "application/json"}).json()[life] < long
