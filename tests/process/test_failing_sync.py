"""Fault 11: fsync fails. What it was to make durable is not acknowledged, and never believed again, however often it is
synced afterwards with success."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import require
from tests.process.chunk_client import ChunkUpload, digest
from tests.process.conftest import ServerProcess
from tests.process.wire import TUS, StoredData, connect, create, offset, patch, wait_until_processed

SOURCE = Path(__file__).with_name("failing_sync.c")


class Disk:
    """Selects the server's files that cannot be synced."""

    def __init__(self, trigger: Path) -> None:
        self._trigger = trigger

    @contextlib.contextmanager
    def failing(self, part_of_path: str) -> Iterator[None]:
        self._trigger.write_text(part_of_path)
        try:
            yield
        finally:
            self._trigger.unlink()


@pytest.fixture(scope="module")
def trigger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("failing") / "trigger"


@pytest.fixture
def disk(trigger: Path) -> Disk:
    return Disk(trigger)


@pytest.fixture(scope="module")
def unsound(trigger: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose calls of fsync and fdatasync can be made to fail."""
    compiler = require(shutil.which("cc"), "a C compiler (cc) is not on PATH")
    directory = tmp_path_factory.mktemp("unsound")
    library = directory / "failing_sync.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    server = ServerProcess(directory / "home", LD_PRELOAD=str(library), FAILING_SYNC=str(trigger))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def http(unsound: ServerProcess) -> Iterator[httpx.Client]:
    with connect(unsound) as client:
        yield client


def status(http: httpx.Client, upload: str) -> str:
    found: str = http.get(upload, headers={"Accept": "application/json"}).json()["status"]
    return found


def test_a_tus_patch_is_not_acknowledged_after_a_failed_sync(
    unsound: ServerProcess, http: httpx.Client, disk: Disk
) -> None:
    data, stored_data = os.urandom(100_000), StoredData(unsound)
    path = create(http, len(data))
    assert patch(http, path, 0, data[:10]).status_code == 204
    with disk.failing("/media/objects/"):
        assert patch(http, path, 10, data[10:]).status_code >= 500
    files = stored_data.file_count()
    assert stored_data.session(path)["offset"] == 10
    assert status(http, path) == "failed"
    again = patch(http, path, 10, data[10:])
    assert again.status_code in (409, 410), "syncing again proves nothing about what was lost"
    assert not http.head(path, headers=TUS).is_success
    assert stored_data.file_count() == files
    fresh = create(http, len(data))
    assert patch(http, fresh, 0, data).status_code == 204
    record = wait_until_processed(http, http.get(fresh, headers={"Accept": "application/json"}).json()["file_id"])
    assert (record["status"], record["checksum"]) == ("READY", digest(data))


def test_a_chunk_is_not_acknowledged_after_a_failed_sync(http: httpx.Client, disk: Disk) -> None:
    upload = ChunkUpload.create(http, os.urandom(30_000), 10_000)
    assert upload.put(0).status_code == 200
    with disk.failing("/media/objects/"):
        assert upload.put(1).status_code >= 500
    assert upload.status()["status"] == "failed"
    for answer in (upload.put(1), upload.put(2), upload.complete()):
        assert answer.status_code in (409, 410), answer.text


@pytest.mark.parametrize("size", [1000, 3_000_000], ids=["small", "streamed"])
def test_a_form_and_a_raw_body_store_nothing_after_a_failed_sync(
    unsound: ServerProcess, http: httpx.Client, disk: Disk, size: int
) -> None:
    data, stored_data = os.urandom(size), StoredData(unsound)
    before = stored_data.snapshot()
    with disk.failing("/media/objects/"):
        for answer in (http.put("/files/a.bin", content=data), http.post("/files/", files={"file": ("a.bin", data)})):
            assert answer.status_code >= 500, answer.text
    assert not stored_data.added_since(before)
    again = http.put("/files/a.bin", content=data)
    assert again.status_code == 201
    assert wait_until_processed(http, again.json()["id"])["checksum"] == digest(data)


def test_a_database_commit_that_was_not_synced_is_not_acknowledged(
    unsound: ServerProcess, http: httpx.Client, disk: Disk
) -> None:
    """The database's WAL cannot be synced: no success is acknowledged, and later writes succeed."""
    data, stored_data = os.urandom(5000), StoredData(unsound)
    path, web = create(http, len(data)), unsound.web_pid()
    assert patch(http, path, 0, data[:1000]).status_code == 204
    with disk.failing("windlass.sqlite3"):
        assert patch(http, path, 1000, data[1000:]).status_code >= 500
        assert not http.post("/files/", headers=TUS | {"Upload-Length": "5"}).is_success
        assert not http.put("/files/a.bin", content=data).is_success
    at = offset(http, path)
    assert at >= 1000
    assert patch(http, path, at, data[at:]).status_code == 204
    record = wait_until_processed(http, http.get(path, headers={"Accept": "application/json"}).json()["file_id"])
    assert (record["status"], record["checksum"]) == ("READY", digest(data))
    assert unsound.web_pid() == web
    with contextlib.closing(sqlite3.connect(unsound.home / "windlass.sqlite3")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert stored_data.active_uploads() >= 0
