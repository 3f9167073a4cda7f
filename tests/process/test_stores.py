"""Several stores in one server: profiles decide where bytes go, and `windlass move` carries them elsewhere."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests import services
from tests.conftest import require
from tests.process.chunk_client import ChunkUpload, digest
from tests.process.conftest import ServerProcess
from tests.process.wire import MB, TUS, StoredData, connect, create, eventually, metadata, patch, wait_until_processed
from tests.samples import jpeg
from tests.services import S3Server

STORES = """
[attic]
media_root = "attic"

[cloud]
storage_backend = "s3"
aws_s3_endpoint_url = "{url}"
aws_storage_bucket_name = "{bucket}"
aws_access_key_id = "{s3.ACCESS}"
aws_secret_access_key_file = "secret"
aws_s3_region_name = "us-east-1"
aws_s3_part_size_mb = 5
"""
PROFILES = """
[default]

[films]
store = "cloud"

[papers]
store = "attic"
"""


def described(s3: S3Server, directory: Path, bucket: str) -> dict[str, str]:
    """Settings of a server with three stores."""
    (directory / "stores.toml").write_text(STORES.format(url=s3.url, bucket=bucket, s3=s3))
    (directory / "secret").write_text(s3.SECRET)
    (directory / "profiles.toml").write_text(PROFILES)
    named = {"WINDLASS_STORES": "stores.toml", "WINDLASS_PROFILES": "profiles.toml"}
    return {name: str(directory / file) for name, file in named.items()} | {
        "SWEEP_SECONDS": "0.5",
        "AWS_S3_MAX_ATTEMPTS": "2",
        "BREAKER_RECOVERY_SECONDS": "2",
    }


class StoreContents:
    """The objects of each store, read without Windlass."""

    def __init__(self, server: ServerProcess, s3: S3Server, bucket: str) -> None:
        self.server, self.s3, self._bucket = server, s3, bucket

    def objects(self, name: str) -> dict[str, int]:
        """The sizes of the objects in a store."""
        if name == "cloud":
            found = self.s3.client.list_objects_v2(Bucket=self._bucket).get("Contents", [])
            return {each["Key"]: each["Size"] for each in found}
        home = self.server.home
        root = home / "media" if name == "local" else home.parent / name
        return {str(path): path.stat().st_size for path in root.rglob("*") if path.is_file()}

    def sizes(self, name: str) -> list[int]:
        return sorted(self.objects(name).values())

    def of(self, file: str) -> str:
        """The store that a file's row names."""
        query = "SELECT b.store FROM windlass_files_blob b JOIN windlass_files_fileasset f ON f.blob_id = b.id"
        return str(StoredData(self.server).scalar(f"{query} WHERE f.id = ?", file.replace("-", "")))

    def forget_the_old(self) -> None:
        """End the grace period of all moved objects; returns when the sweep has deleted them."""
        with contextlib.closing(sqlite3.connect(self.server.home / "windlass.sqlite3", timeout=30)) as database:
            database.execute("UPDATE windlass_files_retainedobject SET until = '2020-01-01 00:00:00'")
            database.commit()
        eventually(lambda: not StoredData(self.server).scalar("SELECT count(*) FROM windlass_files_retainedobject"))


@pytest.fixture(scope="module")
def store_contents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreContents]:
    """A server with three stores; the one in a bucket may be stopped and started again."""
    directory = tmp_path_factory.mktemp("stores")
    with services.s3(require(services.find_s3(), "versitygw is not built and go is not on PATH")) as s3:
        bucket = s3.new_bucket()
        server = ServerProcess(directory / "home", **described(s3, directory, bucket))
        server.start()
        yield StoreContents(server, s3, bucket)
        server.kill()


@pytest.fixture
def http(store_contents: StoreContents) -> Iterator[httpx.Client]:
    with connect(store_contents.server) as client:
        yield client


def by_tus(http: httpx.Client, data: bytes, profile: str) -> str:
    path = create(http, len(data), metadata(filename="a.bin", profile=profile))
    assert patch(http, path, 0, data).status_code == 204
    return str(http.get(path, headers={"Accept": "application/json"}).json()["file_id"])


def raw(http: httpx.Client, data: bytes, profile: str, **fields: str) -> str:
    created = http.post("/files/", params={"filename": "a.bin", "profile": profile} | fields, content=data)
    return str(created.json()["id"])


def in_a_form(http: httpx.Client, data: bytes, profile: str) -> str:
    return str(http.post("/files/", data={"profile": profile}, files={"file": ("a.bin", data)}).json()["id"])


def in_chunks(http: httpx.Client, data: bytes, profile: str) -> str:
    upload = ChunkUpload.create(http, data, 5 * MB, profile=profile)
    for index in (1, 0):
        assert upload.put(index).status_code == 200
    return str(upload.complete().json()["file_id"])


