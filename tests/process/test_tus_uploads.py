"""Resumable uploads through a real server: tus 1.0.0, line by line of the protocols' checklist, and what its clients
do beside it. Forms and raw bodies are in test_whole_uploads.py, refusals in test_refused_uploads.py."""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
from collections.abc import Callable

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

BATCH = MB  # receiving/body.py: BATCH_SIZE


# Line 1: the version, on every reply


def test_line_1_every_reply_but_options_has_tus_resumable(http: httpx.Client) -> None:
    path = create(http, 4)
    unknown = f"/uploads/{uuid.uuid4()}"
    replies = {
        201: http.post("/files/", headers=TUS | {"Upload-Length": "4"}),
        200: http.head(path, headers=TUS),
        409: patch(http, path, 1, b"b"),
        415: http.patch(path, headers=TUS | {"Upload-Offset": "0"}, content=b"a"),
        413: patch(http, path, 0, b"abcde"),
        400: http.post("/files/", headers=TUS),
        404: http.head(unknown, headers=TUS),
        412: http.head(path, headers={"Tus-Resumable": "0.2.2"}),
        204: patch(http, path, 0, b"abcd"),
    }
    for status, reply in replies.items():
        assert reply.status_code == status, reply.text
        assert reply.headers["Tus-Resumable"] == "1.0.0", status
    assert "Tus-Resumable" not in http.options(path, headers=TUS).headers


@pytest.mark.parametrize("version", [{}, {"Tus-Resumable": "0.2.2"}, {"Tus-Resumable": ""}], ids=str)
def test_line_1_another_version_is_refused_without_effect(
    http: httpx.Client, stored_data: StoredData, version: dict[str, str]
) -> None:
    path = create(http, 4)
    before = stored_data.snapshot()
    for reply in (
        http.patch(path, headers={**PATCH, "Upload-Offset": "0", "Tus-Resumable": "x"} | version, content=b"abcd"),
        http.post("/files/", headers={"Upload-Length": "4"} | version),
        http.delete(path, headers=version or {"Tus-Resumable": "1"}),  # without the field it is no tus request
    ):
        assert reply.status_code == 412, reply.text
        assert reply.headers["Tus-Version"] == "1.0.0"
    assert not stored_data.added_since(before)
    assert offset(http, path) == 0


# Lines 2 and 3: discovery, methods


@pytest.mark.parametrize("path", ["/files/", "/files", f"/uploads/{uuid.uuid4()}"])
def test_line_2_options_announces_versions_extensions_and_limits(http: httpx.Client, path: str) -> None:
    reply = http.options(path, headers={"Tus-Resumable": "0.0.1"})
    assert reply.status_code == 204
    assert reply.headers["Tus-Version"] == "1.0.0"
    assert set(reply.headers["Tus-Extension"].split(",")) == {
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "expiration",
        "checksum",
        "termination",
        "concatenation",
        "concatenation-unfinished",
    }
    assert reply.headers["Tus-Checksum-Algorithm"] == "sha1,sha256,sha512,md5,crc32"
    assert int(reply.headers["Tus-Max-Size"]) == 5 * 1024 * MB


def test_line_3_the_override_replaces_the_method(http: httpx.Client) -> None:
    path = create(http, 4)

    def override(method: str, content: bytes = b"", **headers: str) -> httpx.Response:
        return http.post(path, headers=PATCH | {"X-HTTP-Method-Override": method} | headers, content=content)

    assert override("PATCH", b"abcd", **{"Upload-Offset": "0"}).status_code == 204
    assert override("HEAD").headers["Upload-Offset"] == "4"
    assert override("DELETE").status_code == 204
    assert http.head(path, headers=TUS).status_code == 404


# Line 4: how far


