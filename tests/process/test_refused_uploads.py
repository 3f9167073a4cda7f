"""Uploads that a real server refuses, also while their bytes still arrive, and missing credentials."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import httpx
import pytest

from tests.process.conftest import ServerProcess
from tests.process.wire import (
    MB,
    PATCH,
    TUS,
    Reply,
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

LIMIT = 4 * MB
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
END = b"\r\n--b--\r\n"


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("limited") / "home", MAX_UPLOAD_SIZE=str(LIMIT))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def target_server(limited: ServerProcess) -> ServerProcess:
    return limited


# Over the limit

OVER = {
    "raw": ("POST", "/files/", {"Content-Length": str(LIMIT + 1)}),
    "put": ("PUT", "/files/a.bin", {"Content-Length": str(10**15)}),
    "form": ("POST", "/files/?profile=default", FORM | {"Content-Length": str(3 * LIMIT)}),
    "batch": ("POST", "/files/batch/?profile=default", FORM | {"Content-Length": str(3 * LIMIT)}),
    "tus": ("POST", "/files/", PATCH | {"Upload-Length": str(LIMIT + 1), "Content-Length": str(LIMIT + 1)}),
}


@pytest.mark.parametrize("kind", OVER)
@pytest.mark.parametrize("expect", [{}, {"Expect": "100-continue"}], ids=["", "expect"])
def test_asvs_5_2_1_a_length_above_the_limit_is_refused_before_the_body_is_read(
    wire: Wire, stored_data: StoredData, kind: str, expect: dict[str, str]
) -> None:
    before = stored_data.snapshot()
    method, path, headers = OVER[kind]
    wire.head(method, path, headers | expect)
    refused = wire.read_reply()
    assert (refused.status, refused.got_100_continue) == (413, False)
    document = httpx.Response(200, content=refused.body).json()
    assert (document["type"], document["limit"]) == ("/problems/file-too-large", LIMIT)
    assert str(LIMIT) in document["detail"]
    assert wire.is_closed_by_server()
    assert not stored_data.added_since(before)


@pytest.mark.parametrize("size", [LIMIT + 1, 3 * LIMIT])
def test_asvs_5_2_1_a_chunked_body_above_the_limit_is_refused_while_it_arrives(
    http: httpx.Client, wire: Wire, stored_data: StoredData, size: int
) -> None:
    before = stored_data.snapshot()
    for headers, parts in (({}, (b"", b"")), (FORM, (PART, END))):
        with Wire(urlsplit(str(http.base_url)).port or 0) as connection:
            connection.head("POST", "/files/", headers | {"Transfer-Encoding": "chunked"})
            if parts[0]:
                connection.chunk(parts[0])
            refused = push(connection, size, parts[1])
            assert refused.status == 413
            assert httpx.Response(200, content=refused.body).json()["limit"] == LIMIT
            if "connection" in refused.headers:
                assert connection.is_closed_by_server()
    eventually(lambda: not stored_data.added_since(before))


def push(wire: Wire, size: int, end: bytes) -> Reply:
    """Send this many bytes in chunks, as far as the server reads them, and return its reply."""
    try:
        for start in range(0, size, MB):
            wire.chunk(bytes(min(MB, size - start)))
        wire.chunk(end) if end else None
        wire.chunk(b"")
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has answered and closed: the answer is there all the same
    return wire.read_reply()


def test_a_body_of_exactly_the_limit_is_accepted(http: httpx.Client) -> None:
    content = os.urandom(LIMIT)
    path = create(http, LIMIT)
    assert patch(http, path, 0, content).status_code == 204
    assert http.post("/files/", content=content).status_code == 201
    assert http.post("/files/", headers=FORM, content=PART + content + END).status_code == 201


def test_a_form_without_a_profile_has_the_default_limit_at_its_first_file(wire: Wire, stored_data: StoredData) -> None:
    """A field could name a profile with a higher limit; once the file begins, none can."""
    before = stored_data.snapshot()
    wire.head("POST", "/files/", FORM | {"Content-Length": str(3 * LIMIT)}, PART)
    refused = wire.read_reply()
    assert refused.status == 413
    assert httpx.Response(200, content=refused.body).json()["limit"] == LIMIT
    assert not stored_data.added_since(before)


def test_a_form_is_refused_by_the_size_of_its_file_and_not_by_its_own_length(
    http: httpx.Client, stored_data: StoredData
) -> None:
    """The head of a form a little over the limit may be all right; its file is not."""
    before = stored_data.snapshot()
    refused = http.post("/files/", headers=FORM, content=PART + bytes(LIMIT + 1) + END)
    assert refused.status_code == 413
    assert refused.json()["limit"] == LIMIT
    assert not stored_data.added_since(before)


# The answer while bytes still come


def refusals(http: httpx.Client) -> dict[str, tuple[str, str, Mapping[str, str], int]]:
    path = create(http, LIMIT)
    return {
        "an unknown upload": ("PATCH", f"/uploads/{uuid.uuid4()}", PATCH | {"Upload-Offset": "0"}, 404),
        "a wrong offset": ("PATCH", path, PATCH | {"Upload-Offset": "1"}, 409),
        "a wrong type": ("PATCH", path, TUS | {"Upload-Offset": "0"}, 415),
        "no version": ("PATCH", path, {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}, 412),
        "too long": ("POST", "/files/", {}, 413),
        "a foreign host": ("POST", "/files/", {"Host": "evil.example"}, 400),
        "a foreign page": ("POST", "/files/", {"Origin": "https://evil.example"}, 403),
        "no such path": ("POST", "/files/x/y/z", {}, 404),
        "no such method": ("PUT", path, {}, 405),
        "a record call": ("POST", f"/files/{uuid.uuid4()}/signed-url/", {}, 413),
        "a broken form": ("POST", "/files/", FORM, 400),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "an unknown upload",
        "a wrong offset",
        "a wrong type",
        "no version",
        "too long",
        "a foreign host",
        "a foreign page",
        "no such path",
        "no such method",
        "a record call",
        "a broken form",
    ],
)
def test_a_refused_client_receives_the_whole_reply_before_the_connection_closes(
    http: httpx.Client, wire: Wire, kind: str
) -> None:
    """More is sent than fits any buffer between the two: closing at once would reset the connection."""
    method, path, headers, status = refusals(http)[kind]
    size = 5 * MB if kind == "a broken form" else 20 * MB
    wire.head(method, path, dict(headers) | {"Content-Length": str(size)})
    wire.send(bytes(size))
    refused = wire.read_reply()
    assert refused.status == status, refused
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["connection"] == "close"
    assert httpx.Response(200, content=refused.body).json()["status"] == status
    assert wire.is_closed_by_server()


def test_a_refused_small_request_keeps_its_connection(http: httpx.Client, wire: Wire) -> None:
    path = create(http, 4)
    for at, status in (("1", 409), ("0", 204)):
        wire.head("PATCH", path, PATCH | {"Upload-Offset": at, "Content-Length": "4"}, b"abcd")
        assert wire.read_reply().status == status
    wire.head("HEAD", path, TUS)
    assert wire.read_reply().headers["upload-offset"] == "4"


def test_a_client_gets_100_continue_once_it_is_admitted(http: httpx.Client, wire: Wire) -> None:
    path = create(http, 4)
    wire.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Content-Length": "4", "Expect": "100-continue"})
    assert wire._reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert wire._reader.readline() == b"\r\n"
    wire.send(b"abcd")
    assert wire.read_reply().status == 204


# Bad heads


@pytest.mark.parametrize(
    ("method", "path", "headers", "statuses"),
    [
        ("POST", "/files/", TUS | {"Upload-Length": "1" * 31}, {413}),
        ("POST", "/files/", TUS | {"Upload-Length": "-5"}, {400}),
        ("POST", "/files/", TUS | {"Upload-Length": "5", "Upload-Metadata": "filename %%%"}, {400}),
        ("POST", "/files/", TUS | {"Upload-Length": "5", "Upload-Concat": "whole"}, {400}),
        ("POST", "/files/", TUS | {"Upload-Length": "5", "Content-Encoding": "gzip"}, {201, 415}),
        ("POST", "/files/", TUS | {"Upload-Complete": "?1"}, {400}),
        ("POST", "/files/", {"Upload-Offset": "0"}, {400}),
        ("POST", "/files/", FORM | {"Upload-Complete": "?1"}, {400}),
        ("POST", "/files/", {"Content-Encoding": "gzip"}, {415}),
        ("POST", "/files/", {"Content-Range": "bytes 5-9/10"}, {400}),
        ("POST", "/files/", {"Content-Type": "multipart/form-data"}, {400}),
        ("POST", "/files/?metadata=%5B%5D", {}, {400}),
        ("POST", "/files/?metadata=%7Bx", {}, {400}),
        ("POST", "/files/?profile=none", {}, {422}),
        ("POST", "/files/?reference=" + "r" * 300, {}, {400}),
        ("PUT", "/files/a.bin", FORM, {415}),
        ("PATCH", "/uploads/not-an-id", PATCH | {"Upload-Offset": "0"}, {404}),
        ("PATCH", f"/uploads/{uuid.uuid4()}", PATCH, {400}),
        ("PATCH", f"/uploads/{uuid.uuid4()}", {"Content-Type": "application/partial-upload"}, {400}),
    ],
)
def test_a_bad_head_is_a_documented_problem(
    wire: Wire, stored_data: StoredData, method: str, path: str, headers: dict[str, str], statuses: set[int]
) -> None:
    before = stored_data.file_count()
    wire.head(method, path, headers | {"Content-Length": "0", "X-Request-ID": "abc-123"})
    reply = wire.read_reply()
    assert reply.status in statuses, reply
    if reply.status >= 400:
        document = httpx.Response(200, content=reply.body).json()
        assert document["type"].startswith("/problems/")
        assert (document["status"], document["request_id"]) == (reply.status, "abc-123")
        assert document["detail"]
    assert stored_data.file_count() == before


@pytest.mark.parametrize("length", ["-1", "x", "1" * 40, "5, 6"])
def test_an_invalid_content_length_closes_the_connection(limited: ServerProcess, length: str) -> None:
    with Wire(limited.port) as wire:
        wire.head("POST", "/files/", {"Content-Length": length}, b"abc")
        assert wire.read_reply().status in (400, 413)
        assert wire.is_closed_by_server()


# Every reply


def test_every_reply_has_a_request_id_and_nosniff(http: httpx.Client) -> None:
    path = create(http, 4)
    for reply in (
        http.head(path, headers=TUS),
        http.options("/files/"),
        patch(http, path, 9, b""),
        http.post("/files/", content=b"x"),
        http.get("/files/"),
        http.get("/livez"),
        http.get(f"/files/{uuid.uuid4()}/"),
    ):
        assert reply.headers["X-Content-Type-Options"] == "nosniff", reply.request.url
        assert len(reply.headers["X-Request-ID"]) >= 8


def test_a_valid_request_id_is_echoed_and_an_invalid_one_replaced(http: httpx.Client) -> None:
    for offered in ("abc-123", "A.b_c"):
        for path in ("/files/", "/livez", f"/files/{uuid.uuid4()}/"):
            assert http.get(path, headers={"X-Request-ID": offered}).headers.get_list("X-Request-ID") == [offered]
    for offered in ("a b", "x" * 129, "<script>", ""):
        (made,) = http.get("/files/", headers={"X-Request-ID": offered}).headers.get_list("X-Request-ID")
        assert made != offered


# Who may


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "a b"])
def test_a_foreign_host_is_refused_on_both_planes(limited: ServerProcess, host: str) -> None:
    for method, path in (("POST", "/files/"), ("GET", "/files/"), ("GET", "/livez")):
        with Wire(limited.port) as wire:
            wire.head(method, path, {"Host": host, "Content-Length": "0"})
            reply = wire.read_reply()
            assert reply.status == 400, (method, path)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
def test_another_origin_is_refused_in_open_mode(http: httpx.Client, stored_data: StoredData, origin: str) -> None:
    path = create(http, 4)
    before = stored_data.snapshot()
    foreign = {"Origin": origin}
    for refused in (
        http.post("/files/", headers=foreign, content=b"x"),
        http.post("/files/", headers=foreign | FORM, content=PART + b"x" + END),
        http.post("/files/", headers=foreign | TUS | {"Upload-Length": "1"}),
        patch(http, path, 0, b"abcd", **foreign),
        http.delete(path, headers=TUS | foreign),
        http.post(f"/files/{uuid.uuid4()}/release/", headers=foreign),
    ):
        assert refused.status_code == 403, refused.request
    assert not stored_data.added_since(before)
    assert offset(http, path) == 0
    own = {"Origin": str(http.base_url).rstrip("/")}
    assert patch(http, path, 0, b"abcd", **own).status_code == 204


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("private") / "home", AUTH_MODE="required")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def people(private: ServerProcess) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Ann and Ben, each with a token."""
    made = [private.command("token", "create", "--user", name) for name in ("ann", "ben")]
    assert all(done.returncode == 0 for done in made), made[0].stderr
    ann, ben = ({"Authorization": f"Bearer {done.stdout.strip()}"} for done in made)
    with connect(private, headers=ann) as first, connect(private, headers=ben) as second:
        yield first, second


