"""What ``deploy/compose.yaml`` describes works: the same processes with the same settings, started without Docker."""

from __future__ import annotations

import hashlib
import io
import os
import random
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest

from tests import deployment_files as deployment
from tests import samples, seccomp_filter, services
from tests.conftest import require
from tests.process.compose_set import ComposeSet
from tests.process.serving import TIMEOUT, until
from windlass.client import Client
from windlass.client.upload_settings import UploadOptions
from windlass.kernel.counter_files import read_totals

MB = 1024 * 1024
SIZE = 16 * MB
#: Bytes of one request. The client waits in the middle of one until every web process was restarted.
CHUNK, WAIT_AT = 4 * MB, 6 * MB
#: Files that are sent at the same time.
FILES = 32
#: Keys of ``windlass_requests``, of uploads only: ``none`` are all other requests.
_UPLOAD_REQUESTS = r"\x1fwindlass_requests\x1f(?!none\x1f)"


@pytest.fixture
def clamd(clamd_program: str) -> Iterator[services.Clamd]:
    """clamd with the limits of the file."""
    limits = [line for line in deployment.CLAMD.read_text().splitlines() if line.startswith(("Stream", "Max", "Alert"))]
    with services.clamd(clamd_program, *(line for line in limits if not line.startswith("MaxThreads"))) as server:
        yield server


@pytest.fixture
def compose_set(
    tmp_path: Path, postgres: str, redis: str, s3_server: services.S3Server, clamd: services.Clamd
) -> Iterator[ComposeSet]:
    places = {
        "redis://redis:6379/0": redis,
        "http://s3:7070": s3_server.url,
        "tcp://clamav:3310": clamd.tcp,
        "172.31.250.0/24": "127.0.0.1",
    }
    secrets = {
        "secret_key": "e5" * 32 + "abcdefgh",
        "metrics_token": "to-scrape",
        "database_url": postgres,
        "neo4j_password": "x",
    }
    bucket = s3_server.settings(s3_server.new_bucket())
    secrets["s3_secret_key"] = bucket["AWS_SECRET_ACCESS_KEY"]
    chosen = {name: bucket[name] for name in ("AWS_STORAGE_BUCKET_NAME", "AWS_ACCESS_KEY_ID")}
    chosen["JOB_LEASE_SECONDS"] = "5"  # after which the jobs of a killed worker are taken up
    require(seccomp_filter.library(), "libseccomp's library is not installed")
    with ComposeSet(tmp_path, places, secrets, chosen) as started:
        started.restrict(require(services.find_docker_profile(), "go, which gets Docker's profile, is not on PATH"))
        yield started


@pytest.mark.slow
def test_the_set_serves_uploads_through_a_rolling_restart(
    compose_set: ComposeSet, tmp_path: Path, postgres: str
) -> None:
    nginx = require(services.find_nginx(), "nginx is not installed")
    compose_set.run("migrate")
    webs = compose_set.start("web")
    workers = compose_set.start("worker")
    compose_set.start("scheduler")
    for name in webs:
        compose_set.wait_until_alive(name)
    url = compose_set.start_nginx(nginx)
    token = compose_set.run("windlass", "windlass", "token", "create", "--user", "ana", "--staff").strip()

    assert httpx.get(f"{url}/files/").status_code == 401
    assert httpx.get(f"{url}/livez", headers={"Host": "another.example.org"}).status_code == 400
    with Client(url, token=token) as client:
        picture = client.wait(client.upload(_file(tmp_path / "photo.jpg", samples.jpeg(320, 200))).id)
        assert (picture.status, picture.width) == ("READY", 320)
        refused = client.wait(client.upload(_file(tmp_path / "eicar.com", services.EICAR)).id)
        assert refused.status == "QUARANTINED"
        _every_process_has_a_share(client, compose_set, webs, workers, postgres, tmp_path / "counters")
        _a_web_process_and_a_worker_are_killed(client, compose_set)
        _upload_through_a_rolling_restart(client, compose_set, webs, tmp_path)
    _everything_is_healthy(url, token)


def _every_process_has_a_share(
    client: Client,
    compose_set: ComposeSet,
    webs: Sequence[str],
    workers: Sequence[str],
    database: str,
    directory: Path,
) -> None:
    """Of files that come at the same time each web process receives some, and each worker processes some."""
    until(lambda: _alive_workers(database) == len(workers), "every worker to consume")
    received, processed = _received(compose_set, directory / "before"), _processed(database)
    _send_together(client)
    after = _received(compose_set, directory / "after")
    assert len(after) == len(webs) > 1, after
    assert all(count > received[name] for name, count in after.items()), (received, after)
    begun = _processed(database)
    assert len(begun) == len(workers) > 1, begun
    assert all(count > processed.get(name, 0) for name, count in begun.items()), (processed, begun)


