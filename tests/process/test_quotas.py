"""Quotas and the disk's reserve, in every dialect, through a real server."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.process.chunk_client import problem
from tests.process.conftest import ServerProcess
from tests.process.wire import (
    TUS,
    StoredData,
    connect,
    create,
    database_id,
    eventually,
    metadata,
    offset,
    patch,
    wait_until_processed,
)

LIMIT = 300_000
Send = Callable[[httpx.Client, bytes], httpx.Response]


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = {"QUOTA_BYTES": str(LIMIT), "QUOTA_FILES": "60", "CHECKPOINT_BYTES": "65536"}
    server = ServerProcess(tmp_path_factory.mktemp("quotas") / "home", **settings)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def http(limited: ServerProcess) -> Iterator[httpx.Client]:
    """An empty account before and after."""
    with connect(limited) as client:
        yield client
        for record in client.get("/files/", params={"limit": 200}).json()["results"]:
            client.delete(f"/files/{record['id']}/")
        assert taken(client) == 0


def usage(http: httpx.Client) -> dict[str, Any]:
    answer = http.get("/api/v1/quota/")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def taken(http: httpx.Client) -> int:
    found = usage(http)["bytes"]
    return int(found["used"]) + int(found["reserved"])


def stored(http: httpx.Client, size: int) -> str:
    """The path of a file of so many bytes, processed."""
    record = http.put("/files/kept.bin", content=os.urandom(size)).json()
    wait_until_processed(http, record["id"])
    return f"/files/{record['id']}/"


def _tus(http: httpx.Client, data: bytes) -> httpx.Response:
    return http.post("/files/", headers=TUS | {"Upload-Length": str(len(data))})


def _ietf(http: httpx.Client, data: bytes) -> httpx.Response:
    return http.post("/files/", headers={"Upload-Complete": "?1"}, content=data)


def _chunks(http: httpx.Client, data: bytes) -> httpx.Response:
    return http.post("/api/v1/upload/init", json={"filename": "a", "total_size": len(data), "mime_type": ""})


def _media(http: httpx.Client, data: bytes) -> httpx.Response:
    asked = {"file_name": "a.mp4", "file_size": len(data), "content_type": "video/mp4"}
    return http.post("/api/v1/media/upload/init", json=asked)


def _grant(http: httpx.Client, data: bytes) -> httpx.Response:
    url = http.post("/uploads/grants/", json={"profile": "default"}).json()["url"]
    return http.post(url, content=data)


DIALECTS: dict[str, Send] = {
    "tus": _tus,
    "ietf": _ietf,
    "chunks": _chunks,
    "media": _media,
    "grant": _grant,
    "raw": lambda http, data: http.put("/files/a.bin", content=data),
    "form": lambda http, data: http.post("/files/", files={"file": ("a.bin", data)}),
    "media form": lambda http, data: http.post("/api/v1/media/upload/simple", files={"file": ("a.mp4", data)}),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_refuses_an_upload_beyond_the_quota(
    http: httpx.Client, limited: ServerProcess, dialect: str
) -> None:
    stored(http, 200_000)
    before = StoredData(limited).snapshot()
    answer = DIALECTS[dialect](http, os.urandom(150_000))
    if dialect == "ietf":
        assert answer.status_code == 507
    else:
        problem(answer, 507, "quota-exceeded", resource="bytes", limit=LIMIT, used=200_000, requested=150_000)
    assert usage(http)["bytes"] == {"limit": LIMIT, "used": 200_000, "reserved": 0, "trashed": 0}
    assert not StoredData(limited).added_since(before)


def test_the_declared_length_is_reserved_until_the_upload_ends(http: httpx.Client) -> None:
    path = create(http, 200_000)
    assert usage(http)["bytes"] == {"limit": LIMIT, "used": 0, "reserved": 200_000, "trashed": 0}
    assert usage(http)["files"] == {"limit": 60, "used": 0, "reserved": 1, "trashed": 0}
    assert _tus(http, bytes(150_000)).status_code == 507
    assert http.delete(path, headers=TUS).status_code == 204
    assert taken(http) == 0
    path = create(http, 1000)
    assert patch(http, path, 0, os.urandom(1000)).status_code == 204
    assert usage(http)["bytes"] == {"limit": LIMIT, "used": 1000, "reserved": 0, "trashed": 0}


def test_large_metadata_counts_towards_the_quota(http: httpx.Client, limited: ServerProcess) -> None:
    """A kilobyte of metadata is free. All of it is returned, and the file is processed."""
    few, many = metadata(note="x" * 500), metadata(note="x" * 11_000)
    sent = len(many["Upload-Metadata"])
    small = create(http, 10, few)
    assert usage(http)["bytes"]["reserved"] == 10
    path = create(http, 10, many)
    assert usage(http)["bytes"]["reserved"] == 20 + sent
    assert http.head(path, headers=TUS).headers["Upload-Metadata"] == many["Upload-Metadata"]
    file = patch(http, path, 0, os.urandom(10)).headers["Windlass-File"]
    record = wait_until_processed(http, file)
    assert record["status"] == "READY"
    assert record["metadata"] == {"note": "x" * 11_000}
    assert usage(http)["bytes"]["used"] == 10 + sent
    form = {"metadata": json.dumps({"note": "x" * 60_000})}
    answer = http.post("/files/", data=form, files={"file": ("a.bin", os.urandom(20))})
    assert answer.status_code == 201, answer.text
    assert wait_until_processed(http, answer.json()["id"])["status"] == "READY"
    assert usage(http)["bytes"]["used"] == 30 + sent + len(form["metadata"])
    assert http.post("/files/", headers=TUS | {"Upload-Length": "227000"} | many).status_code == 507
    too_large = {"metadata": json.dumps({"note": "x" * 70_000})}
    problem(http.post("/files/", data=too_large, files={"file": ("a.bin", b"a")}), 413, "body-too-large", limit=65_536)
    for each in http.get("/files/").json()["results"]:
        assert http.delete(f"/files/{each['id']}/").status_code == 204
    assert http.delete(small, headers=TUS).status_code == 204
    assert StoredData(limited).session(small)["client_metadata"] is None


def test_an_upload_of_unknown_length_grows_up_to_the_quota(http: httpx.Client) -> None:
    held = stored(http, 200_000)
    created = http.post("/files/", headers=TUS | {"Upload-Defer-Length": "1"})
    path, data = created.headers["Location"], os.urandom(250_000)
    assert patch(http, path, 0, data[:50_000]).status_code == 204
    problem(patch(http, path, 50_000, data[50_000:]), 507, "quota-exceeded", resource="bytes", limit=LIMIT)
    assert taken(http) <= LIMIT
    at = offset(http, path)
    assert 50_000 <= at <= 100_000
    assert http.delete(held).status_code == 204
    last = patch(http, path, at, data[at:], **{"Upload-Length": str(len(data))})
    assert last.status_code == 204, last.text
    assert usage(http)["bytes"] == {"limit": LIMIT, "used": 250_000, "reserved": 0, "trashed": 0}
    assert wait_until_processed(http, last.headers["Windlass-File"])["size"] == 250_000


def test_asvs_5_2_4_fifty_concurrent_uploads_never_exceed_the_quota(http: httpx.Client, limited: ServerProcess) -> None:
    """Of 50 uploads of 20 000 bytes in several dialects, 15 fit."""

    def one(number: int) -> int:
        data = os.urandom(20_000)
        with connect(limited) as client:
            match number % 3:
                case 0:
                    answer = _tus(client, data)
                    if answer.status_code == 201:
                        answer = patch(client, answer.headers["Location"], 0, data)
                case 1:
                    answer = client.put("/files/a.bin", content=data)
                case _:
                    answer = client.post("/files/", files={"file": ("a.bin", data)})
            return answer.status_code

    with ThreadPoolExecutor(50) as pool:
        said = list(pool.map(one, range(50)))
    assert sum(status in (201, 204) for status in said) == 15
    assert said.count(507) == 35
    assert usage(http)["bytes"] == {"limit": LIMIT, "used": LIMIT, "reserved": 0, "trashed": 0}


def test_every_duplicate_counts_towards_the_quota_until_it_is_released(http: httpx.Client) -> None:
    """Every record counts its own size, shared bytes or not, until its bytes are released."""
    data = os.urandom(50_000)
    ids = [http.put("/files/a.bin", content=data).json()["id"] for _ in range(2)]
    for each in ids:
        wait_until_processed(http, each)
    assert usage(http)["bytes"]["used"] == 100_000
    assert http.post(f"/files/{ids[0]}/release/").status_code == 200
    assert usage(http)["bytes"]["used"] == 50_000
    assert usage(http)["files"]["used"] == 1
    assert http.get(f"/files/{ids[1]}/download/").content == data


def test_equal_files_share_one_object_until_the_last_is_deleted(http: httpx.Client, limited: ServerProcess) -> None:
    stored_data, data = StoredData(limited), os.urandom(40_000)
    before = stored_data.objects()
    first = wait_until_processed(http, http.put("/files/a.bin", content=data).json()["id"])
    second = wait_until_processed(http, http.put("/files/b.bin", content=data).json()["id"])
    assert second["duplicate_of"] == first["id"]
    assert len(eventually(lambda: stored_data.objects() - before)) == 1
    tags = {http.get(f"/files/{file['id']}/download/").headers["ETag"] for file in (first, second)}
    assert len(tags) == 1
    assert http.delete(f"/files/{first['id']}/").status_code == 204
    assert http.get(f"/files/{second['id']}/").json()["duplicate_of"] is None
    assert http.get(f"/files/{second['id']}/download/").content == data
    assert http.delete(f"/files/{second['id']}/").status_code == 204
    assert stored_data.objects() == before


def test_the_quota_command_shows_and_sets_limits(http: httpx.Client, limited: ServerProcess) -> None:
    stored(http, 1000)
    result = limited.command("quota", "set", "anonymous", "--bytes", "1200", "--json")
    assert json.loads(result.stdout)["bytes"] == {"limit": 1200, "used": 1000, "reserved": 0, "trashed": 0}
    assert _tus(http, bytes(201)).status_code == 507
    assert _tus(http, bytes(0)).status_code == 201
    assert "1000 B used, 0 B reserved, of 1.2 KB" in limited.command("quota", "show", "anonymous").stdout
    limited.command("quota", "set", "anonymous", "--usual")
    assert usage(http)["bytes"]["limit"] == LIMIT


def test_new_uploads_are_refused_below_the_disk_reserve(make_server: Callable[..., ServerProcess]) -> None:
    """Running uploads continue; stored files are served and can be deleted."""
    server = make_server()
    with connect(server) as http:
        record = wait_until_processed(http, http.put("/files/a.bin", content=b"kept").json()["id"])
        path = create(http, 10)
    server.stop()
    server.environment["DISK_RESERVE_MB"] = str(2**40)
    server.start()
    with connect(server) as http:
        for name in ("tus", "raw", "form", "chunks"):
            answer = DIALECTS[name](http, b"more")
            problem(answer, 507, "storage-full", limit=2**60)
            assert int(answer.headers["Retry-After"]) > 0
        assert patch(http, path, 0, b"0123456789").status_code == 204
        assert http.get(record["links"]["download"]).content == b"kept"
        assert http.delete(f"/files/{record['id']}/").status_code == 204
        eventually(lambda: "no new uploads" in http.get("/readyz").json()["checks"]["disk"]["detail"])
        ready = http.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["disk"]["status"]) == (200, "impaired")
    assert (
        StoredData(server).scalar(
            "SELECT count(*) FROM windlass_files_fileasset WHERE id = ?", database_id(record["id"])
        )
        == 0
    )


def test_a_published_post_reports_the_bytes_that_were_freed(http: httpx.Client) -> None:
    """Bytes shared with a file outside the post stay, and the quota is reduced by the released records."""
    data = os.urandom(30_000)
    ids = [http.put("/files/a.bin", params={"reference": name}, content=data).json()["id"] for name in ("out", "kept")]
    for each in ids:
        wait_until_processed(http, each)
    reply = http.post("/api/v1/media/posts/out/published", json={"success": True})
    assert reply.json() == {"released": 1, "bytes_freed": 0}
    assert usage(http)["bytes"]["used"] == 30_000
    assert http.get(f"/files/{ids[1]}/download/").content == data
    reply = http.post("/api/v1/media/posts/kept/published", json={"success": True})
    assert reply.json() == {"released": 1, "bytes_freed": 30_000}
    assert usage(http)["bytes"]["used"] == 0