def test_without_a_credential_nothing_is_stored(private: ServerProcess) -> None:
    stored_data = StoredData(private)
    with connect(private) as http:
        for refused in (
            http.post("/files/", content=b"x"),
            http.post("/files/", headers=FORM, content=PART + b"x" + END),
            http.post("/files/", headers=TUS | {"Upload-Length": "1"}),
            http.head(f"/uploads/{uuid.uuid4()}", headers=TUS),
            http.get("/files/"),
            http.post("/files/", headers={"Authorization": "Bearer wrong"}, content=b"x"),
            http.post("/files/", headers={"Authorization": b"Bearer \xe9"}, content=b"x"),
        ):
            assert refused.status_code == 401
            assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert http.options("/files/").status_code == 204
        assert http.get("/livez").status_code == 200
    assert stored_data.snapshot() == (set(), set(), set())


def test_without_a_credential_there_is_no_100_continue(private: ServerProcess) -> None:
    with Wire(private.port) as wire:
        wire.head("POST", "/files/", {"Content-Length": "1000000", "Expect": "100-continue"})
        refused = wire.read_reply()
        assert (refused.status, refused.got_100_continue) == (401, False)


def test_another_users_upload_is_not_found(private: ServerProcess, people: tuple[httpx.Client, httpx.Client]) -> None:
    ann, ben = people
    path = create(ann, 8, metadata(filename="mine.txt"))
    patch(ann, path, 0, b"abcd")
    as_json = {"Accept": "application/json"}
    for refused in (
        ben.head(path, headers=TUS),
        patch(ben, path, 4, b"efgh"),
        ben.delete(path, headers=TUS),
        ben.get(path, headers=as_json),
        ben.get(path),
    ):
        assert refused.status_code == 404
    unknown = ben.get(f"/uploads/{uuid.uuid4()}", headers=as_json).json()
    other = ben.get(path, headers=as_json).json()
    assert unknown.keys() == other.keys()
    assert unknown["title"] == other["title"]
    assert patch(ann, path, 4, b"efgh").status_code == 204
    file = ann.head(path, headers=TUS).headers["Windlass-File"]
    assert wait_until_processed(ann, file)["status"] == "READY"
    for mine in (file, f"{file}download/", f"{file}status/", path):
        assert ben.get(mine).status_code == 404
    assert ben.get("/files/").json()["results"] == []
    assert len(ann.get("/files/").json()["results"]) == 1
    assert patch(ben, path, 4, b"efgh").status_code == 404, "nor can its last request be repeated"