@pytest.mark.parametrize(("profile", "name"), [("films", "cloud"), ("papers", "attic"), ("default", "local")])
@pytest.mark.parametrize("send", [by_tus, raw, in_a_form, in_chunks], ids=lambda send: send.__name__)
def test_the_profile_selects_the_store(
    http: httpx.Client, store_contents: StoreContents, send: Callable[..., str], profile: str, name: str
) -> None:
    data = os.urandom(5 * MB + 1000)
    before = {each: store_contents.objects(each) for each in ("local", "attic", "cloud")}
    file = send(http, data, profile)
    assert wait_until_processed(http, file)["status"] == "READY"
    gained = {each for each, objects in before.items() if store_contents.objects(each).keys() - objects.keys()}
    assert gained == {name}
    assert store_contents.of(file) == name
    assert http.get(f"/files/{file}/download/").content == data
    assert name not in http.get(f"/files/{file}/").text, "no client learns where bytes lie"


def test_thumbnails_are_in_the_store_of_their_file(http: httpx.Client, store_contents: StoreContents) -> None:
    before = len(store_contents.sizes("attic"))
    document = http.post("/files/?filename=a.jpg&profile=papers", content=jpeg()).json()
    assert wait_until_processed(http, document["id"])["status"] == "READY"
    assert http.get(f"/files/{document['id']}/thumbnail/").status_code == 200
    assert len(store_contents.sizes("attic")) == before + 2


def test_partial_uploads_of_several_stores_are_concatenated_in_the_final_uploads_store(
    http: httpx.Client, store_contents: StoreContents
) -> None:
    pieces = [os.urandom(size) for size in (6 * MB + 1, 1000, 3 * MB)]
    parts = []
    for data, profile in zip(pieces, ("papers", "films", "default"), strict=True):
        headers = metadata(profile=profile) | {"Upload-Concat": "partial"}
        parts.append(create(http, len(data), headers))
        assert patch(http, parts[-1], 0, data).status_code == 204
    for profile, name in (("films", "cloud"), ("papers", "attic")):
        headers = TUS | metadata(profile=profile) | {"Upload-Concat": f"final;{' '.join(parts)}"}
        final = http.post("/files/", headers=headers).headers["Location"]
        eventually(lambda at=final: http.head(at, headers=TUS).headers.get("Upload-Offset"))
        file = http.get(final, headers={"Accept": "application/json"}).json()["file_id"]
        assert wait_until_processed(http, file)["checksum"] == digest(b"".join(pieces))
        assert store_contents.of(file) == name
        assert http.get(f"/files/{file}/download/").content == b"".join(pieces)


class Reading(threading.Thread):
    """A client that fetches the same things over and over: the file, a range of it, its thumbnail, a ZIP."""

    def __init__(self, server: ServerProcess, file: str, picture: str, expected: bytes, thumbnail: bytes) -> None:
        super().__init__()
        self._server, self._file, self._picture = server, file, picture
        self._expected, self._thumbnail = expected, thumbnail
        self._done = threading.Event()
        self.rounds, self.wrong = 0, list[str]()

    def run(self) -> None:
        with connect(self._server) as http:
            while not self._done.is_set():
                whole = http.get(f"/files/{self._file}/download/")
                self._expect("whole", whole, self._expected)
                part = http.get(f"/files/{self._file}/download/", headers={"Range": "bytes=1000000-2000000"})
                self._expect("range", part, self._expected[1_000_000:2_000_001])
                self._expect("thumbnail", http.get(f"/files/{self._picture}/thumbnail/"), self._thumbnail)
                zipped = http.post("/files/zip/", json={"ids": [self._file]})
                with zipfile.ZipFile(io.BytesIO(zipped.content)) as archive:
                    if archive.read("a.bin") != self._expected:
                        self.wrong.append("zip")
                self.rounds += 1

    def _expect(self, what: str, answer: httpx.Response, expected: bytes) -> None:
        if answer.status_code not in (200, 206) or answer.content != expected:
            self.wrong.append(f"{what}: {answer.status_code}, {len(answer.content)} bytes")

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()

    def __enter__(self) -> Reading:
        self.start()
        return self


def test_files_are_readable_while_they_are_moved_to_another_store_and_back(
    http: httpx.Client, store_contents: StoreContents
) -> None:
    data = os.urandom(3 * MB + 29)
    file = raw(http, data, "default", reference="read")
    picture = http.post("/files/?filename=b.jpg&reference=read", content=jpeg()).json()["id"]
    assert {wait_until_processed(http, each)["status"] for each in (file, picture)} == {"READY"}
    thumbnail = http.get(f"/files/{picture}/thumbnail/").content
    with Reading(store_contents.server, file, picture, data, thumbnail) as reading:
        for to in ("cloud", "local"):
            before = reading.rounds
            moved = store_contents.server.command("move", "--to", to, "--reference", "read")
            assert moved.stdout.startswith("2 files and 1 renditions moved"), moved.stdout + moved.stderr
            assert (store_contents.of(file), store_contents.of(picture)) == (to, to)
            store_contents.forget_the_old()
            eventually(lambda before=before: reading.rounds > before + 1, within=60)
    assert reading.wrong == []
    for name, count in (("cloud", 0), ("local", 1)):
        assert store_contents.sizes(name).count(len(data)) == count, "nothing stays behind"


