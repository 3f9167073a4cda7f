"""Uploads in numbered chunks against a real server (http-api section 3)."""

from __future__ import annotations

import base64
import json
import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.process.chunk_client import API, ChunkUpload, digest, problem
from tests.process.conftest import ServerProcess
from tests.process.wire import MB, TUS, StoredData, Wire, connect, eventually

KB = 1024


def bytes_of(http: httpx.Client, completed: dict[str, Any]) -> bytes:
    """Return the stored bytes once they are served."""

    def look() -> httpx.Response | None:
        answer = http.get(completed["file_path"])
        return answer if answer.status_code != 409 else None

    answer = eventually(look)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_chunks_in_random_order_sent_twice_and_corrupted_make_the_file(shared_server: ServerProcess) -> None:
    """200 chunks in random order over 8 connections, 5 % of them sent twice and 2 % corrupted."""
    chance = random.Random(7)
    data = chance.randbytes(200 * 512 * KB - 1000)
    with connect(shared_server) as first:
        upload = ChunkUpload.create(first, data, 512 * KB, file_hash=digest(data))
        assert upload.total == 200
        jobs = list(range(200)) + chance.sample(range(200), 10)
        chance.shuffle(jobs)
        corrupted = set(chance.sample(range(200), 4))
        clients = [connect(shared_server) for _ in range(8)]
        free = list(clients)

        def bring(index: int) -> None:
            client = free.pop()
            mine = ChunkUpload(client, data, upload.chunk_size, upload.id, upload.total)
            right = mine.chunk(index)
            if index in corrupted:
                wrong = right[:-1] + bytes([right[-1] ^ 1])
                problem(mine.put(index, wrong, X_Checksum_SHA256=digest(right)), 422, "checksum-mismatch")
            answer = mine.put(index, X_Checksum_SHA256=digest(right)) if index % 4 else mine.send(index)
            assert answer.status_code == 200, answer.text
            assert answer.json()["received"] is True
            free.append(client)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(bring, jobs))
        for client in clients:
            client.close()
        assert upload.status()["progress"]["percentage"] == 100.0
        answer = upload.complete()
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert (document["status"], document["size"], document["checksum"]) == ("completed", len(data), digest(data))
        assert digest(bytes_of(first, document)) == digest(data)
        assert upload.complete().json()["file_id"] == document["file_id"]


def test_acknowledged_chunks_survive_a_killed_server(server: ServerProcess) -> None:
    data = os.urandom(24 * MB)
    acknowledged: set[int] = set()
    with connect(server) as http:
        upload = ChunkUpload.create(http, data, MB)
    dying = threading.Event()

    def bring(index: int) -> None:
        try:
            with connect(server) as client:
                answer = ChunkUpload(client, data, MB, upload.id, upload.total).put(index)
                if answer.status_code == 200:
                    acknowledged.add(index)
        except httpx.TransportError:
            assert dying.is_set()

    with ThreadPoolExecutor(4) as pool:
        for index in random.Random(3).sample(range(24), 24):
            pool.submit(bring, index)
        eventually(lambda: len(acknowledged) >= 6)
        dying.set()
        server.kill()
    server.start()
    with connect(server) as http:
        upload.http = http
        progress = upload.status()["progress"]
        assert set(progress["received_chunks"]) >= acknowledged
        for index in progress["missing_chunks"]:
            assert upload.put(index).status_code == 200
        document = upload.complete().json()
        assert document["checksum"] == digest(data)
        assert bytes_of(http, document) == data


