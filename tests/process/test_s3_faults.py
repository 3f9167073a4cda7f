"""Faults 12 and 13 of the guarantees: what lies between Windlass and the store breaks, or the store does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests import services
from tests.conftest import require
from tests.process.acknowledgements import GeneratedContent
from tests.process.buckets import Bucket, assert_stored_and_served, random_content, send_part_of_patch
from tests.process.chunk_client import ChunkUpload, digest
from tests.process.conftest import ServerProcess
from tests.process.cutting_proxy import Proxy
from tests.process.wire import (
    MB,
    TUS,
    StoredData,
    connect,
    create,
    eventually,
    file_id_of,
    offset,
    offset_after_restart,
    patch,
    wait_until_processed,
)
from tests.services import S3Server

PART = 5 * MB


@pytest.fixture(scope="module")
def proxy(s3_server: S3Server) -> Iterator[Proxy]:
    made = Proxy(s3_server.port)
    yield made
    made.close()


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> Bucket:
    return Bucket(s3_server, s3_server.new_bucket())


@pytest.fixture(scope="module")
def behind(
    proxy: Proxy, s3_server: S3Server, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server that reaches its bucket through the proxy."""
    place = {"AWS_S3_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}", "AWS_S3_PART_SIZE_MB": "5"}
    quick = {"AWS_S3_MAX_ATTEMPTS": "2", "BREAKER_RECOVERY_SECONDS": "1", "CHECKPOINT_BYTES": str(8 * MB)}
    server = ServerProcess(tmp_path_factory.mktemp("cut") / "home", **s3_server.settings(bucket.name) | place | quick)
    server.start()
    yield server
    server.kill()


def sweep(server: ServerProcess) -> None:
    """Delete orphans as the scheduler does, but without its minimum age."""
    code = (
        "import django; django.setup()\n"
        "from windlass.files import api as files\n"
        "from windlass.storage.registry import store\n"
        "files.delete_orphans(store(), older_than_hours=0)"
    )
    home = {"WINDLASS_HOME": str(server.home), "DJANGO_SETTINGS_MODULE": "windlass.settings"}
    subprocess.run([sys.executable, "-c", code], env=server.environment | home, check=True, timeout=60)


def send_all(http: httpx.Client, path: str, data: bytes, step: int) -> list[int]:
    """Send from the server's offset until the upload is complete, as a retrying client does. Returns the statuses."""
    said: list[int] = []
    while len(said) < 20 and (at := offset(http, path)) < len(data):
        said.append(patch(http, path, at, data[at : at + step]).status_code)
    return said


#: Twice is as often as a request is tried: the client hears of it, and comes again.
CUTS = [
    ("begin", "after", 1),
    ("part", "after", 1),
    ("part", "before", 2),
    ("part", "after", 2),
    ("piece", "after", 2),
    ("complete", "before", 1),
    ("complete", "after", 1),
]


@pytest.mark.parametrize(("request_", "when", "times"), CUTS)
def test_a_cut_connection_leaves_one_object_with_the_right_bytes(
    behind: ServerProcess, proxy: Proxy, bucket: Bucket, request_: str, when: str, times: int
) -> None:
    """Fault 12: one object, with the right checksum, and nothing beside it after the sweep."""
    data = os.urandom(17 * MB + 3)
    before = set(bucket.objects())
    with connect(behind) as http:
        proxy.cut(request_, when, times=times)
        path = create(http, len(data))
        said = send_all(http, path, data, 11 * MB)
        assert proxy.cuts == times
        assert said[-1] == 204
        assert set(said) <= {204, 503}
        assert (503 in said) == (times == 2 or (request_, when) == ("complete", "before")), said
        assert_stored_and_served(http, bucket, file_id_of(http, path), data)
    sweep(behind)
    assert bucket.unfinished() == []
    (made,) = set(bucket.objects()) - before
    assert bucket.objects()[made] == len(data)


def test_a_chunk_whose_reply_from_the_store_is_lost_is_stored_once(
    behind: ServerProcess, proxy: Proxy, bucket: Bucket
) -> None:
    data, before = os.urandom(2 * PART + 9), set(bucket.objects())
    with connect(behind) as http:
        upload = ChunkUpload.create(http, data, PART, file_hash=digest(data))
        proxy.cut("part", "after", times=2)
        assert [upload.put(index).status_code for index in (0, 2, 1)] == [200, 200, 503]
        assert upload.status()["progress"]["missing_chunks"] == [1]
        assert eventually(lambda: upload.put(1).status_code == 200)
        done = upload.complete().json()
        assert_stored_and_served(http, bucket, done["file_id"], data)
    sweep(behind)
    assert bucket.unfinished() == []
    assert len(set(bucket.objects()) - before) == 1