def test_a_killed_move_is_completed_by_the_next_run(http: httpx.Client, store_contents: StoreContents) -> None:
    size = 2 * MB + 11
    pool = {raw(http, data, "papers", reference="kill"): data for data in (os.urandom(size) for _ in range(4))}
    for file in pool:
        assert wait_until_processed(http, file)["status"] == "READY"
    move = ["move", "--to", "cloud", "--reference", "kill"]
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        moved = sum(store_contents.of(file) == "cloud" for file in pool)
        with start_command(store_contents.server, *move, "--limit-rate", "3") as running:
            eventually(lambda moved=moved: sum(store_contents.of(file) == "cloud" for file in pool) > moved)
            running.send_signal(number)
            said, complained = running.communicate(timeout=60)
        assert running.returncode == code, complained
        for file, data in pool.items():
            assert http.get(f"/files/{file}/download/").content == data
    assert "Run the same command again to move the rest" in said
    finished = store_contents.server.command(*move)
    assert finished.returncode == 0, finished.stderr
    assert {store_contents.of(file) for file in pool} == {"cloud"}
    store_contents.forget_the_old()  # and what the killed one left
    assert store_contents.sizes("attic").count(size) == 0
    assert store_contents.sizes("cloud").count(size) == 4
    for file, data in pool.items():
        assert http.get(f"/files/{file}/download/").content == data


def start_command(server: ServerProcess, *arguments: str) -> subprocess.Popen[str]:
    """`windlass …` on the server's home, which the caller may end."""
    command = [sys.executable, "-m", "windlass", *arguments]
    environment = server.environment | {"WINDLASS_HOME": str(server.home)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_damaged_file_is_reported_and_not_moved(http: httpx.Client, store_contents: StoreContents) -> None:
    data = os.urandom(MB + 1)
    file, other = (raw(http, each, "papers", reference="damaged") for each in (data, data[::-1]))
    for each in (file, other):
        assert wait_until_processed(http, each)["status"] == "READY"
    (path,) = [path for path in (store_contents.server.home.parent / "attic").rglob("*") if is_like(path, data)]
    with path.open("r+b") as stored:
        stored.seek(1000)
        stored.write(b"flipped")
    moved = store_contents.server.command("move", "--to", "local", "--reference", "damaged", "--json")
    assert moved.returncode == 1
    assert f"file {file} stays: its bytes have the SHA-256" in " ".join(moved.stderr.split())
    assert (store_contents.of(file), store_contents.of(other)) == ("attic", "local")
    assert http.get(f"/files/{other}/download/").content == data[::-1]


def is_like(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data


def test_an_unknown_store_is_refused_with_the_known_ones(store_contents: StoreContents) -> None:
    refused = store_contents.server.command("move", "--to", "moon")
    assert refused.returncode == 2
    assert "stores here: local, attic, cloud" in " ".join(refused.stderr.replace("│", " ").split())


def test_an_unavailable_store_does_not_affect_the_others(http: httpx.Client, store_contents: StoreContents) -> None:
    there = raw(http, b"in the cloud", "films")
    assert wait_until_processed(http, there)["status"] == "READY"
    store_contents.s3.kill()
    try:
        for _ in range(6):  # more than opens a breaker
            assert http.post("/files/?filename=a&profile=films", content=b"x").status_code == 503
        assert http.get(f"/files/{there}/download/").status_code == 503
        here = raw(http, b"on the disk", "default")
        assert wait_until_processed(http, here)["status"] == "READY"
        eventually(lambda: http.get("/readyz").json()["checks"]["other_stores"]["detail"].startswith("1 of 2 away"))
        ready = http.get("/readyz")
        assert ready.status_code == 200
        checks = ready.json()["checks"]
        assert (checks["store.cloud"]["status"], checks["store.attic"]["status"]) == ("failed", "ok")
        query = "SELECT data FROM windlass_events_event WHERE type = 'system.breaker'"
        told = [json.loads(row["data"])["breaker"] for row in StoredData(store_contents.server).rows(query)]
        assert set(told) == {"storage.cloud"}
        checked = store_contents.server.command("check")
        assert checked.returncode == 1
        assert "ok      store        attic" in checked.stdout
        assert "ok      storage      local" in checked.stdout
    finally:
        store_contents.s3.start()
    assert eventually(lambda: http.get(f"/files/{there}/download/").status_code == 200, within=60)