def test_raw_and_json_chunks_and_every_spelling_of_a_checksum_are_equivalent(
    http: httpx.Client, stored_data: StoredData
) -> None:
    data = os.urandom(10 * KB)
    upload = ChunkUpload.create(
        http, data, 4 * KB, filename="../räum\r\nlich.txt", mime_type="text/plain", reference=17
    )
    first = upload.send(2, checksum=digest(upload.chunk(2)).upper())
    assert first.json() == {
        "upload_id": upload.id,
        "chunk_index": 2,
        "received": True,
        "duplicate": False,
        "progress": {
            "received_chunks": [2],
            "missing_chunks": [0, 1],
            "received_count": 1,
            "total_chunks": 3,
            "bytes_received": 2 * KB,
            "percentage": 20.0,
        },
    }
    assert upload.send(2).json()["duplicate"] is True
    assert upload.put(2).json()["duplicate"] is True
    field = f"sha-256=:{base64.b64encode(bytes.fromhex(digest(upload.chunk(0)))).decode()}:"
    assert upload.put(0, Content_Digest=field).status_code == 200
    problem(upload.complete(), 409, "conflict", missing_chunks=[1], missing_count=1)
    assert upload.put(1).status_code == 200
    answer = http.post(
        f"{API}/complete",
        content=json.dumps({"upload_id": upload.id}),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    document = answer.json()
    assert set(document) == {
        "upload_id",
        "status",
        "file_id",
        "filename",
        "size",
        "checksum",
        "mime_type",
        "file_path",
    }
    assert (document["filename"], document["mime_type"]) == ("räumlich.txt", "text/plain")
    record = http.get(f"/files/{document['file_id']}/").json()
    assert (record["reference"], record["checksum"]) == ("17", digest(data))
    status = upload.status()
    assert (status["status"], status["file_id"], status["is_expired"]) == ("completed", document["file_id"], False)
    assert "protocol" not in status
    seen = http.get(f"/uploads/{upload.id}", headers={"Accept": "application/json"}).json()
    assert seen == status | {"protocol": "chunks"}
    assert upload.put(1).json()["duplicate"] is True
    problem(upload.put(1, bytes(4 * KB)), 409, "conflict")
    problem(upload.cancel(), 409, "conflict")


def test_an_empty_file_has_no_chunks(http: httpx.Client) -> None:
    upload = ChunkUpload.create(http, b"", 4 * KB)
    assert upload.total == 0
    document = upload.complete().json()
    assert (document["status"], document["size"], document["checksum"]) == ("completed", 0, digest(b""))


def test_a_wrong_file_hash_fails_the_upload(http: httpx.Client, stored_data: StoredData) -> None:
    data = os.urandom(3000)
    upload = ChunkUpload.create(http, data, 1024, file_hash=digest(b"something else"))
    for index in range(3):
        assert upload.put(index).status_code == 200
    place = stored_data.object_path(upload.id)
    assert place.exists()
    for _ in range(2):
        problem(upload.complete(), 422, "checksum-mismatch", expected=digest(b"something else"), actual=digest(data))
    assert upload.status()["status"] == "failed"
    problem(upload.put(0), 410, "upload-gone")
    assert not place.exists()


def test_of_different_bytes_for_one_chunk_the_first_accepted_stay(http: httpx.Client, stored_data: StoredData) -> None:
    """Eight clients send eight different chunks 0 at once: one is accepted, and its bytes are stored."""
    bodies = [bytes([number]) * (2 * MB) for number in range(8)]
    upload = ChunkUpload.create(http, bytes(2 * MB), 2 * MB)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: upload.put(0, body), bodies))
    taken = [body for body, answer in zip(bodies, answers, strict=True) if answer.status_code == 200]
    assert len(taken) == 1
    assert {answer.status_code for answer in answers} == {200, 409}
    assert stored_data.object_path(upload.id).read_bytes() == taken[0]
    assert upload.complete().json()["checksum"] == digest(taken[0])


def test_equal_chunks_sent_at_once_are_duplicates_of_the_first(http: httpx.Client) -> None:
    data = os.urandom(3 * MB)
    upload = ChunkUpload.create(http, data, 3 * MB)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: upload.put(0), range(6)))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert sorted(answer.json()["duplicate"] for answer in answers) == [False] + [True] * 5


def test_concurrent_complete_calls_create_one_file(http: httpx.Client, stored_data: StoredData) -> None:
    data = os.urandom(20 * MB)
    upload = ChunkUpload.create(http, data, 5 * MB)
    for index in range(4):
        assert upload.put(index).status_code == 200
    before = stored_data.file_count()
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: upload.complete(), range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len({answer.json()["file_id"] for answer in answers}) == 1
    assert stored_data.file_count() == before + 1


