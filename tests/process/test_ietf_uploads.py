"""The IETF's resumable uploads through a real server, line by line of the protocols' checklist."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.process.conftest import ServerProcess
from tests.process.wire import (
    MB,
    TUS,
    StoredData,
    Wire,
    connect,
    create,
    download_when_ready,
    eventually,
    metadata,
    patch,
    wait_until_processed,
)

IANA = "https://iana.org/assignments/http-problem-types#"
PARTIAL = {"Content-Type": "application/partial-upload"}
MORE, LAST = {"Upload-Complete": "?0"}, {"Upload-Complete": "?1"}
VERSIONS = [None, 6, 8, 10]


def version(number: int | None) -> dict[str, str]:
    return {} if number is None else {"Upload-Draft-Interop-Version": str(number)}


def create_ietf(
    http: httpx.Client, content: bytes = b"", headers: dict[str, str] | None = None, url: str = "/files/"
) -> str:
    """Create an incomplete upload and return its path."""
    created = http.post(url, headers=MORE | (headers or {}), content=content)
    assert (created.status_code, created.headers["Upload-Offset"]) == (201, str(len(content))), created.text
    return str(created.headers["Location"])


def append(http: httpx.Client, path: str, offset: int, content: Any, headers: dict[str, str]) -> httpx.Response:
    return http.patch(path, headers=PARTIAL | {"Upload-Offset": str(offset)} | headers, content=content)


def state(http: httpx.Client, path: str) -> tuple[int, str]:
    reply = http.head(path)
    assert reply.status_code == 204, reply
    return int(reply.headers["Upload-Offset"]), reply.headers["Upload-Complete"]


def problem(reply: httpx.Response, name: str, status: int = 400) -> dict[str, Any]:
    assert (reply.status_code, reply.headers["Content-Type"]) == (status, "application/problem+json"), reply.text
    document: dict[str, Any] = reply.json()
    assert (document["type"], document["status"]) == (IANA + name, status)
    return document


# Line 22: creation


@pytest.mark.parametrize("number", VERSIONS)
def test_line_22_a_whole_file_in_one_request(http: httpx.Client, number: int | None) -> None:
    content, name = os.urandom(2 * MB + 3), {"Content-Disposition": 'inline; filename="one.bin"'}
    created = http.post("/files/", headers=LAST | name | version(number), content=content)
    assert created.status_code == 201
    record = created.json()
    assert (record["original_filename"], record["size"], record["declared_mime_type"]) == (
        "one.bin",
        len(content),
        None,
    )
    assert created.headers["Windlass-File"] == f"/files/{record['id']}/"
    assert download_when_ready(http, created.headers["Location"]) == content


def test_line_22_a_chunked_body_may_complete_an_upload(http: httpx.Client) -> None:
    created = http.post("/files/", headers=LAST, content=iter([b"ab", b"cd"]))
    assert (created.status_code, created.headers["Upload-Offset"], created.json()["size"]) == (201, "4", 4)


def test_line_22_an_empty_file_is_created(http: httpx.Client) -> None:
    created = http.post("/files/", headers=LAST)
    assert (created.status_code, created.headers["Upload-Offset"], created.json()["size"]) == (201, "0", 0)


def test_line_22_tus_metadata_is_accepted(http: httpx.Client) -> None:
    said = metadata(filename="told.png", filetype="image/png", reference="r1", note="kept")
    path = create_ietf(http, b"ab", headers=said | PARTIAL)
    done = append(http, path, 2, b"cd", LAST).json()
    assert (done["original_filename"], done["declared_mime_type"]) == ("told.png", "image/png")
    assert (done["reference"], done["metadata"]) == ("r1", {"note": "kept"})


def test_line_22_partial_upload_is_no_declared_type_of_the_file(http: httpx.Client) -> None:
    path = create_ietf(http, b"ab", headers=PARTIAL, url="/files/?filename=a.txt&reference=r2")
    done = append(http, path, 2, b"cd", LAST).json()
    assert (done["original_filename"], done["declared_mime_type"], done["reference"]) == ("a.txt", None, "r2")
    assert append(http, create_ietf(http, b"", {"Content-Type": "text/plain"}), 0, b"", LAST).json()[
        "declared_mime_type"
    ] == ("text/plain")


@pytest.mark.parametrize("number", [6, 8, 10])
def test_line_22_an_interim_response_has_the_location_to_resume(http: httpx.Client, wire: Wire, number: int) -> None:
    """It is sent before the body has ended, and its location can be resumed when the connection breaks."""
    content = os.urandom(4000)
    head = LAST | version(number) | {"Content-Length": str(len(content))}
    wire.head("POST", "/files/", head, content[:1000])
    status, headers = wire.interim()
    assert (status, headers["upload-draft-interop-version"]) == (104, str(number))
    assert re.search(r"max-size=\d+, (max-age|expires)=\d+", headers["upload-limit"])
    path = headers["location"]
    wire.close()
    eventually(lambda: state(http, path) == (1000, "?0"))
    done = append(http, path, 1000, content[1000:], LAST | version(number))
    assert (done.status_code, done.headers["Upload-Complete"]) == (201, "?1")
    assert download_when_ready(http, path) == content


@pytest.mark.parametrize("number", [None, 3, 99])
def test_line_22_unknown_versions_get_no_interim_response(wire: Wire, number: int | None) -> None:
    wire.head("POST", "/files/", LAST | version(number) | {"Content-Length": "4"}, b"abcd")
    assert wire.read_reply().status == 201  # the first status line is the last one's


def test_line_22_interim_and_final_responses_have_the_same_location(wire: Wire) -> None:
    wire.head("POST", "/files/", LAST | version(8) | {"Content-Length": "4", "Expect": "100-continue"})
    status, interim = wire.interim()
    assert status == 104
    assert wire.interim()[0] == 100
    wire.send(b"abcd")
    assert wire.read_reply().headers["location"] == interim["location"]


def test_line_22_inconsistent_headers_are_refused(http: httpx.Client, stored_data: StoredData) -> None:
    before = stored_data.snapshot()
    for headers in (
        LAST | TUS,
        LAST | {"Content-Type": "multipart/form-data; boundary=b"},
        {"Upload-Complete": "yes"},
        version(8),
        PARTIAL,
        {"Upload-Offset": "0"},
        LAST | {"Upload-Offset": "3"},
    ):
        assert http.post("/files/", headers=headers, content=b"--b--").status_code == 400, headers
    assert not stored_data.added_since(before)


# Lines 23 and 24: what replies say


@pytest.mark.parametrize("number", VERSIONS)
def test_line_23_every_success_has_offset_completeness_and_limits(http: httpx.Client, number: int | None) -> None:
    created = http.post("/files/", headers=MORE | version(number) | {"Upload-Length": "8"})
    path = created.headers["Location"]
    age = "expires" if number == 6 else "max-age"
    assert created.status_code == 201
    assert re.fullmatch(rf"max-size=\d+, {age}=\d+", created.headers["Upload-Limit"])
    middle = append(http, path, 0, b"abcd", MORE | version(number))
    assert middle.status_code == (201 if number == 6 else 204)
    last = append(http, path, 4, b"efgh", LAST | version(number))
    assert (last.status_code, last.json()["size"]) == (201, 8)
    for reply, offset, complete in ((created, 0, "?0"), (middle, 4, "?0"), (last, 8, "?1")):
        assert (reply.headers["Upload-Offset"], reply.headers["Upload-Complete"]) == (str(offset), complete)
        assert "Upload-Limit" in reply.headers
    assert download_when_ready(http, path) == b"abcdefgh"


def test_line_24_head_returns_offset_completeness_and_limits(http: httpx.Client) -> None:
    path = create_ietf(http)
    reply = http.head(path, headers=version(8))
    assert reply.status_code in (200, 204)
    assert (reply.headers["Upload-Offset"], reply.headers["Upload-Complete"]) == ("0", "?0")
    assert reply.headers["Cache-Control"] == "no-store"
    assert "max-age=" in reply.headers["Upload-Limit"]
    assert "Upload-Length" not in reply.headers
    append(http, path, 0, b"abcd", MORE | {"Upload-Length": "9"})
    assert http.head(path).headers["Upload-Length"] == "9"
    assert "Tus-Resumable" not in http.head(path).headers
    assert http.head(f"/uploads/{uuid.uuid4()}").status_code == 404


# Lines 25 and 26: append


def test_line_25_a_wrong_offset_is_refused_with_the_expected_one(http: httpx.Client) -> None:
    path = create_ietf(http, b"abcd")
    refused = append(http, path, 2, b"cdef", MORE)
    document = problem(refused, "mismatching-upload-offset", 409)
    assert (document["expected-offset"], document["provided-offset"]) == (4, 2)
    assert (refused.headers["Upload-Offset"], refused.headers["Upload-Complete"]) == ("4", "?0")
    assert state(http, path) == (4, "?0")


def test_line_25_an_empty_request_may_complete_an_upload(http: httpx.Client) -> None:
    path = create_ietf(http, b"abcd")
    done = append(http, path, 4, b"", LAST)
    assert (done.status_code, done.json()["size"], done.headers["Upload-Complete"]) == (201, 4, "?1")
    assert state(http, path) == (4, "?1")
    assert download_when_ready(http, path) == b"abcd"


def test_line_25_missing_fields_and_a_wrong_content_type_are_refused(http: httpx.Client) -> None:
    path = create_ietf(http, b"abcd")
    wrong = http.patch(path, headers=MORE | {"Upload-Offset": "4", "Content-Type": "text/plain"}, content=b"e")
    assert (wrong.status_code, wrong.headers["Accept-Patch"]) == (415, "application/partial-upload")
    assert http.patch(path, headers=PARTIAL | MORE, content=b"e").status_code == 400
    for newest in (None, 10):
        assert append(http, path, 4, b"e", version(newest)).status_code == 400
    assert state(http, path) == (4, "?0")
    for number, at in ((6, 4), (8, 5)):
        assert append(http, path, at, b"e", version(number)).headers["Upload-Complete"] == "?0"
    assert state(http, path) == (6, "?0")


def test_line_25_a_repeated_completing_request_gets_the_same_reply(http: httpx.Client, stored_data: StoredData) -> None:
    content = os.urandom(MB + 10)
    path = create_ietf(http, content[:1000])
    first = append(http, path, 1000, content[1000:], LAST)
    files = stored_data.file_count()
    again = append(http, path, 1000, content[1000:], LAST)
    assert (again.status_code, again.headers["Upload-Complete"]) == (201, "?1")
    assert again.json()["id"] == first.json()["id"]
    for offset, body, headers in (
        (1000, content[1000:-1] + b"?", LAST),
        (1000, content[1000:], MORE),
        (5, b"x", LAST),
        (len(content), b"x", MORE),
        (len(content) + 7, b"", LAST),
    ):
        problem(append(http, path, offset, body, headers), "completed-upload")
    assert stored_data.file_count() == files
    assert download_when_ready(http, path) == content


def test_line_26_only_upload_complete_completes_an_upload(http: httpx.Client, stored_data: StoredData) -> None:
    files = stored_data.file_count()
    path = create_ietf(http, b"abcd", {"Upload-Length": "8"})
    assert append(http, path, 4, b"efgh", MORE).headers["Upload-Complete"] == "?0"
    assert state(http, path) == (8, "?0")
    assert stored_data.file_count() == files
    assert append(http, path, 8, b"", LAST).status_code == 201
    assert stored_data.file_count() == files + 1
    empty = create_ietf(http, b"", {"Upload-Length": "0"})
    assert state(http, empty) == (0, "?0")


# Line 27: lengths


def test_line_27_inconsistent_lengths_are_refused(http: httpx.Client, stored_data: StoredData) -> None:
    before = stored_data.snapshot()
    problem(http.post("/files/", headers=LAST | {"Upload-Length": "5"}, content=b"abcd"), "inconsistent-upload-length")
    problem(http.post("/files/", headers=MORE | {"Upload-Length": "3"}, content=b"abcd"), "inconsistent-upload-length")
    assert not stored_data.added_since(before)
    path = create_ietf(http, b"abcd", {"Upload-Length": "8"})
    for headers, body in ((MORE | {"Upload-Length": "9"}, b"e"), (LAST, b"efg"), (LAST, b"efghi"), (MORE, b"efghi")):
        problem(append(http, path, 4, body, headers), "inconsistent-upload-length")
    assert state(http, path) == (4, "?0")
    assert append(http, path, 4, b"efgh", LAST).status_code == 201


def test_line_27_a_final_body_that_is_too_short_does_not_complete(http: httpx.Client) -> None:
    path = create_ietf(http, b"abcd", {"Upload-Length": "8"})
    problem(append(http, path, 4, iter([b"ef"]), LAST), "inconsistent-upload-length")
    assert state(http, path) == (6, "?0")
    assert append(http, path, 6, b"gh", LAST).status_code == 201
    assert download_when_ready(http, path) == b"abcdefgh"


@pytest.mark.parametrize("complete", [MORE, LAST], ids=["more", "last"])
@pytest.mark.parametrize(("number", "lives"), [(6, True), (8, False), (None, False)])
def test_line_27_bytes_beyond_the_length_are_not_stored(
    http: httpx.Client, stored_data: StoredData, complete: dict[str, str], number: int | None, lives: bool
) -> None:
    files = stored_data.file_count()
    path = create_ietf(http, b"abcd", {"Upload-Length": "8"} | version(number))
    problem(append(http, path, 4, iter([b"efghi"]), complete | version(number)), "inconsistent-upload-length")
    assert stored_data.file_count() == files
    if lives:
        assert state(http, path) == (8, "?0")
        assert append(http, path, 8, b"", LAST | version(number)).status_code == 201
        assert download_when_ready(http, path) == b"abcdefgh"
    else:
        assert http.head(path).status_code == 410
        assert not stored_data.object_path(path).exists()


def test_line_27_uploads_above_the_servers_limit_are_refused(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(MAX_UPLOAD_SIZE="1000")
    with connect(server) as http:
        for reply in (
            http.post("/files/", headers=LAST, content=bytes(1001)),
            http.post("/files/", headers=MORE | {"Upload-Length": "1001"}),
            append(http, create_ietf(http), 0, iter([bytes(1001)]), MORE),
            append(http, create_ietf(http), 0, bytes(1001), LAST),
        ):
            assert (reply.status_code, reply.headers["Upload-Limit"]) == (413, "max-size=1000"), reply.text
            assert reply.json()["limit"] == 1000


# Line 28: giving up, discovery


def test_line_28_delete_ends_an_upload(http: httpx.Client, stored_data: StoredData) -> None:
    path = create_ietf(http, b"abcd")
    assert http.delete(path).status_code == 204
    assert http.head(path).status_code in (404, 410)
    assert append(http, path, 4, b"e", LAST).status_code in (404, 410)
    assert not stored_data.object_path(path).exists()


@pytest.mark.parametrize("path", ["/files/", f"/uploads/{uuid.uuid4()}"])
def test_line_28_options_announces_limits_and_both_protocols(http: httpx.Client, path: str) -> None:
    reply = http.options(path)
    assert reply.status_code == 204
    assert reply.headers["Upload-Limit"] == f"max-size={5 * 1024 * MB}, min-size=0, max-age=86400"
    assert "application/partial-upload" in reply.headers["Accept-Patch"]
    assert reply.headers["Tus-Version"] == "1.0.0"


# Line 29: digests


def digest(name: str, field: str, content: bytes) -> dict[str, str]:
    value = hashlib.new(name.replace("-", ""), content).digest()
    return {field: f"{name}=:{base64.b64encode(value).decode()}:"}


@pytest.mark.parametrize("name", ["sha-256", "sha-512"])
@pytest.mark.parametrize("size", [5, 2 * MB])
def test_line_29_a_body_with_a_wrong_content_digest_is_not_stored(http: httpx.Client, name: str, size: int) -> None:
    content = os.urandom(size)
    path = create_ietf(http, b"head")
    refused = append(http, path, 4, content, LAST | digest(name, "Content-Digest", content + b"!"))
    problem(refused, "digest-mismatching-values")
    assert state(http, path) == (4, "?0")
    assert append(http, path, 4, content, LAST | digest(name, "Content-Digest", content)).status_code == 201
    assert download_when_ready(http, path) == b"head" + content


@pytest.mark.parametrize("name", ["sha-256", "sha-512"])
@pytest.mark.parametrize("said_with", ["the first", "the last"])
def test_line_29_a_file_with_a_wrong_repr_digest_fails(
    http: httpx.Client, stored_data: StoredData, name: str, said_with: str
) -> None:
    content = os.urandom(3000)
    for wrong in (True, False):
        said = digest(name, "Repr-Digest", content + b"!" if wrong else content)
        files = stored_data.file_count()
        path = create_ietf(http, content[:1000], said if said_with == "the first" else {})
        done = append(http, path, 1000, content[1000:], LAST | (said if said_with == "the last" else {}))
        assert done.status_code == (422 if wrong else 201), done.text
        assert done.headers["Upload-Complete"] == "?1"
        assert stored_data.file_count() == files + (not wrong)
        assert http.head(path).status_code == (410 if wrong else 204)
    assert wait_until_processed(http, done.json()["id"])["checksum"] == hashlib.sha256(content).hexdigest()


# Line 30: what HEAD says holds


def test_line_30_an_offset_returned_by_head_is_accepted_by_patch(http: httpx.Client, wire: Wire) -> None:
    """The writer with the dead connection releases its lease before HEAD returns the offset."""
    content = os.urandom(3 * MB)
    path = create_ietf(http)
    head = PARTIAL | LAST | {"Upload-Offset": "0", "Content-Length": str(len(content))}
    wire.head("PATCH", path, head, content[:MB])
    at = eventually(lambda: state(http, path)[0], within=20)
    assert append(http, path, at, content[at:], LAST).status_code == 201
    assert download_when_ready(http, path) == content


# One upload, one dialect


def test_an_upload_is_continued_in_its_own_dialect_only(http: httpx.Client) -> None:
    ours, theirs = create_ietf(http), create(http, 4)
    assert append(http, theirs, 0, b"abcd", LAST).status_code == 409
    assert patch(http, ours, 0, b"abcd").status_code == 409
    assert state(http, theirs) == (0, "?0")
    assert http.head(ours, headers=TUS).headers["Upload-Offset"] == "0"
    assert http.get(ours, headers={"Accept": "application/json"}).json()["protocol"] == "ietf"
    assert http.delete(theirs).status_code == 204
    assert http.delete(ours, headers=TUS).status_code == 204
