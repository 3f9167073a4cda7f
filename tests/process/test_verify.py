"""Fault 17: a bit flipped at rest. It is found although the store reports no error, and the bytes are not served."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import services
from tests.conftest import require
from tests.process.chunk_client import problem
from tests.process.conftest import ServerProcess
from tests.process.serving import Running
from tests.process.wire import MB, TUS, StoredData, connect, create, eventually, patch, wait_until_processed
from tests.services import S3Server

REFUSED = "content-damaged"


@pytest.fixture(scope="module")
def target_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Each test damages files of its own."""
    settings = {"VERIFY_MB_PER_SECOND": "0", "SENDFILE": "x-accel-redirect"}
    server = ServerProcess(tmp_path_factory.mktemp("verify") / "home", **settings)
    server.start()
    yield server
    server.kill()


def stored(http: httpx.Client, size: int, **fields: str) -> dict[str, Any]:
    return wait_until_processed(http, http.put("/files/a.bin", content=os.urandom(size), params=fields).json()["id"])


def object_of(server: ServerProcess, record: dict[str, Any]) -> Path:
    """Return the path of a file's object, read from the database."""
    stored_data = StoredData(server)
    key = stored_data.scalar(
        "SELECT b.key FROM windlass_files_blob b JOIN windlass_files_fileasset f ON f.blob_id = b.id WHERE f.id = ?",
        record["id"].replace("-", ""),
    )
    return server.home / "media" / str(key)


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


