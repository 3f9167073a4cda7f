"""Guarantee 20: a backup of a running server, restored elsewhere, has every file; killing either changes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.process.buckets import Bucket
from tests.process.conftest import ServerProcess
from tests.process.wire import MB, connect, create, eventually, wait_until_processed
from tests.samples import jpeg
from tests.services import Postgres, S3Server
from windlass.kernel import secret_keys

pytestmark = pytest.mark.slow


NewDatabase = Callable[[], dict[str, str]]


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def new_database(request: pytest.FixtureRequest) -> NewDatabase:
    """Return a function that makes a new database and returns its setting."""
    if request.param == "sqlite":
        return dict
    server: Postgres = request.getfixturevalue("postgres_server")
    return lambda: {"DATABASE_URL": server.new_database()}


@pytest.fixture(scope="module")
def filled(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with files, for all tests with one kind of database."""
    server = ServerProcess(tmp_path_factory.mktemp("filled") / "home", **new_database())
    server.start()
    with connect(server) as http:
        fill(http, 30, 150_000)
    yield server
    server.kill()


def windlass(*arguments: str, home: Path, code: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    process = start(*arguments, home=home, **settings)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == code, f"{arguments}: {process.returncode}\n{out}{errors}"
    return subprocess.CompletedProcess(arguments, process.returncode, out, errors)


def start(*arguments: str, home: Path, **settings: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WINDLASS_")}
    command = [sys.executable, "-m", "windlass", *arguments]
    environment = inherited | {"WINDLASS_HOME": str(home)} | settings
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def backup(server: ServerProcess, target: Path | str, *options: str, code: int = 0) -> dict[str, Any]:
    result = server.command("backup", str(target), "--json", *options)
    assert result.returncode == code, result.stdout + result.stderr
    made: dict[str, Any] = json.loads(result.stdout)
    return made


def hashes(directory: Path) -> dict[str, str]:
    """The SHA-256 of every object below a directory, by its path. Not what a killed process left, which is swept."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.startswith(".put-")
    }


def records(http: httpx.Client) -> dict[str, dict[str, Any]]:
    """Every file record, without URLs, which name the server."""
    found, cursor = {}, ""
    while cursor is not None:
        page = http.get("/files/", params={"limit": 100} | ({"cursor": cursor} if cursor else {})).json()
        for record in page["results"]:
            found[record["id"]] = {name: value for name, value in record.items() if "url" not in name}
        cursor = page["next"] and httpx.URL(page["next"]).params["cursor"]
    return found


def fill(http: httpx.Client, count: int, size: int) -> list[str]:
    """Upload files with random content and one picture; return their ids once they are processed."""
    bodies = {f"{number}.bin": os.urandom(size) for number in range(count)} | {"picture.jpg": jpeg(320, 200)}
    ids = [http.put(f"/files/{name}", content=body).json()["id"] for name, body in bodies.items()]
    for file in ids:
        wait_until_processed(http, file)
    return ids


@contextlib.contextmanager
def upload_load(server: ServerProcess) -> Iterator[None]:
    """Upload small files, and delete every second one a moment later, until the block ends."""
    stop, uploaded = threading.Event(), []

    def run() -> None:
        with connect(server) as http:
            while not stop.is_set():
                uploaded.append(http.put("/files/load.bin", content=os.urandom(50_000)).json()["id"])
                if len(uploaded) % 2 and len(uploaded) > 4:
                    assert http.delete(f"/files/{uploaded[-4]}/").status_code in (204, 404)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        eventually(lambda: len(uploaded) > 8)
        yield
    finally:
        stop.set()
        thread.join()


def test_a_backup_under_load_is_restored_elsewhere(
    filled: ServerProcess, new_database: NewDatabase, tmp_path: Path
) -> None:
    target = tmp_path / "backups"
    with connect(filled) as http:
        unfinished = create(http, 1000)
        with upload_load(filled):
            first = backup(filled, target, "--limit-rate", "8")
        assert first["missing"] == 0
        assert first["copied_bytes"] > 30 * 150_000
        for record in records(http):
            wait_until_processed(http, record)

        before = hashes(target / "objects")
        (new,) = fill(http, 0, 0)
        second = backup(filled, target)
        added = hashes(target / "objects").keys() - before.keys()
        assert second["copied_bytes"] == sum((target / "objects" / path).stat().st_size for path in added)
        assert all(path.endswith(f"/{sha256}") for path, sha256 in hashes(target / "objects").items())
        windlass("verify", "--backup", str(target), home=filled.home)

        under_load, database = tmp_path / "under-load", new_database()
        windlass("restore", str(target), "--backup", first["id"], home=under_load, **database)
        assert " 0 damaged" in windlass("verify", home=under_load, **database).stdout

        signed = http.post(f"/files/{new}/signed-url/").json()["url"]
        database = new_database()
        restored = ServerProcess(tmp_path / "restored", **database)
        said = windlass("restore", str(target), "--into", str(restored.home), home=tmp_path / "unused", **database)
        assert "1 unfinished uploads expired" in said.stdout
        restored.start()
        try:
            with connect(restored) as other:
                assert records(other) == records(http)
                for file, record in records(other).items():
                    content = other.get(f"/files/{file}/download/").content
                    assert hashlib.sha256(content).hexdigest() == record["checksum"]
                assert other.get(httpx.URL(signed).raw_path.decode()).status_code == 200
                thumbnail = httpx.URL(other.get(f"/files/{new}/").json()["thumbnail_url"])
                assert other.get(thumbnail.raw_path.decode()).status_code == 200
                assert other.head(unfinished, headers={"Tus-Resumable": "1.0.0"}).status_code in (404, 410)
            refused = windlass("restore", str(target), home=restored.home, code=2, **database)
            assert "served already" in refused.stderr
        finally:
            restored.kill()
        assert audited(filled) == [("backup.made", first["id"]), ("backup.made", second["id"])]
        # The entry of a backup is made when it is complete, so a backup does not have its own.
        expected = [("backup.made", first["id"]), ("backup.restored", second["id"])]
        assert audited(restored) == expected
        http.delete(unfinished, headers={"Tus-Resumable": "1.0.0"})
        refused = windlass("restore", str(target), home=restored.home, code=2, **database)
        assert "exists" in refused.stderr or "is not empty" in refused.stderr


def audited(server: ServerProcess) -> list[tuple[str, str]]:
    """What the audit log says last of backups: the action and the id."""
    exported = server.command("audit", "export")
    assert exported.returncode == 0, exported.stderr
    entries = [each for each in map(json.loads, exported.stdout.splitlines()) if each["action"].startswith("backup.")]
    assert all(each["actor_name"].startswith("os:") for each in entries)
    return [(each["action"], each["subject"]) for each in entries[-2:]]


def kill_when(process: subprocess.Popen[str], reached: Callable[[], bool]) -> bool:
    """SIGKILL the process once the condition is true. Return False if it ended before."""
    eventually(lambda: reached() or process.poll() is not None, every=0.001)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode != 0


def count(directory: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(directory))


def at_objects(directory: Path, number: int) -> Callable[[], bool]:
    return lambda: count(directory) >= number


def test_a_killed_backup_or_restore_goes_on_when_it_is_run_again(
    filled: ServerProcess, new_database: NewDatabase, tmp_path: Path
) -> None:
    target, restored, database = tmp_path / "backups", tmp_path / "restored", new_database()
    points = random.Random(20).sample(range(1, 28), 2)
    killed = 0
    for reached in (
        *(at_objects(target / "objects", point) for point in sorted(points)),
        lambda: any((target / "backups").glob("*/database.*")),
    ):
        process = start("backup", str(target), "--limit-rate", "8", home=filled.home, **filled.environment)
        killed += kill_when(process, reached)
    assert killed >= 2
    made = backup(filled, target)
    assert made["missing"] == 0
    listed = windlass("backups", "list", str(target), "--json", home=filled.home).stdout.splitlines()
    assert len(listed) == 4 - killed
    stored = hashes(filled.home / "media")
    assert set(stored.values()) == set(hashes(target / "objects").values())
    assert not list(target.glob("objects/*/.put-*"))

    loading = ".restore-*/database.pgdump" if database else "windlass.sqlite3.restoring"
    assert kill_when(
        start("restore", str(target), home=restored, **database), at_objects(restored / "media", points[0])
    )
    for command in (["serve", "--port", "0"], ["token", "list"]):
        refused = windlass(*command, home=restored, code=2, **database)
        assert "holds a restore that has not ended" in refused.stderr
    if database:  # another machine has another home directory
        refused = windlass("migrate", home=tmp_path / "other", code=2, **database)
        assert "the database holds a restore that has not ended" in refused.stderr
    kill_when(start("restore", str(target), home=restored, **database), lambda: any(restored.glob(loading)))
    if (restored / "unfinished-restore.json").exists():
        windlass("restore", str(target), home=restored, **database)
    assert hashes(restored / "media") == stored
    assert not [path for path in restored.iterdir() if "restor" in path.name]
    assert " 0 damaged" in windlass("verify", home=restored, **database).stdout
    tokens = windlass("user", "list", home=restored, **database)
    assert tokens.returncode == 0


def test_an_encrypted_backup_in_a_bucket_is_restored_into_a_local_store(
    make_server: Callable[..., ServerProcess], s3_server: S3Server, tmp_path: Path
) -> None:
    here, there = s3_server.new_bucket(), s3_server.new_bucket()
    key = {"BACKUP_ENCRYPTION_KEY": secret_keys.generate()}
    server, target = make_server(**s3_server.settings(here), **key), f"s3://{there}/nightly"
    settings = s3_server.settings(here) | {"STORAGE_BACKEND": "local"} | key
    with connect(server) as http:
        ids = fill(http, 2, 9 * MB)[:2]
        known = records(http)
        refused = server.command("backup", f"s3://{here}")
        assert refused.returncode == 2
        assert "where the store 's3' keeps its files" in refused.stderr
        made = backup(server, target)
        assert (made["objects"], made["copied"], made["missing"]) == (4, 4, 0)
        assert backup(server, target)["copied"] == 0
        http.delete(f"/files/{ids[0]}/")

        bucket = Bucket(s3_server, there)
        (damaged,) = (name for name in bucket.objects() if name.endswith(f"{known[ids[1]]['checksum']}.enc"))
        body = bytearray(s3_server.client.get_object(Bucket=there, Key=damaged)["Body"].read())
        body[MB] ^= 1
        s3_server.client.put_object(Bucket=there, Key=damaged, Body=bytes(body))
        found = windlass("verify", "--backup", target, "--delete-damaged", home=tmp_path / "x", code=1, **settings)
        assert known[ids[1]]["checksum"] in found.stdout
        assert "1 of them deleted" in found.stdout
        assert backup(server, target)["copied"] == 1
        windlass("verify", "--backup", target, home=tmp_path / "x", **settings)
        pruned = windlass("backups", "prune", target, "--keep", "1", "--json", home=tmp_path / "x", **settings)
        assert json.loads(pruned.stdout)["objects"] == 1, "that of the file that was deleted"
        windlass("verify", "--backup", target, home=tmp_path / "x", **settings)

    wrong = {"BACKUP_ENCRYPTION_KEY": secret_keys.generate()}
    refused = windlass("restore", target, home=tmp_path / "y", code=2, **settings | wrong)
    assert "encrypted under the key" in refused.stderr
    refused = windlass("restore", target, home=tmp_path / "z", code=2, **settings | {"AWS_STORAGE_BUCKET_NAME": ""})
    assert "--store s3=OTHER" in refused.stderr
    restored = tmp_path / "restored"
    windlass("restore", target, "--store", "s3=local", home=restored, **settings)
    assert "2 files" in windlass("verify", "--store", "local", home=restored, **settings).stdout
    checksums = {record["checksum"] for file, record in known.items() if file != ids[0]}
    assert checksums < set(hashes(restored / "media").values())


def test_ctrl_c_ends_a_backup_cleanly(filled: ServerProcess, tmp_path: Path) -> None:
    target = tmp_path / "backups"
    process = start("backup", str(target), "--limit-rate", "1", home=filled.home, **filled.environment)
    eventually(at_objects(target / "objects", 2))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run the same command again" in errors
    assert "Traceback" not in errors
    assert not list(target.glob("backups/*"))
    assert not list(filled.home.glob(".backup-*"))
    with connect(filled) as http:  # the hold on stored objects has ended
        assert http.get("/readyz").status_code == 200