def test_a_chunk_is_resent_while_a_dead_connection_still_holds_its_claim(
    shared_server: ServerProcess, http: httpx.Client, stored_data: StoredData
) -> None:
    """Half a chunk arrives over a connection that then goes silent; the chunk is sent again over another one."""
    data = os.urandom(3 * MB)
    upload = ChunkUpload.create(http, data, 3 * MB)
    with Wire(shared_server.port) as dead:
        dead.head("PUT", f"{API}/{upload.id}/chunks/0", {"Content-Length": str(3 * MB)}, data[: 2 * MB])
        eventually(
            lambda: stored_data.object_path(upload.id).read_bytes()[:MB] == data[:MB]
        )  # it has begun to write the chunk
        assert upload.put(0).status_code == 200
        assert dead.read_reply().status == 423
    assert upload.complete().json()["checksum"] == digest(data)


def test_an_interrupted_chunk_body_is_not_received(
    shared_server: ServerProcess, http: httpx.Client, stored_data: StoredData
) -> None:
    data = os.urandom(3 * MB)
    upload = ChunkUpload.create(http, data, 3 * MB)
    with Wire(shared_server.port) as dying:
        dying.head("PUT", f"{API}/{upload.id}/chunks/0", {"Content-Length": str(3 * MB)}, data[: 2 * MB])
    assert upload.status()["progress"]["received_chunks"] == []
    assert upload.put(0).json()["duplicate"] is False
    assert upload.complete().json()["checksum"] == digest(data)


def test_cancelling_deletes_the_bytes_and_is_repeatable(http: httpx.Client, stored_data: StoredData) -> None:
    upload = ChunkUpload.create(http, os.urandom(3000), 1024)
    upload.put(1)
    for _ in range(2):
        answer = upload.cancel()
        assert (answer.status_code, answer.json()) == (200, {"upload_id": upload.id, "status": "cancelled"})
    assert not stored_data.object_path(upload.id).exists()
    assert upload.status()["status"] == "cancelled"
    problem(upload.put(0), 410, "upload-gone", upload_status="cancelled")
    problem(upload.complete(), 410, "upload-gone")
    other = ChunkUpload.create(http, os.urandom(3000), 1024)
    assert http.delete(f"/uploads/{other.id}", headers=TUS).status_code == 204
    assert other.status()["status"] == "cancelled"


def test_tus_cannot_append_to_a_chunked_upload_nor_chunks_to_a_tus_upload(http: httpx.Client) -> None:
    upload = ChunkUpload.create(http, os.urandom(3000), 1024)
    tus = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    problem(http.patch(f"/uploads/{upload.id}", headers=tus, content=b"x"), 409, "conflict")
    created = http.post("/files/", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "10"})
    path = created.headers["Location"]
    problem(http.put(f"{API}/{path.rpartition('/')[2]}/chunks/0", content=b"0123456789"), 409, "conflict")