def run_verification(server: ServerProcess, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    result = server.command("verify", "--json", *arguments)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    return result.returncode, [json.loads(line) for line in result.stdout.splitlines()]


def content_check(http: httpx.Client) -> str:
    return str(http.get("/readyz").json()["checks"]["content"]["detail"])


def test_a_flipped_bit_on_the_disk_blocks_every_read_until_it_is_mended(
    http: httpx.Client, target_server: ServerProcess
) -> None:
    content = os.urandom(3 * MB)
    upload = create(http, len(content))
    patch(http, upload, 0, content)
    record = wait_until_processed(http, http.head(upload, headers=TUS).headers["Windlass-File"])
    other = stored(http, 1000)
    file = f"/files/{record['id']}"
    signed = http.post(f"{file}/signed-url/").json()["url"]
    assert run_verification(target_server)[0] == 0
    place = object_of(target_server, record)
    modified = place.stat()
    flip(place, 2 * MB + 77)
    os.utime(place, ns=(modified.st_atime_ns, modified.st_mtime_ns))
    assert http.get(f"{file}/download/").status_code == 200, "it has not been verified yet"

    code, told = run_verification(target_server)
    assert code == 1
    assert [(found["kind"], found["files"]) for found in told[:-1]] == [("changed", [record["id"]])]
    refused: dict[str, Callable[[], httpx.Response]] = {
        "download": lambda: http.get(f"{file}/download/"),
        "a range": lambda: http.get(f"{file}/download/", headers={"Range": "bytes=0-9"}),
        "what a cache has": lambda: http.get(f"{file}/download/", headers={"If-None-Match": f'"{record["checksum"]}"'}),
        "a signed URL": lambda: httpx.get(signed),
        "signing": lambda: http.post(f"{file}/signed-url/"),
        "ZIP": lambda: http.get("/files/zip", params={"ids": f"{other['id']},{record['id']}"}),
        "GET of the upload": lambda: http.get(upload),
        "processing": lambda: http.post(f"{file}/reprocess/"),
    }
    for name, ask in refused.items():
        answer = ask()
        assert "X-Accel-Redirect" not in answer.headers, name
        document = problem(answer, 409, REFUSED, damage="changed")
        assert "Retry-After" not in answer.headers
        assert str(place.name) not in document["detail"]
    assert http.get(f"/files/{other['id']}/download/").headers["X-Accel-Redirect"]
    (check,) = [each for each in http.get(f"{file}/").json()["checks"] if each["name"] == "integrity"]
    assert check["state"] == "failed"
    assert eventually(lambda: "1 stored files are damaged" in content_check(http), every=0.2), "kept for 10 s"
    assert "windlass_damaged_objects 1.0" in http.get("/metrics").text

    flip(place, 2 * MB + 77)  # as a restored backup would
    code, told = run_verification(target_server, "--damaged")
    assert (code, told[-1]["objects"], told[-1]["mended"]) == (0, 1, 1)
    assert http.get(f"{file}/download/").headers["X-Accel-Redirect"]
    events = StoredData(target_server).rows(
        "SELECT type FROM windlass_events_event WHERE file_id = ? AND type IN ('file.damaged', 'file.mended') "
        "ORDER BY id",
        record["id"].replace("-", ""),
    )
    assert [row[0] for row in events] == ["file.damaged", "file.mended"]


@pytest.fixture
def own_s3() -> Iterator[S3Server]:
    """A server that the test may kill."""
    with services.s3(require(services.find_s3(), "versitygw is not built and go is not on PATH")) as server:
        yield server


def test_a_flipped_bit_in_the_bucket_is_found(own_s3: S3Server, make_server: Callable[..., ServerProcess]) -> None:
    bucket = own_s3.new_bucket()
    timeouts = {"AWS_S3_TIMEOUT_SECONDS": "2", "AWS_S3_MAX_ATTEMPTS": "1", "VERIFY_MB_PER_SECOND": "0"}
    # Checks of the server may open the breaker of the store besides, which is closed again soon.
    server = make_server(**own_s3.settings(bucket), **timeouts, DOWNLOADS="redirect", BREAKER_RECOVERY_SECONDS="1")
    with connect(server) as http:
        record, other = stored(http, 9 * MB), stored(http, 1000)
        own_s3.kill()
        result = server.command("verify", "--json")
        assert (result.returncode, json.loads(result.stdout)["unread"]) == (3, 2), "a store that is away is not damaged"
        own_s3.start()
        assert eventually(lambda: http.get(f"/files/{record['id']}/download/").status_code == 302)
        place = next(path for path in (own_s3.directory / "data" / bucket).rglob("*") if is_of(path, 9 * MB))
        flip(place, 7 * MB)
        assert eventually(lambda: server.command("verify", "--json").returncode != 3)
        code, told = run_verification(server)
        assert (code, told[0]["kind"], told[0]["files"]) == (1, "changed", [record["id"]])
        problem(http.get(f"/files/{record['id']}/download/"), 409, REFUSED, damage="changed")
        assert http.get(f"/files/{other['id']}/download/").status_code == 302


def is_of(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def test_the_scheduler_verifies_files(http: httpx.Client, target_server: ServerProcess) -> None:
    record = stored(http, 100_000)
    flip(object_of(target_server, record), 500)
    often = {"VERIFY_EVERY_DAYS": "0.000001"}
    with Running("scheduler", home=target_server.home, **often) as scheduler:  # beside that of the server
        assert eventually(lambda: http.get(f"/files/{record['id']}/download/").status_code == 409)
        assert scheduler.end() == 0
    with Running("scheduler", home=target_server.home, **often, VERIFY_MB_PER_SECOND="0.001") as scheduler:
        assert eventually(lambda: "scheduler.started" in output_of(scheduler))
        assert scheduler.end() == 0, "in the middle of a file"


def output_of(process: Running) -> str:
    return process.output.read_text() + process.errors.read_text()


def test_ctrl_c_ends_verify_with_a_report(http: httpx.Client, target_server: ServerProcess) -> None:
    record = stored(http, 5 * MB)
    command = [sys.executable, "-m", "windlass", "verify", "--rate", "1", "--json", "--file", record["id"]]
    environment = target_server.environment | {"WINDLASS_HOME": str(target_server.home)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        assert running.stdout is not None
        assert b"stored files" in running.stderr.readline(), "it says how far it is"
        running.send_signal(signal.SIGINT)
        document = json.loads(running.stdout.read())
        assert (running.wait(60), document["stopped"]) == (130, True)
        assert b"Traceback" not in running.stderr.read()