def test_line_4_head_returns_offset_length_and_metadata(http: httpx.Client) -> None:
    sent = metadata(filename="naïve.bin", raw=b"\xff\x00\xfe") | {}
    path = create(http, 10, sent)
    for at, content in ((0, b""), (0, b"abcd"), (4, b"efghij")):
        if content:
            assert patch(http, path, at, content).status_code == 204
        reply = http.head(path, headers=TUS)
        assert reply.status_code == 200
        assert reply.headers["Upload-Offset"] == str(at + len(content))
        assert reply.headers["Upload-Length"] == "10"
        assert reply.headers["Upload-Metadata"] == sent["Upload-Metadata"]
        assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Windlass-File"].startswith("/files/")


def test_line_4_head_returns_metadata_exactly_as_sent(http: httpx.Client) -> None:
    for sent in ("", "filename YQ==,flag", "flag ,filename YQ=="):
        path = create(http, 1, {"Upload-Metadata": sent})
        assert http.head(path, headers=TUS).headers["Upload-Metadata"] == sent


def test_line_4_unknown_and_ended_uploads_have_no_offset(
    http: httpx.Client, make_server: Callable[..., ServerProcess]
) -> None:
    cancelled = create(http, 4)
    http.delete(cancelled, headers=TUS)
    for path, status in ((f"/uploads/{uuid.uuid4()}", 404), ("/uploads/x", 404), (cancelled, 410)):
        reply = http.head(path, headers=TUS)
        assert reply.status_code == status
        assert "Upload-Offset" not in reply.headers
    brief = make_server(UPLOAD_TTL_HOURS="0.0003", SESSION_RETENTION_HOURS="0.0003", SWEEP_SECONDS="0.5")
    with connect(brief) as client:
        path, stored_data = create(client, 4), StoredData(brief)
        assert stored_data.object_path(path).exists()
        expired = eventually(lambda: (response := client.head(path, headers=TUS)).status_code != 200 and response)
        assert expired.status_code == 410
        assert "Upload-Offset" not in expired.headers
        assert patch(client, path, 0, b"abcd").status_code == 410
        eventually(lambda: not stored_data.object_path(path).exists())
        eventually(lambda: client.head(path, headers=TUS).status_code == 404)


# Line 5: bytes


def test_line_5_patch_appends_and_returns_the_new_offset(http: httpx.Client) -> None:
    path = create(http, 8)
    first, last = patch(http, path, 0, b"Haul "), patch(http, path, 5, b"it.")
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "5")
    assert (last.status_code, last.headers["Upload-Offset"]) == (204, "8")
    assert "Windlass-File" not in first.headers
    record = wait_until_processed(http, last.headers["Windlass-File"])
    assert record["status"] == "READY"
    assert record["checksum"] == hashlib.sha256(b"Haul it.").hexdigest()
    assert download_when_ready(http, path) == b"Haul it."


def test_line_5_a_wrong_offset_or_content_type_changes_nothing(http: httpx.Client, stored_data: StoredData) -> None:
    path = create(http, 8)
    patch(http, path, 0, b"Haul")
    for at in (0, 3, 5, 8):
        refused = patch(http, path, at, b"x")
        assert refused.status_code == 409, at
        assert refused.json()["expected_offset"] == 4
    for kind in ("application/octet-stream", "application/partial-upload", "text/plain"):
        assert patch(http, path, 4, b"x", **{"Content-Type": kind}).status_code in (400, 415)
    assert patch(http, f"/uploads/{uuid.uuid4()}", 0, b"x").status_code == 404
    assert offset(http, path) == 4
    assert stored_data.object_path(path).read_bytes() == b"Haul"


def test_line_5_a_content_length_beyond_the_declared_length_is_refused_at_the_head(
    http: httpx.Client, wire: Wire
) -> None:
    path = create(http, 8)
    wire.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Content-Length": "9", "Expect": "100-continue"})
    refused = wire.read_reply()
    assert (refused.status, refused.got_100_continue) == (413, False)
    assert offset(http, path) == 0
    assert patch(http, path, 0, b"abcdefgh").status_code == 204