def test_an_expired_upload_is_reported_and_later_deleted(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(UPLOAD_TTL_HOURS="0.0004", SESSION_RETENTION_HOURS="0.001", SWEEP_SECONDS="0.3")
    with connect(server) as http:
        upload = ChunkUpload.create(http, os.urandom(3000), 1024)
        eventually(lambda: upload.status()["is_expired"])
        assert upload.status()["status"] == "expired"
        problem(upload.put(0), 410, "upload-gone", upload_status="expired")
        problem(upload.cancel(), 410, "upload-gone")
        eventually(lambda: not StoredData(server).objects())
        eventually(lambda: http.get(f"{API}/status/{upload.id}").status_code == 404)


def test_another_users_upload_is_not_found(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(AUTH_MODE="required")
    tokens = [server.command("token", "create", "--user", name).stdout.strip() for name in ("one", "two")]
    one, two = (connect(server, headers={"Authorization": f"Bearer {token}"}) for token in tokens)
    with one, two, connect(server) as nobody:
        upload = ChunkUpload.create(one, os.urandom(3000), 1024)
        theirs = ChunkUpload(two, upload.data, 1024, upload.id, upload.total)
        problem(theirs.put(0), 404, "not-found")
        problem(theirs.send(0), 404, "not-found")
        problem(theirs.complete(), 404, "not-found")
        problem(theirs.cancel(), 404, "not-found")
        problem(two.get(f"{API}/status/{upload.id}"), 404, "not-found")
        problem(nobody.get(f"{API}/status/{upload.id}"), 401, "unauthenticated")
        problem(
            nobody.post(f"{API}/init", json={"filename": "a", "total_size": 1, "mime_type": ""}), 401, "unauthenticated"
        )
        assert upload.status()["progress"]["received_count"] == 0


GOOD = {"filename": "a.bin", "total_size": 10, "mime_type": "text/plain"}
INITS: list[tuple[Any, int, str]] = [
    ("{", 400, "bad-request"),
    ("", 400, "bad-request"),
    ('{"total_size": NaN}', 400, "bad-request"),
    ("[" * 100_000, 413, "body-too-large"),
    ("[" * 10_000, 400, "bad-request"),
    (b"\xff\xfe", 400, "bad-request"),
    ("[]", 422, "invalid-field"),
    ("null", 422, "invalid-field"),
    *((json.dumps({k: v for k, v in GOOD.items() if k != name}), 422, "invalid-field") for name in GOOD),
    *(
        (json.dumps(GOOD | {name: value}), 422, "invalid-field")
        for name, value in (
            ("total_size", -1),
            ("total_size", "10"),
            ("total_size", 10.0),
            ("total_size", True),
            ("total_size", None),
            ("filename", 5),
            ("filename", None),
            ("filename", "a\0b"),
            ("mime_type", 5),
            ("file_hash", "abc"),
            ("file_hash", 5),
            ("chunk_size", 0),
            ("chunk_size", -5),
            ("chunk_size", "5"),
            ("profile", "no-such-profile"),
            ("profile", ["default"]),
            ("reference", "x" * 256),
            ("reference", "a\nb"),
        )
    ),
    *((json.dumps(GOOD | {"total_size": size}), 413, "file-too-large") for size in (2**62, 10**30)),
    (json.dumps(GOOD | {"total_size": 2**32, "chunk_size": 1024}), 422, "invalid-field"),
    (json.dumps(GOOD | {"filename": "x" * 70_000}), 413, "body-too-large"),
]


@pytest.mark.parametrize(("body", "status", "slug"), INITS)
def test_an_invalid_init_call_stores_nothing(
    http: httpx.Client, stored_data: StoredData, body: str, status: int, slug: str
) -> None:
    before = stored_data.snapshot()
    problem(http.post(f"{API}/init", content=body), status, slug)
    assert not stored_data.added_since(before)


def test_invalid_chunks_store_nothing(http: httpx.Client, stored_data: StoredData) -> None:
    upload = ChunkUpload.create(http, os.urandom(10_000), 4096)
    place = stored_data.object_path(upload.id)
    good = {"upload_id": upload.id, "chunk_index": 0, "chunk_data": "QUJD"}
    for change, status, slug in (
        ({"chunk_data": "!!!!"}, 400, "bad-request"),
        ({"chunk_data": "QUJ"}, 400, "bad-request"),
        ({"chunk_data": "QU JD"}, 400, "bad-request"),
        ({"chunk_data": None}, 422, "invalid-field"),
        ({"chunk_data": 5}, 422, "invalid-field"),
        ({"chunk_index": "0"}, 422, "invalid-field"),
        ({"chunk_index": True}, 422, "invalid-field"),
        ({"chunk_index": 1.0}, 422, "invalid-field"),
        ({"chunk_index": -1}, 400, "bad-request"),
        ({"chunk_index": 3}, 400, "bad-request"),
        ({"chunk_index": 10**15}, 400, "bad-request"),
        ({"upload_id": 5}, 422, "invalid-field"),
        ({"upload_id": "../../etc/passwd"}, 404, "not-found"),
        ({"upload_id": "00000000-0000-4000-8000-000000000000"}, 404, "not-found"),
        ({"checksum": "abc"}, 422, "invalid-field"),
        ({}, 400, "bad-request"),  # three bytes are not 4096
    ):
        problem(http.post(f"{API}/chunk", json=good | change), status, slug)
    for index, content, headers, status, slug in (
        ("0", b"abc", {}, 400, "bad-request"),
        ("0", bytes(4097), {}, 400, "bad-request"),
        ("0", iter([bytes(4097)]), {}, 400, "bad-request"),
        ("0", iter([bytes(4095)]), {}, 400, "bad-request"),
        ("2", bytes(4096), {}, 400, "bad-request"),
        ("-1", b"abc", {}, 400, "bad-request"),
        ("x", b"abc", {}, 400, "bad-request"),
        ("1e3", b"abc", {}, 400, "bad-request"),
        ("0", bytes(4096), {"X-Checksum-SHA256": digest(b"")}, 422, "checksum-mismatch"),
        ("0", bytes(4096), {"X-Checksum-SHA256": "zz"}, 422, "invalid-field"),
        ("0", bytes(4096), {"Content-Digest": "sha-512=:AAAA:"}, 400, "bad-request"),
        ("0", bytes(4096), {"Content-Digest": "sha-256=:AAAA:"}, 400, "bad-request"),
        ("0", bytes(4096), {"Content-Encoding": "gzip"}, 415, "unsupported-media-type"),
    ):
        answer = http.put(f"{API}/{upload.id}/chunks/{index}", content=content, headers=headers)
        problem(answer, status, slug)
    assert upload.status()["progress"]["received_chunks"] == []
    assert place.stat().st_size == 0


def test_json_chunks_have_a_size_limit(http: httpx.Client) -> None:
    upload = ChunkUpload.create(http, bytes(20 * MB), 20 * MB)
    for answer in (upload.send(0), http.post(f"{API}/chunk", content=iter([b'{"chunk_data": "' + b"A" * (25 * MB)]))):
        document = problem(answer, 413, "body-too-large", limit=16 * MB)
        assert "PUT" in document["detail"]
    assert upload.put(0).status_code == 200


def test_the_chunk_size_is_clamped_to_its_limits(http: httpx.Client) -> None:
    def told(**fields: int) -> tuple[int, int]:
        answer = http.post(f"{API}/init", json=GOOD | {"total_size": 100 * MB} | fields).json()
        return answer["chunk_size"], answer["total_chunks"]

    assert told() == (5 * MB, 20)
    assert told(chunk_size=3_000_001) == (3_000_001, 35)
    assert told(chunk_size=1, total_size=5000) == (1024, 5)
    assert told(chunk_size=2**40) == (64 * MB, 2)


def test_a_slow_completion_is_answered_with_202(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(COMPLETE_WAIT_SECONDS="0")
    data = os.urandom(40 * MB)
    with connect(server) as http:
        upload = ChunkUpload.create(http, data, 20 * MB, file_hash=digest(data))
        for index in (1, 0):
            assert upload.put(index).status_code == 200
        answer = upload.complete()
        assert (answer.status_code, answer.json()) == (202, {"upload_id": upload.id, "status": "assembling"})
        eventually(lambda: upload.status()["status"] == "completed")
        assert upload.complete().json()["checksum"] == digest(data)


def test_an_assembly_interrupted_by_a_crash_is_resumed(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(COMPLETE_WAIT_SECONDS="0")
    data = os.urandom(60 * MB)
    with connect(server) as http:
        upload = ChunkUpload.create(http, data, 20 * MB, file_hash=digest(data))
        for index in (2, 1, 0):
            assert upload.put(index).status_code == 200
        upload.complete()
    server.kill()
    server.start()
    with connect(server) as http:
        upload.http = http
        assert eventually(lambda: upload.status()["status"] == "completed")
        assert StoredData(server).file_count() == 1
        assert bytes_of(http, upload.complete().json()) == data


def test_on_postgresql_concurrent_duplicates_of_chunks_are_accepted_once(
    make_server: Callable[..., ServerProcess], postgres: str
) -> None:
    """Every chunk is sent three times at once; each is stored once."""
    server = make_server(DATABASE_URL=postgres)
    data = os.urandom(40 * 64 * KB)
    with connect(server) as http:
        upload = ChunkUpload.create(http, data, 64 * KB, file_hash=digest(data))
        jobs = [index for index in range(40) for _ in range(3)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(upload.put, jobs))
        assert [answer.status_code for answer in answers] == [200] * 120
        assert sum(answer.json()["duplicate"] for answer in answers) == 80
        assert upload.status()["progress"]["bytes_received"] == len(data)
        with ThreadPoolExecutor(4) as pool:
            ids = {answer.json()["file_id"] for answer in pool.map(lambda _: upload.complete(), range(4))}
        assert len(ids) == 1