def test_a_process_killed_while_the_store_completes_the_object_leaves_one_object(
    behind: ServerProcess, proxy: Proxy, bucket: Bucket
) -> None:
    """Fault 12, around Complete: the store completes the object, and the process dies before the reply."""
    data, before = random_content(27 * MB + 3), set(bucket.objects())
    with connect(behind) as http:
        path = create(http, len(data))
        assert patch(http, path, 0, data[: 11 * MB]).status_code == 204
        proxy.cut("complete", "after", act=lambda: os.kill(behind.web_pid(), signal.SIGKILL))
        with contextlib.suppress(httpx.TransportError):
            patch(http, path, 11 * MB, data[11 * MB :])
        assert proxy.cuts == 1
        at = offset_after_restart(http, path)
        assert at < len(data)
        assert len(data) in bucket.objects().values(), "the object was there before its record"
        assert patch(http, path, at, data[at:]).status_code == 204
        assert_stored_and_served(http, bucket, file_id_of(http, path), data)
    sweep(behind)
    assert bucket.unfinished() == []
    assert len(set(bucket.objects()) - before) == 1


def states(stored_data: StoredData) -> list[str]:
    """Return the states of the store's breaker in the journal, in order."""
    rows = stored_data.rows("SELECT data FROM windlass_events_event WHERE type = 'system.breaker' ORDER BY id")
    said = [json.loads(row[0]) for row in rows]
    return [each["state"] for each in said if each["breaker"] == "storage"]


REFUSED: dict[str, Callable[[httpx.Client], httpx.Response]] = {
    "raw": lambda http: http.post("/files/?filename=a", content=b"bytes"),
    "form": lambda http: http.post("/files/", files={"file": ("a.bin", b"bytes")}),
    "tus": lambda http: http.post("/files/", headers=TUS | {"Upload-Length": "9"}),
    "chunks": lambda http: http.post("/api/v1/upload/init", json={"filename": "a", "total_size": 9, "mime_type": ""}),
}


@pytest.fixture
def own_s3() -> Iterator[S3Server]:
    """A server that the test may kill."""
    with services.s3(require(services.find_s3(), "versitygw is not built and go is not on PATH")) as server:
        yield server


def test_an_upload_resumes_after_the_store_was_killed_during_a_patch(
    own_s3: S3Server, make_server: Callable[..., ServerProcess]
) -> None:
    """Faults 12 and 13: cut after parts were stored; 503 while it is away; then the upload goes on, and one object is
    there."""
    bucket = Bucket(own_s3, own_s3.new_bucket())
    quick = {"AWS_S3_MAX_ATTEMPTS": "2", "AWS_S3_TIMEOUT_SECONDS": "5", "BREAKER_RECOVERY_SECONDS": "1"}
    settings = own_s3.settings(bucket.name) | quick | {"CHECKPOINT_BYTES": str(8 * MB), "CHECKPOINT_SECONDS": "1"}
    server, large = make_server(**settings), GeneratedContent(48 * MB, seed=4)
    stored_data = StoredData(server)
    with connect(server) as http:
        path = create(http, large.size)

        def cut() -> None:
            eventually(lambda: stored_data.session(path)["offset"] > 10 * MB)
            own_s3.kill()

        send_part_of_patch(server, path, large, 30 * MB, cut)
        eventually(lambda: stored_data.session(path)["lease_holder"] == "")
        for name, send in REFUSED.items():
            away = send(http)
            assert away.status_code == 503, f"{name}: {away.text}"
            assert int(away.headers["Retry-After"]) > 0, name
        eventually(lambda: not REFUSED["raw"](http).is_success and states(stored_data)[-1:] == ["open"])
        at = offset(http, path)
        refused = patch(http, path, at, b"x" * 100)
        assert refused.status_code == 503
        eventually(lambda: http.get("/readyz").status_code == 503)
        own_s3.start()
        at = offset(http, path)
        assert at > 10 * MB
        eventually(lambda: http.get("/readyz").status_code == 200)
        eventually(lambda: states(stored_data)[-1] == "closed")
        assert patch(http, path, at, b"".join(large.blocks())[at:]).status_code == 204
        record = wait_until_processed(http, file_id_of(http, path))
        assert (record["status"], record["checksum"]) == ("READY", large.sha256())
    assert bucket.unfinished() == []
    assert len([key for key in bucket.objects() if key.startswith("objects/")]) == 1


def test_processing_waits_while_the_store_is_unavailable(
    own_s3: S3Server, make_server: Callable[..., ServerProcess]
) -> None:
    """Fault 13 for the worker: no attempt is used up, and the files get ready when the store is back."""
    quick = {"AWS_S3_MAX_ATTEMPTS": "1", "BREAKER_RECOVERY_SECONDS": "1", "JOB_MAX_ATTEMPTS": "1"}
    server = make_server(**own_s3.settings(own_s3.new_bucket()), **quick)
    with connect(server) as http:
        os.kill(server.worker_pid(), signal.SIGSTOP)
        names = [http.post(f"/files/?filename={n}.txt", content=f"Haul {n}\n".encode()).json()["id"] for n in range(4)]
        own_s3.kill()
        os.kill(server.worker_pid(), signal.SIGCONT)
        eventually(lambda: "does not answer" in http.get(f"/files/{names[0]}/status/").text)
        own_s3.start()
        for name in names:
            assert wait_until_processed(http, name)["status"] == "READY"