@pytest.mark.parametrize("size", [8, 3 * BATCH])
def test_line_5_a_chunked_body_is_stored_up_to_the_declared_length(http: httpx.Client, wire: Wire, size: int) -> None:
    path, content = create(http, size), os.urandom(size)
    wire.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Transfer-Encoding": "chunked"})
    wire.chunk(content[: size // 2])
    wire.chunk(content[size // 2 :] + b"too much")
    wire.chunk(b"")
    assert wire.read_reply().status == 413
    reply = http.head(path, headers=TUS)
    assert reply.headers["Upload-Offset"] == str(size), "what fits is kept"
    assert wait_until_processed(http, reply.headers["Windlass-File"])["checksum"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("arrives", [1, 1000, BATCH + 1])
def test_line_5_received_bytes_of_an_aborted_body_are_stored(http: httpx.Client, wire: Wire, arrives: int) -> None:
    """uvicorn discards the small body of a client that closes at once, unless it is received first."""
    content = os.urandom(arrives + 5)
    path = create(http, len(content))
    wire.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Content-Length": str(len(content))}, content[:arrives])
    wire.close()
    eventually(lambda: offset(http, path) == arrives)
    last = patch(http, path, arrives, content[arrives:])
    assert last.status_code == 204
    assert wait_until_processed(http, last.headers["Windlass-File"])["checksum"] == hashlib.sha256(content).hexdigest()


def test_line_5_received_bytes_of_an_aborted_chunked_body_are_stored(http: httpx.Client, wire: Wire) -> None:
    path = create(http, 10)
    wire.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Transfer-Encoding": "chunked"})
    wire.chunk(b"abcd")
    wire.close()
    eventually(lambda: offset(http, path) == 4)
    assert patch(http, path, 4, b"efghij").status_code == 204


@pytest.mark.parametrize("size", [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 7])
def test_line_5_file_sizes_around_the_batch_size(http: httpx.Client, size: int) -> None:
    content = os.urandom(size)
    path = create(http, size)
    if size:
        assert patch(http, path, 0, content).status_code == 204
    record = wait_until_processed(http, http.head(path, headers=TUS).headers["Windlass-File"])
    assert (record["status"], record["size"]) == ("READY", size)
    assert record["checksum"] == hashlib.sha256(content).hexdigest()
    assert download_when_ready(http, path) == content


def test_line_5_many_small_requests_make_one_file(http: httpx.Client) -> None:
    content = os.urandom(100 * 300)
    path = create(http, len(content))
    for start in range(0, len(content), 300):
        assert patch(http, path, start, content[start : start + 300]).headers["Upload-Offset"] == str(start + 300)
    record = wait_until_processed(http, http.head(path, headers=TUS).headers["Windlass-File"])
    assert record["checksum"] == hashlib.sha256(content).hexdigest()


def test_line_5_an_empty_patch_leaves_the_offset(http: httpx.Client) -> None:
    path = create(http, 4)
    reply = patch(http, path, 0, b"")
    assert (reply.status_code, reply.headers["Upload-Offset"]) == (204, "0")


# Lines 6 and 7: creation

BAD_NUMBERS = ["-1", "+1", "1.0", "0x10", "1e3", "", " ", "x", "\N{ARABIC-INDIC DIGIT ONE}"]


@pytest.mark.parametrize("number", BAD_NUMBERS)
def test_line_6_numbers_that_are_not_plain_digits_are_refused(http: httpx.Client, wire: Wire, number: str) -> None:
    path = create(http, 4)
    wire.head("POST", "/files/", TUS | {"Upload-Length": number, "Content-Length": "0"})
    assert wire.read_reply().status == 400
    wire.head("PATCH", path, PATCH | {"Upload-Offset": number, "Content-Length": "1"}, b"a")
    assert wire.read_reply().status == 400
    assert offset(http, path) == 0


def test_line_6_a_length_over_the_limit_is_refused(http: httpx.Client, stored_data: StoredData) -> None:
    before = stored_data.snapshot()
    for length in (5 * 1024 * MB + 1, 10**20):
        refused = http.post("/files/", headers=TUS | {"Upload-Length": str(length)})
        assert refused.status_code == 413
        assert refused.json()["limit"] == 5 * 1024 * MB
    assert not stored_data.added_since(before)


def test_line_6_an_offset_beyond_every_size_is_a_mismatch(http: httpx.Client) -> None:
    path = create(http, 4)
    for at in (5, 2**63, 10**29):
        assert patch(http, path, at, b"").status_code == 409
        assert patch(http, path, at, b"a").status_code in (409, 413)
    assert offset(http, path) == 0


def test_line_7_a_creation_has_a_location_and_stores_its_metadata(http: httpx.Client) -> None:
    sent = metadata(filename="../../report.pdf", filetype="application/pdf", reference="r-7", mood="calm")
    created = http.post("/files", headers=TUS | {"Upload-Length": "0"} | sent)
    assert created.status_code == 201
    path = created.headers["Location"]
    assert path.startswith("/uploads/")
    record = wait_until_processed(http, created.headers["Windlass-File"])
    assert (record["original_filename"], record["declared_mime_type"]) == ("report.pdf", "application/pdf")
    assert (record["reference"], record["metadata"], record["size"]) == ("r-7", {"mood": "calm"}, 0)
    assert record["mime_type"] == "application/x-empty"


def test_line_7_name_and_type_are_aliases_of_filename_and_filetype(http: httpx.Client) -> None:
    path = create(http, 0, metadata(name="a.txt", type="text/plain"))
    record = http.get(http.head(path, headers=TUS).headers["Windlass-File"]).json()
    assert (record["original_filename"], record["declared_mime_type"]) == ("a.txt", "text/plain")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upload-Length": "1", "Upload-Defer-Length": "1"},
        {"Upload-Length": "1", "Upload-Metadata": "filename not-base64!"},
        {"Upload-Length": "1", "Upload-Metadata": "a YQ==,a Yg=="},
        {"Upload-Length": "1", "Upload-Metadata": "a YQ==,,b Yg=="},
        {"Upload-Length": "1", "Upload-Metadata": "sha256 YWJj"},
    ],
    ids=str,
)
def test_line_7_an_inconsistent_creation_is_refused(
    http: httpx.Client, stored_data: StoredData, headers: dict[str, str]
) -> None:
    before = stored_data.snapshot()
    refused = http.post("/files/", headers=TUS | headers)
    assert refused.status_code == 400, refused.text
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert not stored_data.added_since(before)


def test_line_7_an_unknown_profile_is_refused(http: httpx.Client, stored_data: StoredData) -> None:
    before = stored_data.snapshot()
    assert http.post("/files/", headers=TUS | {"Upload-Length": "1"} | metadata(profile="no")).status_code == 422
    assert not stored_data.added_since(before)


@pytest.mark.parametrize("pieces", [1, 2])
def test_line_7_bytes_that_do_not_match_the_declared_digest_fail_the_upload(
    http: httpx.Client, stored_data: StoredData, pieces: int
) -> None:
    right, files = os.urandom(2 * MB), stored_data.file_count()
    path = create(http, len(right), metadata(sha256=hashlib.sha256(right).hexdigest()))
    wrong = right[:-1] + bytes([right[-1] ^ 1])
    if pieces == 2:
        assert patch(http, path, 0, wrong[:MB]).status_code == 204
    refused = patch(http, path, MB * (pieces - 1), wrong[MB * (pieces - 1) :])
    assert refused.status_code == 422
    assert refused.json()["type"] == "/problems/checksum-mismatch"
    assert http.head(path, headers=TUS).status_code == 410
    assert stored_data.file_count() == files
    assert not stored_data.object_path(path).exists()
    good = create(http, len(right), metadata(sha256=hashlib.sha256(right).hexdigest()))
    assert patch(http, good, 0, right).status_code == 204


# Line 9: creation with bytes


@pytest.mark.parametrize("carried", [0, 3, 8])
def test_line_9_a_creation_stores_the_bytes_of_its_body(http: httpx.Client, carried: int) -> None:
    headers = PATCH | {"Upload-Length": "8"}
    created = http.post("/files/", headers=headers, content=b"abcdefgh"[:carried])
    assert created.status_code == 201
    assert created.headers["Upload-Offset"] == str(carried)
    path = created.headers["Location"]
    assert offset(http, path) == carried
    if carried < 8:
        assert patch(http, path, carried, b"abcdefgh"[carried:]).status_code == 204
    assert download_when_ready(http, path) == b"abcdefgh"


@pytest.mark.parametrize("arrives", [10, 2 * BATCH])
def test_line_9_an_interrupted_creation_can_be_resumed(
    http: httpx.Client, wire: Wire, stored_data: StoredData, arrives: int
) -> None:
    """The client never received the location; another one, which asks the back end, can resume it."""
    name, content = f"{uuid.uuid4()}.bin", os.urandom(arrives + 1)
    head = PATCH | {"Upload-Length": str(len(content)), "Content-Length": str(len(content))} | metadata(filename=name)
    wire.head("POST", "/files/", head, content[:arrives])
    eventually(lambda: stored_data.upload_paths(name))
    wire.close()
    (path,) = stored_data.upload_paths(name)
    eventually(lambda: offset(http, path) == arrives)
    assert patch(http, path, arrives, content[arrives:]).status_code == 204


# Line 12: termination


def test_line_12_termination_deletes_the_bytes(http: httpx.Client, stored_data: StoredData) -> None:
    path = create(http, 8)
    patch(http, path, 0, b"abcd")
    assert stored_data.object_path(path).exists()
    assert http.delete(path, headers=TUS).status_code == 204
    assert not stored_data.object_path(path).exists()
    for again in (http.head(path, headers=TUS), patch(http, path, 4, b"efgh"), http.delete(path, headers=TUS)):
        assert again.status_code == 410
    assert http.delete(f"/uploads/{uuid.uuid4()}", headers=TUS).status_code == 404


def test_line_12_termination_stops_a_running_patch(http: httpx.Client, wire: Wire, stored_data: StoredData) -> None:
    path = create(http, 2 * MB)
    wire.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Content-Length": str(2 * MB)}, os.urandom(MB))
    eventually(lambda: stored_data.session(path)["lease_holder"])
    assert http.delete(path, headers=TUS).status_code == 204
    assert wire.read_reply().status in (410, 423, 503)
    assert wire.is_closed_by_server()
    assert http.head(path, headers=TUS).status_code == 410
    eventually(lambda: not stored_data.object_path(path).exists())


def test_line_12_terminating_a_complete_upload_leaves_its_file(http: httpx.Client) -> None:
    path = create(http, 4)
    file = patch(http, path, 0, b"abcd").headers["Windlass-File"]
    assert http.delete(path, headers=TUS).status_code == 204
    assert http.head(path, headers=TUS).status_code == 404
    assert wait_until_processed(http, file)["status"] == "READY"
    assert http.get(f"{file}download/").content == b"abcd"


# Line 16: the request that completed the upload, once more


@pytest.mark.parametrize("size", [10, 2 * BATCH + 1])
def test_line_16_a_repeated_completing_request_gets_the_same_reply(
    http: httpx.Client, stored_data: StoredData, size: int
) -> None:
    content, path = os.urandom(size), create(http, size)
    patch(http, path, 0, content[:4])
    first = patch(http, path, 4, content[4:])
    files = stored_data.file_count()
    for again in (patch(http, path, 4, content[4:]), patch(http, path, size, b"")):
        assert again.status_code == 204
        for name in ("Upload-Offset", "Windlass-File"):
            assert again.headers[name] == first.headers[name]
    others = (content[4:-1] + bytes([content[-1] ^ 1]), content[4:-1], b"x" * (size - 4))
    for other in others:
        assert patch(http, path, 4, other).status_code == 409
    assert patch(http, path, 3, content[3:]).status_code == 409
    assert stored_data.file_count() == files
    assert download_when_ready(http, path) == content


def test_line_16_a_completing_creation_can_be_repeated_as_a_patch(http: httpx.Client, stored_data: StoredData) -> None:
    created = http.post("/files/", headers=PATCH | {"Upload-Length": "4"}, content=b"abcd")
    files, path = stored_data.file_count(), created.headers["Location"]
    assert patch(http, path, 0, b"abcd").headers["Windlass-File"] == created.headers["Windlass-File"]
    assert patch(http, path, 0, b"abce").status_code == 409
    assert stored_data.file_count() == files


def test_line_16_the_completing_request_of_a_duplicate_can_be_repeated(
    http: httpx.Client, stored_data: StoredData
) -> None:
    """The second upload's own bytes are deleted, so the repeated body is compared with the first file's bytes."""
    content = os.urandom(2000)
    for _ in range(2):
        path = create(http, len(content))
        first = patch(http, path, 0, content)
        record = wait_until_processed(http, first.headers["Windlass-File"])
    assert record["duplicate_of"]
    eventually(lambda: not stored_data.object_path(path).exists())
    again = patch(http, path, 0, content)
    assert (again.status_code, again.headers["Windlass-File"]) == (204, first.headers["Windlass-File"])
    assert patch(http, path, 0, content[::-1]).status_code == 409


# Line 17: two at one offset


@pytest.mark.parametrize("completes", [False, True])
def test_line_17_one_of_two_requests_at_one_offset_succeeds(
    http: httpx.Client, shared_server: ServerProcess, stored_data: StoredData, completes: bool
) -> None:
    for _ in range(10):
        bodies = [os.urandom(1000) for _ in range(2)]  # equal content of earlier files would be stored once
        path = create(http, 1000 if completes else 1001)
        replies = race(shared_server, path, bodies)
        assert sorted(replies)[0] == 204
        assert sorted(replies)[1] in (409, 423)
        assert stored_data.object_path(path).read_bytes() == bodies[replies.index(204)]
        assert offset(http, path) == 1000


def race(server: ServerProcess, path: str, bodies: list[bytes]) -> list[int]:
    """The statuses of these bodies sent to offset 0 at once, each on a connection of its own."""
    statuses = [0] * len(bodies)
    start = threading.Barrier(len(bodies))

    def run(number: int) -> None:
        body = bodies[number]
        with Wire(server.port) as wire:
            start.wait()
            wire.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Content-Length": str(len(body))}, body)
            statuses[number] = wire.read_reply().status

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


# Line 18: silence


def test_line_18_a_silent_client_gets_408_and_its_bytes_are_stored(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(RECEIVE_TIMEOUT="1")
    stored_data = StoredData(server)
    with connect(server) as http, Wire(server.port) as silent, Wire(server.port) as raw:
        path = create(http, 10)
        silent.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Content-Length": "10"}, b"abcd")
        raw.head("POST", "/files/?filename=half", {"Content-Length": "10"}, b"abcd")
        cut = silent.read_reply()
        assert (cut.status, cut.headers["tus-resumable"]) == (408, "1.0.0")
        assert silent.is_closed_by_server()
        assert stored_data.session(path)["lease_holder"] == ""
        assert offset(http, path) == 4
        assert patch(http, path, 4, b"efghij").status_code == 204
        assert raw.read_reply().status == 408
        assert raw.is_closed_by_server()
        assert stored_data.active_uploads() == 0
        assert stored_data.objects() == {stored_data.object_path(path)}


def test_line_18_a_slow_client_does_not_time_out(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(RECEIVE_TIMEOUT="3", MIN_RECEIVE_RATE="0")
    with connect(server) as http, Wire(server.port) as slow:
        path = create(http, 8)
        slow.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Content-Length": "8"})
        for byte in b"abcdefgh":
            slow.send(bytes([byte]))
            time.sleep(0.5)  # time is what is tested: the body takes longer than RECEIVE_TIMEOUT, without a silence
        assert slow.read_reply().status == 204
        assert download_when_ready(http, path) == b"abcdefgh"


# Uploads of other dialects, status and replies in general


def test_the_status_and_the_bytes_of_an_upload(http: httpx.Client) -> None:
    path = create(http, 8, metadata(filename="a.txt"))
    patch(http, path, 0, b"abcd")
    as_json = {"Accept": "application/json"}
    document = http.get(path, headers=as_json).json()
    assert (document["status"], document["protocol"]) == ("active", "tus")
    assert document["progress"]["bytes_received"] == 4
    assert http.get(path).status_code == 409
    patch(http, path, 4, b"efgh")
    document = http.get(f"{path}/", headers=as_json).json()
    assert document["status"] == "completed"
    assert http.get(f"/files/{document['file_id']}/").status_code == 200
    assert download_when_ready(http, path) == b"abcdefgh"
    assert http.get(path, headers={"Range": "bytes=2-4"}).content == b"cde"
    assert http.get(f"/uploads/{uuid.uuid4()}").status_code == 404


def test_a_trailing_slash_makes_no_difference(http: httpx.Client) -> None:
    for slash in ("", "/"):
        created = http.post(f"/files{slash}", headers=TUS | {"Upload-Length": "4"})
        path = created.headers["Location"] + slash
        assert offset(http, path) == 0
        assert patch(http, path, 0, b"abcd").status_code == 204
        assert http.delete(path, headers=TUS).status_code == 204


def test_tus_cannot_append_to_a_raw_upload_and_head_does_not_interrupt_it(
    http: httpx.Client, wire: Wire, shared_server: ServerProcess, stored_data: StoredData
) -> None:
    """HEAD does not interrupt it."""
    name, content = f"{uuid.uuid4()}.bin", os.urandom(2 * MB)
    wire.head("POST", f"/files/?filename={name}", {"Content-Length": str(2 * MB)}, content[:MB])
    (path,) = eventually(lambda: stored_data.upload_paths(name))
    assert patch(http, path, 0, b"x").status_code == 409
    assert http.head(path, headers=TUS).status_code == 200
    assert http.get(path, headers={"Accept": "application/json"}).json()["protocol"] == "raw"
    wire.send(content[MB:])
    reply = wire.read_reply()
    assert reply.status == 201
    assert download_when_ready(http, path) == content
    assert patch(http, path, 0, content).status_code == 409


def test_a_tus_delete_terminates_a_raw_upload(http: httpx.Client, wire: Wire, stored_data: StoredData) -> None:
    name, files = f"{uuid.uuid4()}.bin", stored_data.file_count()
    wire.head("POST", f"/files/?filename={name}", {"Content-Length": str(2 * MB)}, os.urandom(MB))
    (path,) = eventually(lambda: stored_data.upload_paths(name))
    assert http.delete(path, headers=TUS).status_code == 204
    refused = wire.read_reply()
    assert 400 <= refused.status < 600
    assert wire.is_closed_by_server()
    assert stored_data.file_count() == files
    eventually(lambda: not stored_data.object_path(path).exists())


@pytest.mark.parametrize("path", ["/", "/admin/login/", "/static/windlass/base.css", "/files/", "/no/such/page"])
def test_every_reply_has_the_request_id_and_nosniff(http: httpx.Client, path: str) -> None:
    reply = http.get(path, headers={"X-Request-ID": "mine-1"})
    assert reply.headers["x-request-id"] == "mine-1"
    assert reply.headers["x-content-type-options"] == "nosniff"