def _a_web_process_and_a_worker_are_killed(client: Client, compose_set: ComposeSet) -> None:
    """In the middle of many uploads. The others go on with what these had, and no file is lost."""
    killed = ("web-1", "worker-1")
    _send_together(client, lambda: [compose_set.kill_replica(name) for name in killed])
    for name in killed:
        compose_set.start_replica(name)
    compose_set.wait_until_alive("web-1")


def _send_together(client: Client, in_the_middle: Callable[[], object] = lambda: None) -> None:
    """Upload files from several threads, each with its own content, and wait until all are READY with their SHA-256."""
    some_are_there = threading.Semaphore(0)

    def send(number: int) -> None:
        content = random.Random(number).randbytes(64 * 1024) + os.urandom(16)
        file = client.upload(io.BytesIO(content), filename=f"{number}.bin")
        some_are_there.release()
        record = client.wait(file.id)
        assert (record.status, record.checksum) == ("READY", hashlib.sha256(content).hexdigest())

    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(send, number) for number in range(FILES)]
        for _ in range(FILES // 4):
            assert some_are_there.acquire(timeout=TIMEOUT)
        in_the_middle()
        for each in sent:
            each.result()


def _received(compose_set: ComposeSet, directory: Path) -> dict[str, float]:
    """Requests of uploads that each web process has answered. ``/metrics`` gives sums, so their own files are read."""
    found = {}
    for file in compose_set.counter_files("web"):
        alone = directory / file.name
        alone.mkdir(parents=True)
        shutil.copy(file, alone)
        of_uploads = (value for key, value in read_totals(alone).items() if re.search(_UPLOAD_REQUESTS, key))
        found[file.name] = sum(of_uploads)
    return found


def _alive_workers(database: str) -> int:
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT count(*) FROM windlass_jobs_processheartbeat WHERE role = 'worker'"
        ).fetchone()
    assert found
    return int(found[0])


def _processed(database: str) -> dict[str, int]:
    """Attempts that each worker has begun."""
    with psycopg.connect(database) as connection:
        return dict(connection.execute("SELECT worker, count(*) FROM windlass_jobs_attempt GROUP BY worker").fetchall())


def _upload_through_a_rolling_restart(
    client: Client, compose_set: ComposeSet, webs: list[str], directory: Path
) -> None:
    content = random.Random(1).randbytes(SIZE)
    file = _file(directory / "film.bin", content)
    waiting, restarted = threading.Event(), threading.Event()
    interruptions: list[str] = []
    uploaded: list[str] = []

    def progress(done: int, _total: int) -> None:
        if done >= WAIT_AT:
            waiting.set()
            restarted.wait(TIMEOUT)

    def upload() -> None:
        chosen: UploadOptions = {"on_progress": progress, "on_notice": interruptions.append}
        uploaded.append(client.upload(file, chunk_size=CHUNK, parallel_parts=1, **chosen).id)

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        assert waiting.wait(TIMEOUT)
        for name in webs:
            assert compose_set.stop_replica(name) == 0, compose_set.log(name)
            compose_set.start_replica(name)
            compose_set.wait_until_alive(name)
        assert not uploaded, "the upload was over before the restart"
    finally:
        restarted.set()
        thread.join()
    assert uploaded, interruptions
    assert interruptions, "no request of the upload was interrupted"
    assert "502" not in " ".join(interruptions), "nginx passed requests to a process that had stopped"
    record = client.wait(uploaded[0])
    digest = hashlib.sha256(content).hexdigest()
    assert (record.status, record.checksum) == ("READY", digest)
    got = client.download(record.id, directory / "again.bin")
    assert hashlib.sha256(got.read_bytes()).hexdigest() == digest


def _everything_is_healthy(url: str, token: str) -> None:
    """Every component that the file configures, as one of the web processes sees it."""
    assert httpx.get(f"{url}/readyz").json()["status"] == "ok"
    answer = httpx.get(f"{url}/error-handling/health", headers={"Authorization": f"Bearer {token}"}).raise_for_status()
    states = {name: each["state"] for name, each in answer.json()["components"].items()}
    wanted = {"database", "migrations", "store", "sandbox", "broker", "scheduler", "scanner"}
    wanted |= {f"workers.{stage}" for stage in ("intake", "describe", "derive")}
    assert {name: states.get(name) for name in wanted} == dict.fromkeys(wanted, "ok")


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