def test_a_half_closed_connection_stores_what_it_sent(limited: ServerProcess) -> None:
    """A client that shuts its sending side down in the middle of a body has gone."""
    with Wire(limited.port) as wire, connect(limited) as http:
        path = create(http, 8)
        wire.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Content-Length": "8"}, b"abcd")
        wire.socket.shutdown(socket.SHUT_WR)
        eventually(lambda: offset(http, path) == 4)


# Headers of every reply to a tus client

NOT_OURS = [
    ("HEAD", "/uploads/x", 404),
    ("PATCH", "/uploads/", 404),
    ("GET", "/uploads/", 404),
    ("POST", "/nope/", 404),
    ("GET", "/files/none/", 404),
    ("DELETE", "/files/", 405),
    ("PUT", "/api/v1/upload/init", 405),
    ("POST", "/admin/login/", 403),
    ("HEAD", "/livez", 200),
]


@pytest.mark.parametrize(("method", "path", "status"), NOT_OURS)
def test_line_1_every_reply_to_a_tus_request_has_tus_resumable(
    http: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = http.request(method, path, headers=TUS)
    assert answer.status_code == status, answer.text
    assert answer.headers.get_list("Tus-Resumable") == ["1.0.0"]
    assert "Tus-Resumable" not in http.request(method, path).headers or path.startswith("/uploads/x")


def test_line_1_refusals_before_routing_have_tus_resumable(http: httpx.Client) -> None:
    host = http.get("/files/", headers=TUS | {"Host": "elsewhere.example"})
    large = http.post("/uploads/grants/", headers=TUS, content=bytes(5 * MB))
    assert (host.status_code, large.status_code) == (400, 413)
    for answer in (host, large):
        assert answer.headers.get_list("Tus-Resumable") == ["1.0.0"]
    assert "Tus-Resumable" not in http.options("/files/", headers=TUS).headers


# Lengths

SIZES = ["9" * 30, "9" * 31, "9" * 300, str(2**63), "0" * 50 + str(2**64)]


@pytest.mark.parametrize("size", SIZES)
def test_a_length_beyond_every_limit_is_413_in_every_dialect(
    http: httpx.Client, stored_data: StoredData, size: str
) -> None:
    before, number = stored_data.snapshot(), int(size)
    init = {"filename": "a", "total_size": number, "mime_type": ""}
    media = {"file_name": "a.mp4", "file_size": number, "content_type": "video/mp4"}
    deferred = http.post("/files/", headers=TUS | {"Upload-Defer-Length": "1"}).headers["Location"]
    for answer in (
        http.post("/files/", headers=TUS | {"Upload-Length": size}),
        patch(http, deferred, 0, b"a", **{"Upload-Length": size}),
        http.post("/api/v1/upload/init", json=init),
        http.post("/api/v1/media/upload/init", json=media),
    ):
        assert answer.status_code == 413, answer.text
        assert answer.json()["type"] == "/problems/file-too-large"
    assert http.delete(deferred, headers=TUS).status_code == 204
    assert not stored_data.added_since(before)


def test_a_creation_with_an_empty_chunked_body_creates_an_upload(http: httpx.Client, wire: Wire) -> None:
    partial = create(http, 1, {"Upload-Concat": "partial"})
    patch(http, partial, 0, b"a")
    final = {"Upload-Concat": f"final;{partial}"}
    for fields in ({"Upload-Length": "5"}, {"Upload-Defer-Length": "1"}, PATCH | {"Upload-Length": "5"}, final):
        wire.head("POST", "/files/", TUS | fields | {"Transfer-Encoding": "chunked"})
        wire.chunk(b"")
        reply = wire.read_reply()
        assert reply.status == 201, reply.body
        if fields is not final:
            assert offset(http, reply.headers["location"]) == 0
    wire.head("POST", "/files/", TUS | {"Upload-Length": "5", "Transfer-Encoding": "chunked"})
    wire.chunk(b"abcde")
    wire.chunk(b"")
    assert wire.read_reply().status == 415


@pytest.mark.parametrize("size", [5, MB + 5])
@pytest.mark.parametrize("more", [1, 2 * MB])
def test_line_5_a_chunked_body_beyond_the_length_is_413_and_stored_up_to_it(
    http: httpx.Client, size: int, more: int
) -> None:
    path, content = create(http, size), os.urandom(size + more)
    answer = patch(http, path, 0, iter([content[:size], content[size:]]))
    assert answer.status_code == 413, answer.text
    assert answer.json()["limit"] == size
    assert http.head(path, headers=TUS).headers["Upload-Offset"] == str(size)
    assert download_when_ready(http, path) == content[:size]


@pytest.mark.parametrize("size", [0, 5])
def test_a_complete_upload_refuses_further_bytes(http: httpx.Client, size: int) -> None:
    path, content = create(http, size), os.urandom(size)
    if size:
        assert patch(http, path, 0, content).status_code == 204
    for body in (b"x", iter([b"x"]), os.urandom(2 * MB)):
        refused = patch(http, path, size, body)
        assert refused.status_code == 413, refused.text
        assert refused.json()["limit"] == size
    assert patch(http, path, 0, content + b"x").status_code == 413
    assert patch(http, path, size, b"").status_code == 204
    assert patch(http, path, 0, content).status_code == 204
    if size:
        assert patch(http, path, 0, b"x" * size).status_code == 409
        assert patch(http, path, 1, content[1:]).status_code == 409


def test_line_25_only_the_completing_request_can_be_repeated(http: httpx.Client) -> None:
    headers = {"Content-Type": "application/partial-upload", "Upload-Complete": "?1"}

    def append(path: str, at: int, content: bytes, **more: str) -> httpx.Response:
        return http.patch(path, headers=headers | {"Upload-Offset": str(at)} | more, content=content)

    with_bytes, empty = (
        http.post("/files/", headers={"Upload-Complete": "?0"}, content=b"abc").headers["Location"] for _ in range(2)
    )
    assert append(with_bytes, 3, b"de").status_code == 201
    assert append(empty, 3, b"").status_code == 201
    assert append(with_bytes, 3, b"de").status_code == 201
    assert append(empty, 3, b"").status_code == 201
    whole = http.post("/files/", headers={"Upload-Complete": "?1"}, content=b"abc").headers["Location"]
    for path, at, content in (
        (with_bytes, 5, b""),
        (with_bytes, 3, b"df"),
        (with_bytes, 5, b"x"),
        (empty, 0, b"abc"),
        (empty, 3, b"x"),
        (whole, 3, b""),
    ):
        refused = append(path, at, content)
        assert refused.status_code == 400, (at, content, refused.text)
        assert refused.json()["type"].endswith("#completed-upload")


# A creation that breaks off

BEGUN = {"tus": PATCH | {"Upload-Length": "100"}, "ietf": {"Upload-Complete": "?1", "Upload-Length": "100"}}


@pytest.mark.parametrize("dialect", BEGUN)
@pytest.mark.parametrize("reason", ["silence", "past the length", "wrong digest"])
def test_line_9_an_interrupted_creation_returns_location_and_offset(
    silent: ServerProcess, dialect: str, reason: str
) -> None:
    body = {"silence": b"x" * 40, "past the length": b"x" * 140, "wrong digest": b"x" * 100}[reason]
    wrong = {"Upload-Checksum": "crc32 AAAAAA=="} if dialect == "tus" else {"Content-Digest": f"sha-256=:{'A' * 43}=:"}
    if (dialect, reason) == ("ietf", "past the length"):
        pytest.skip("from version 8 on, a body beyond the length invalidates the upload")
    with Wire(silent.port) as wire, connect(silent) as http:
        fields = BEGUN[dialect] | (wrong if reason == "wrong digest" else {})
        wire.head("POST", "/files/", fields | {"Transfer-Encoding": "chunked"})
        wire.chunk(body)
        if reason != "silence":
            wire.chunk(b"")
        answer = wire.read_reply()
        assert answer.status == {"silence": 408, "past the length": 413}.get(reason, 460 if dialect == "tus" else 400)
        path = answer.headers.get("location")
        if reason == "past the length":
            assert path is None, "it is complete"
            return
        assert path is not None
        at = {"silence": 40, "wrong digest": 0}[reason]
        assert answer.headers["upload-offset"] == str(at)
        method = PATCH if dialect == "tus" else {"Content-Type": "application/partial-upload", "Upload-Complete": "?1"}
        rest = http.patch(path, headers=method | {"Upload-Offset": str(at)}, content=b"x" * (100 - at))
        assert rest.status_code < 300, rest.text


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("silent") / "home", RECEIVE_TIMEOUT="1")
    server.start()
    yield server
    server.kill()
