"""Full disks: of the files and of the database. Both are real file systems, which the tests fill.

The client gets 507, stored files stay readable, and everything continues when there is space again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests import samples, services
from tests.process.chunk_client import ChunkUpload, digest, problem
from tests.process.conftest import ServerProcess
from tests.process.wire import (
    MB,
    TUS,
    StoredData,
    connect,
    create,
    eventually,
    metadata,
    offset,
    patch,
    wait_until_processed,
)

CHUNK = 4 * MB


@pytest.fixture(scope="module")
def server_on_small_disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a small disk for its database and another for its files."""
    home = tmp_path_factory.mktemp("server_on_small_disks") / "home"
    with contextlib.ExitStack() as stack:
        for place, size in ((home, "48m"), (home / "media", "24m"), (home / "scratch", "2m")):
            if stack.enter_context(services.disk(place, size)) is None:
                pytest.skip("mounting a small file system is not permitted here")
        quick = {"JOB_BACKOFF_SECONDS": "0.2", "SWEEP_SECONDS": "1", "JOB_MAX_ATTEMPTS": "2"}
        server = ServerProcess(home, DISK_RESERVE_MB="0", RATE_LIMIT_PER_MINUTE="0", **quick)
        server.start()
        yield server
        server.kill()


@pytest.fixture
def http(server_on_small_disks: ServerProcess) -> Iterator[httpx.Client]:
    with connect(server_on_small_disks) as client:
        yield client


@contextlib.contextmanager
def filled(place: Path, *, leaving: int = 0) -> Iterator[Callable[[], None]]:
    """Fill the disk until only ``leaving`` bytes are free; yields a function that frees it again."""
    ballast = place / "ballast"

    def make_room() -> None:
        ballast.unlink(missing_ok=True)

    try:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while (free := os.statvfs(place).f_bavail * os.statvfs(place).f_frsize) > leaving:
                file.write(bytes(min(MB, free - leaving)))
        yield make_room
    finally:
        make_room()


def stored(http: httpx.Client, size: int = 100_000) -> tuple[str, bytes]:
    """A file that is ready before the disk is full: its download path and its bytes."""
    data = os.urandom(size)
    record = wait_until_processed(http, http.put("/files/before.bin", content=data).json()["id"])
    assert record["status"] == "READY"
    return record["links"]["download"], data


def test_tus_resumes_after_a_full_disk(server_on_small_disks: ServerProcess, http: httpx.Client) -> None:
    link, before = stored(http)
    data = os.urandom(12 * MB)
    path = create(http, len(data))
    with filled(server_on_small_disks.home / "media", leaving=5 * MB) as make_room:
        first_refusal = patch(http, path, 0, data)
        problem(first_refusal, 507, "storage-full")
        at = offset(http, path)
        assert at <= 5 * MB, "what could not be stored was not acknowledged"
        assert http.get(link).content == before
        assert http.get("/readyz").status_code in (200, 503)
        make_room()
        assert patch(http, path, at, data[at:]).status_code == 204
    record = wait_until_processed(http, http.get(path, headers={"Accept": "application/json"}).json()["file_id"])
    assert (record["status"], record["checksum"]) == ("READY", digest(data))
    assert http.delete(f"/files/{record['id']}/").status_code == 204


@pytest.mark.parametrize("way", ["put", "send"])
def test_a_chunk_refused_by_a_full_disk_can_be_resent(
    server_on_small_disks: ServerProcess, http: httpx.Client, way: str
) -> None:
    link, before = stored(http)
    data = os.urandom(2 * CHUNK + 5)
    upload = ChunkUpload.create(http, data, CHUNK, file_hash=digest(data))
    assert upload.put(2).status_code == 200
    with filled(server_on_small_disks.home / "media", leaving=MB) as make_room:
        problem(getattr(upload, way)(0), 507, "storage-full")
        assert upload.status()["progress"]["received_chunks"] == [2]
        assert http.get(link).content == before
        make_room()
        assert {getattr(upload, way)(index).status_code for index in (0, 1)} == {200}
    done = upload.complete().json()
    assert done["checksum"] == digest(data)
    assert wait_until_processed(http, done["file_id"])["status"] == "READY"
    assert http.delete(f"/files/{done['file_id']}/").status_code == 204


