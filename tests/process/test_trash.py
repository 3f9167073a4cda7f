"""A trashed file is not found by any call or dialect until it is restored."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests import samples
from tests.process.chunk_client import ChunkUpload, problem
from tests.process.conftest import ServerProcess
from tests.process.wire import TUS, StoredData, connect, create, patch, wait_until_processed
from windlass.client import Client, NotFound

MEDIA = "/api/v1/media"


@pytest.fixture(scope="module")
def target_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("trash") / "home", TRASH_HOURS="24")
    server.start()
    yield server
    server.kill()


def stored(http: httpx.Client, name: str, content: bytes, **fields: str) -> dict[str, Any]:
    created = http.put(f"/files/{name}", content=content, params=fields)
    assert created.status_code == 201, created.text
    return wait_until_processed(http, created.json()["id"])


def picture() -> bytes:
    """Return a new picture each time."""
    return samples.jpeg(200, 150) + os.urandom(16)


def trashed(http: httpx.Client) -> dict[str, Mapping[str, Any]]:
    answer = http.get("/files/", params={"trashed": "true", "limit": 200})
    assert answer.status_code == 200, answer.text
    return {record["id"]: record for record in answer.json()["results"]}


def calls(http: httpx.Client, record: Mapping[str, Any], signed: str) -> dict[str, Callable[[], httpx.Response]]:
    """Every call on a file that a client can make, but for those of the trash."""
    file = f"/files/{record['id']}/"
    paths = ("", "status/", "download/", "thumbnail/", "renditions/thumbnail/", "text/", "events/")
    reading = {f"GET {path}": lambda path=path: http.get(file + path) for path in paths}
    acting = {f"POST {path}": lambda path=path: http.post(file + path) for path in ("reprocess", "release")}
    return {
        **reading,
        **acting,
        "HEAD download": lambda: http.head(f"{file}download/"),
        "a range": lambda: http.get(f"{file}download/", headers={"Range": "bytes=0-3"}),
        "signing": lambda: http.post(f"{file}signed-url/"),
        "signed": lambda: httpx.get(signed),
        "ZIP": lambda: http.get("/files/zip", params={"ids": record["id"]}),
        "ZIP of the reference": lambda: http.get("/files/zip", params={"reference": record["reference"]}),
        "media": lambda: http.get(f"{MEDIA}/{record['id']}"),
        "media's delete": lambda: http.delete(f"{MEDIA}/{record['id']}"),
        "delete": lambda: http.delete(file),
    }


def test_a_trashed_file_is_404_in_every_call_until_it_is_restored(http: httpx.Client) -> None:
    record = stored(http, "a.jpg", picture(), profile="media", reference="trip-1")
    signed = http.post(f"/files/{record['id']}/signed-url/").json()["url"]
    known = calls(http, record, signed)
    before = http.get(f"/files/{record['id']}/download/").content
    assert http.delete(f"/files/{record['id']}/").status_code == 204
    for name, ask in known.items():
        assert ask().status_code == 404, name
    assert record["id"] not in {each["id"] for each in http.get("/files/?limit=200").json()["results"]}
    assert http.get("/files/", params={"reference": "trip-1"}).json()["results"] == []
    published = http.post(f"{MEDIA}/posts/trip-1/published", json={"success": True}).json()
    assert published == {"released": 0, "bytes_freed": 0}

    trashed_record = trashed(http)[record["id"]]
    assert trashed_record["trashed_at"] < trashed_record["trash_until"]
    assert (trashed_record["original_filename"], trashed_record["thumbnail_url"], trashed_record["renditions"]) == (
        "a.jpg",
        None,
        [],
    )
    assert http.get("/files/?trashed=true", params={"q": "nobody's"}).json()["results"] == []

    restored = http.post(f"/files/{record['id']}/restore/")
    assert restored.status_code == 200, restored.text
    assert restored.json() == record | {"updated_at": restored.json()["updated_at"]}
    assert http.post(f"/files/{record['id']}/restore/").status_code == 200, "repeatable"
    assert http.get(f"/files/{record['id']}/download/").content == before == httpx.get(signed).content
    assert http.get(f"/files/{record['id']}/thumbnail/").status_code == 200
    assert record["id"] not in trashed(http)


def test_the_upload_of_a_trashed_file_is_gone_until_it_is_restored(http: httpx.Client) -> None:
    content = os.urandom(100_000)
    upload = create(http, len(content))
    patch(http, upload, 0, content)
    record = wait_until_processed(http, http.head(upload, headers=TUS).headers["Windlass-File"])
    assert http.get(upload).content == content
    chunked = ChunkUpload.create(http, os.urandom(2048), 1024)
    assert [chunked.put(index).status_code for index in range(2)] == [200, 200]
    other = chunked.complete().json()["file_id"]
    for file in (record["id"], other):
        assert http.delete(f"/files/{file}/").status_code == 204
    problem(http.get(upload), 404, "not-found")
    assert http.get(upload, headers={"Accept": "application/json"}).json()["status"] == "completed"
    problem(patch(http, upload, 0, content), 410, "upload-gone")
    problem(chunked.complete(), 410, "upload-gone")
    for file in (record["id"], other):
        http.post(f"/files/{file}/restore/")
    assert http.get(upload).content == content
    assert patch(http, upload, 0, content).status_code == 204
    assert chunked.complete().json()["file_id"] == other


def test_permanent_deletion_deletes_the_bytes(http: httpx.Client, stored_data: StoredData) -> None:
    first, second = (stored(http, f"{name}.bin", os.urandom(1000)) for name in "ab")
    objects = stored_data.objects()
    assert http.delete(f"/files/{first['id']}/", params={"permanent": "true"}).status_code == 204
    assert http.delete(f"/files/{second['id']}/").status_code == 204
    assert len(objects - stored_data.objects()) == 1, "what is in the trash is kept"
    problem(http.delete(f"/files/{second['id']}/"), 404, "not-found")
    assert second["id"] in trashed(http), "asking again, as after a lost answer, is not asking for more"
    assert http.delete(f"/files/{second['id']}/", params={"permanent": "true"}).status_code == 204
    assert len(objects - stored_data.objects()) == 2
    for record in (first, second):
        problem(http.post(f"/files/{record['id']}/restore/"), 404, "not-found")
        problem(http.delete(f"/files/{record['id']}/", params={"permanent": "true"}), 404, "not-found")


def test_a_released_file_is_trashed_and_restored_as_released(http: httpx.Client) -> None:
    record = stored(http, "a.bin", os.urandom(1000))
    assert http.post(f"/files/{record['id']}/release/").status_code == 200
    assert http.delete(f"/files/{record['id']}/").status_code == 204
    problem(http.get(f"/files/{record['id']}/download/"), 404, "not-found")
    assert http.post(f"/files/{record['id']}/restore/").json()["status"] == "RELEASED"
    problem(http.get(f"/files/{record['id']}/download/"), 410, "file-released")


def test_trashing_restoring_and_deleting_publish_events(http: httpx.Client) -> None:
    record = stored(http, "a.bin", os.urandom(1000))
    with http.stream("GET", f"/files/{record['id']}/events/") as stream:
        http.delete(f"/files/{record['id']}/")
        http.post(f"/files/{record['id']}/restore/")
        http.delete(f"/files/{record['id']}/", params={"permanent": "true"})
        told = []
        for line in stream.iter_lines():
            if line.startswith("data: "):
                told.append(json.loads(line.removeprefix("data: ")))
            if told and told[-1]["type"] == "file.deleted":
                break
    assert [event["type"] for event in told[-3:]] == ["file.trashed", "file.restored", "file.deleted"]
    assert set(told[-3]["data"]) == {"until"}


def test_the_list_of_trashed_files_has_pages(http: httpx.Client) -> None:
    records = [stored(http, f"page {number}.bin", os.urandom(1000)) for number in range(3)]
    for record in records:
        http.delete(f"/files/{record['id']}/")
    asked: dict[str, str | int] = {"trashed": "true", "q": "page ", "limit": 2}
    first = http.get("/files/", params=asked).json()
    assert len(first["results"]) == 2
    second = http.get(first["next"]).json()
    assert {each["id"] for each in first["results"] + second["results"]} == {each["id"] for each in records}
    assert second["next"] is None


def test_other_users_cannot_see_or_restore_a_trashed_file(
    http: httpx.Client, target_server: ServerProcess, make_server: Callable[..., ServerProcess]
) -> None:
    server = make_server(AUTH_MODE="required", TRASH_HOURS="24")
    tokens = [server.command("token", "create", "--user", name).stdout.strip() for name in ("anna", "otto")]
    with (
        connect(server, headers={"Authorization": f"Bearer {tokens[0]}"}) as one,
        connect(server, headers={"Authorization": f"Bearer {tokens[1]}"}) as two,
    ):
        record = stored(one, "a.bin", os.urandom(1000))
        one.delete(f"/files/{record['id']}/")
        assert trashed(two) == {}
        problem(two.post(f"/files/{record['id']}/restore/"), 404, "not-found")
        problem(two.delete(f"/files/{record['id']}/?permanent=true"), 404, "not-found")
        assert list(trashed(one)) == [record["id"]]
        usage = one.get("/api/v1/quota/").json()
        assert (usage["bytes"]["used"], usage["bytes"]["trashed"], usage["files"]["trashed"]) == (1000, 1000, 1)


def test_the_trash_commands_and_client_methods(target_server: ServerProcess, http: httpx.Client) -> None:
    record = stored(http, "by command.bin", os.urandom(1000))
    server = ("--server", target_server.url)
    assert target_server.command("files", "delete", record["id"], *server).returncode == 0
    assert "in the trash" in target_server.command("quota", "show", "anonymous").stdout
    listed = target_server.command("trash", "list", "--search", "by command", *server).stdout
    assert listed.startswith(record["id"])
    assert target_server.command("trash", "restore", record["id"], *server).stdout == f"{record['id']}  READY\n"
    with Client(target_server.url) as client:
        client.delete(record["id"])
        with pytest.raises(NotFound):
            client.file(record["id"])
        (file,) = client.files(trashed=True, q="by command")
        assert file.trash_until is not None
        assert client.restore(record["id"]).id == record["id"]
        client.delete(record["id"])
    target_server.command("trash", "empty", "--yes", *server)
    assert trashed(http) == {}
    problem(http.post(f"/files/{record['id']}/restore/"), 404, "not-found")