def test_a_form_and_a_raw_body_store_nothing_on_a_full_disk(
    server_on_small_disks: ServerProcess, http: httpx.Client
) -> None:
    link, before = stored(http)
    data, stored_data = os.urandom(8 * MB), StoredData(server_on_small_disks)
    everything = stored_data.snapshot()
    with filled(server_on_small_disks.home / "media", leaving=2 * MB):
        problem(http.post("/files/", files={"file": ("a.bin", data)}), 507, "storage-full")
        problem(http.put("/files/a.bin", content=data), 507, "storage-full")
        assert not stored_data.added_since(everything)
        assert http.get(link).content == before
    for made in (http.post("/files/", files={"file": ("a.bin", data)}), http.put("/files/a.bin", content=data)):
        assert made.status_code == 201, made.text
        assert wait_until_processed(http, made.json()["id"])["checksum"] == digest(data)
        assert http.delete(f"/files/{made.json()['id']}/").status_code == 204


@pytest.mark.parametrize("place", ["media", "scratch"])
def test_a_thumbnail_waits_while_the_disk_is_full(
    server_on_small_disks: ServerProcess, http: httpx.Client, place: str
) -> None:
    """The file stays available, and no attempt is used up however long the disk is full."""
    picture = samples.noisy_jpeg(2000, 1500)
    worker = server_on_small_disks.worker_pid()
    with filled(
        server_on_small_disks.home / place, leaving=4096 + (len(picture) if place == "media" else 0)
    ) as make_room:
        file = http.post("/files/?filename=a.jpg", content=picture).json()["id"]
        status = f"/files/{file}/status/"
        eventually(lambda: "no room" in http.get(status).json()["message"])
        assert http.get(f"/files/{file}/").json()["status"] in {"PENDING", "PROCESSING"}
        make_room()
        record = wait_until_processed(http, file)
    assert record["status"] == "READY"
    assert http.get(record["thumbnail_url"]).status_code == 200
    assert server_on_small_disks.worker_pid() == worker


def first_refusal(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Repeat until the first error reply: the database has some free pages in its log, and may get some back."""
    while (answer := send()).is_success:
        pass
    return answer


def test_a_full_database_acknowledges_nothing_and_recovers(
    server_on_small_disks: ServerProcess, http: httpx.Client
) -> None:
    link, before = stored(http)
    data, description = os.urandom(3 * MB), metadata(filename="a.bin", note="x" * 3000)
    path, made, at = create(http, len(data)), [], MB
    assert patch(http, path, 0, data[:at]).status_code == 204
    web, worker = server_on_small_disks.web_pid(), server_on_small_disks.worker_pid()

    def begin() -> httpx.Response:
        answer = http.post("/files/", headers=TUS | {"Upload-Length": "9"} | description)
        if answer.is_success:
            made.append(answer.headers["Location"])
        return answer

    def go_on() -> httpx.Response:
        nonlocal at
        answer = patch(http, path, at, data[at : at + 100])
        at += 100 if answer.is_success else 0
        return answer

    asked = {"filename": "a" * 200, "total_size": 9, "mime_type": ""}
    with filled(server_on_small_disks.home) as make_room:
        problem(first_refusal(begin), 507, "storage-full")
        problem(first_refusal(lambda: http.post("/api/v1/upload/init", json=asked)), 507, "storage-full")
        problem(first_refusal(lambda: http.post("/files/", files={"file": ("a.bin", b"x")})), 507, "storage-full")
        problem(first_refusal(go_on), 507, "storage-full")
        assert http.get(link).content == before
        make_room()
        assert offset(http, path) == at
        assert patch(http, path, at, data[at:]).status_code == 204
    record = wait_until_processed(http, http.get(path, headers={"Accept": "application/json"}).json()["file_id"])
    assert (record["status"], record["checksum"]) == ("READY", digest(data))
    assert {offset(http, each) for each in made} <= {0}, "what was acknowledged is there"
    assert (server_on_small_disks.web_pid(), server_on_small_disks.worker_pid()) == (web, worker)
    with contextlib.closing(sqlite3.connect(server_on_small_disks.home / "windlass.sqlite3")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
