"""Metrics and logs of a whole installation: two web processes on one socket, and a worker.

What the metrics say was received and sent is compared with what the clients sent and received, byte for byte.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import migrated_home, samples
from tests.process.chunk_client import ChunkUpload
from tests.process.serving import WINDLASS, environment, until
from tests.process.wire import MB, PATCH, TUS, Wire, database_id, metadata, wait_until_processed

pytestmark = pytest.mark.slow

METRICS_TOKEN = "only-for-the-metrics-51c0"
SETTINGS = {
    "AUTH_MODE": "required",
    "METRICS_TOKEN": METRICS_TOKEN,
    "ACCESS_LOG": "true",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "debug",
    "MAX_UPLOAD_SIZE": str(8 * MB),
}
LIMIT = 8 * MB
Sample = tuple[str, frozenset[tuple[str, str]]]


class Installation:
    """Processes of one home, each with a log of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        self.environment = environment(home, **SETTINGS)
        migrated_home.prepare(home)
        self.token = self.run("token", "create", "--user", "shop").strip()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.set_inheritable(True)
        self.port = int(self.listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *arguments: str) -> str:
        command = [*WINDLASS, *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def start(self, name: str, *arguments: str) -> None:
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*WINDLASS, *arguments], env=self.environment, stderr=log, pass_fds=(self.listener.fileno(),)
            )

    def start_web(self, name: str) -> None:
        starts = self.log(name).read_text().count("web.listening") if self.log(name).exists() else 0
        self.start(name, "web", "--listener", str(self.listener.fileno()))
        until(lambda: self.log(name).read_text().count("web.listening") > starts, f"the start of {name}")

    def log(self, name: str) -> Path:
        return self.home.with_name(f"{name}.log")

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The log of a process, of which every line is a JSON object."""
        return [json.loads(line) for line in self.log(name).read_text().splitlines()]

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.listener.close()


class Ledger(httpx.Client):
    """A client that counts the bytes of both bodies, by dialect and outcome, and by kind. Each request has a connection
    of its own, so that both web processes get some."""

    def __init__(self, site: Installation) -> None:
        headers = {"Authorization": f"Bearer {site.token}", "Connection": "close"}
        super().__init__(base_url=site.url, headers=headers, timeout=60, event_hooks={"response": [self._count]})
        self.site = site
        self.dialect, self.kind = "none", "other"
        self.received: Counter[tuple[str, str]] = Counter()
        self.sent: Counter[str] = Counter()
        self.files = 0

    @contextmanager
    def counting(self, dialect: str = "none", kind: str = "other") -> Iterator[Ledger]:
        self.dialect, self.kind = dialect, kind
        yield self
        self.dialect, self.kind = "none", "other"

    def scrape(self) -> dict[Sample, float]:
        """Read the metrics, which are parsed with Prometheus's own parser."""
        answer = self.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
        assert answer.status_code == 200, answer.text
        samples = (each for family in text_string_to_metric_families(answer.text) for each in family.samples)
        return {(each.name, frozenset(each.labels.items())): each.value for each in samples}

    def _count(self, response: httpx.Response) -> None:
        size = int(response.request.headers.get("content-length", 0))
        self.received[self.dialect, "accepted" if response.status_code < 400 else "refused"] += size
        self.sent[self.kind] += len(response.read())


def by_labels(samples: dict[Sample, float], name: str, *labels: str) -> Counter[tuple[str, ...]]:
    """The sums of one metric by these of its labels, without zeros."""
    sums: Counter[tuple[str, ...]] = Counter()
    for (sample, labelled), value in samples.items():
        if sample == name:
            sums[tuple(dict(labelled)[label] for label in labels)] += int(value)
    return +sums


def received(samples: dict[Sample, float]) -> Counter[tuple[str, ...]]:
    """Bytes by dialect and outcome. What came after a refusal was a part of the refused request."""
    sums: Counter[tuple[str, ...]] = Counter()
    for (dialect, outcome), size in by_labels(samples, "windlass_received_bytes_total", "dialect", "outcome").items():
        sums[dialect, "refused" if outcome == "late" else outcome] += size
    return sums


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    site = Installation(tmp_path_factory.mktemp("metrics") / "home")
    try:
        site.start("worker", "worker")
        site.start_web("web-1")
        site.start_web("web-2")
        yield site
    finally:
        site.end()


@pytest.fixture(scope="module")
def ledger(site: Installation) -> Iterator[Ledger]:
    """The client, after uploads in every dialect, downloads and refusals."""
    with Ledger(site) as client:
        ids = [send_whole(client), send_tus(client), send_ietf(client), *send_chunks(client), send_media(client)]
        client.files += 1 + len(ids)  # send_whole stores two
        refuse(client)
        download(client, ids)
        yield client


def send_whole(client: Ledger) -> str:
    """A raw body and a form."""
    data = os.urandom(300_000)
    with client.counting("raw"):
        raw = client.post("/files/", content=data, headers={"X-Request-ID": "from-raw-to-ready"})
        assert raw.status_code == 201, raw.text
    with client.counting("form"):
        form = client.post("/files/", files={"file": ("a.bin", os.urandom(2 * MB + 77))}, data={"reference": "r"})
        assert form.status_code == 201, form.text
    return str(form.json()["id"])


def send_tus(client: Ledger) -> str:
    """Create, a PATCH that breaks off, one with a wrong checksum, and the rest."""
    size, first = 5 * MB + 13, 1_500_001
    data = os.urandom(size)
    with client.counting("tus"):
        created = client.post("/files/", headers=TUS | {"Upload-Length": str(size)} | metadata(filename="a.bin"))
        assert created.status_code == 201, created.text
        path = httpx.URL(created.headers["Location"]).path
        authorization = {"Authorization": f"Bearer {client.site.token}"}
        with Wire(client.site.port) as wire:
            wire.head("PATCH", path, PATCH | authorization | {"Upload-Offset": "0", "Content-Length": str(size)})
            wire.send(data[:first])
            wire.wait_until_read()
        client.received["tus", "interrupted"] += first
        assert client.head(path, headers=TUS).headers["Upload-Offset"] == str(first)
        wrong = base64.b64encode(hashlib.sha1(b"other").digest()).decode()
        sent = {"Upload-Offset": str(first), "Upload-Checksum": f"sha1 {wrong}"}
        assert client.patch(path, content=data[first:], headers=PATCH | sent).status_code == 460
        done = client.patch(path, content=data[first:], headers=PATCH | {"Upload-Offset": str(first)})
        assert done.status_code == 204, done.text
    return str(UUID(database_id(done.headers["Windlass-File"])))


def send_ietf(client: Ledger) -> str:
    version = {"Upload-Draft-Interop-Version": "6"}
    with client.counting("ietf"):
        created = client.post("/files/", content=os.urandom(70_000), headers=version | {"Upload-Complete": "?0"})
        assert created.status_code == 201, created.text
        more = {"Upload-Offset": "70000", "Upload-Complete": "?1", "Content-Type": "application/partial-upload"}
        done = client.patch(created.headers["Location"], content=os.urandom(30_000), headers=version | more)
        assert done.status_code in (200, 201), done.text
    return str(done.json()["id"])


def send_chunks(client: Ledger) -> Iterator[str]:
    with client.counting("chunks"):
        for send in (ChunkUpload.send, ChunkUpload.put):
            upload = ChunkUpload.create(client, os.urandom(600_000), 256 * 1024)
            for index in range(upload.total):
                assert send(upload, index).status_code == 200
            assert upload.put(0, b"too short").status_code in (400, 409, 422)
            done = client.post("/api/v1/upload/complete", json={"upload_id": upload.id})
            assert done.status_code == 200, done.text
            yield done.json()["file_id"]


def send_media(client: Ledger) -> str:
    with client.counting("media"):
        sent = client.post("/api/v1/media/upload/simple", files={"file": ("a.png", samples.png(300, 200), "image/png")})
        assert sent.status_code == 200, sent.text
    return str(sent.json()["id"])


def refuse(client: Ledger) -> None:
    """Bodies that are refused at their heads, while they arrive and at their ends; and of calls without files."""
    with client.counting("raw"):
        assert client.post("/files/", content=bytes(LIMIT + 1)).status_code == 413
        assert client.post("/files/?sha256=" + "0" * 64, content=bytes(400_000)).status_code == 422
    with client.counting("form"):
        assert client.post("/files/", files={"file": ("big.bin", bytes(LIMIT + 1))}).status_code == 413
    with client.counting("tus"):
        assert client.patch("/uploads/nothing", content=bytes(3 * MB), headers=PATCH).status_code in (400, 404)
    assert client.post("/uploads/grants", json={"profile": "nothing"}).status_code in (400, 404, 422)


def download(client: Ledger, ids: list[str]) -> None:
    """Whole files, which sendfile sends, ranges, heads and an archive."""
    for file_id in ids:
        assert wait_until_processed(client, file_id)["status"] == "READY"
    with client.counting(kind="file"):
        for file_id in ids:
            path = f"/files/{file_id}/download"
            assert client.get(path).status_code == 200
            assert client.get(path, headers={"Range": "bytes=5-250003"}).status_code == 206
            assert client.head(path).status_code == 200
    with client.counting(kind="archive"):
        assert client.get("/files/zip", params={"ids": ",".join(ids)}).status_code == 200


def test_received_bytes_are_those_that_the_clients_sent(ledger: Ledger) -> None:
    until(lambda: received(ledger.scrape()) == +ledger.received, "the last request's end")
    assert {dialect for dialect, _ in received(ledger.scrape())} == {
        "raw",
        "form",
        "tus",
        "ietf",
        "chunks",
        "media",
        "none",
    }


def test_sent_bytes_are_those_that_the_clients_received(ledger: Ledger) -> None:
    def adds_up() -> bool:
        before = Counter(ledger.sent)  # a scrape does not contain itself
        return by_labels(ledger.scrape(), "windlass_sent_bytes_total", "kind") == {(k,): n for k, n in before.items()}

    until(adds_up, "the last reply's end")
    assert ledger.sent["file"] > 8 * MB


def test_every_upload_and_job_is_counted_once(ledger: Ledger) -> None:
    def found(name: str, *labels: str) -> Counter[tuple[str, ...]]:
        return by_labels(ledger.scrape(), name, *labels)

    assert sum(found("windlass_upload_seconds_count", "dialect").values()) == ledger.files
    until(
        lambda: found("windlass_job_attempts_total", "stage", "outcome")["intake", "done"] == ledger.files, "the jobs"
    )
    assert found("windlass_job_wait_seconds_count", "stage")["intake",] == ledger.files
    assert found("windlass_step_run_seconds_count", "step", "outcome")["type", "done"] == ledger.files
    assert found("windlass_fsync_seconds_count", "kind")["data",] >= ledger.files
    commits, calls = found("windlass_database_commit_calls_count"), found("windlass_database_commit_calls_sum")
    assert calls[()] >= commits[()] >= ledger.files
    assert found("windlass_client_disconnects_total", "during")["body",] == 1


def test_both_web_processes_answered(ledger: Ledger) -> None:
    for name in ("web-1", "web-2"):
        assert any(line["event"] == "request" for line in ledger.site.lines(name))


def test_live_readers_are_counted_while_they_read(ledger: Ledger) -> None:
    def readers() -> float:
        return ledger.scrape()["windlass_live_readers", frozenset({("kind", "sse")})]

    headers = {"Authorization": f"Bearer {ledger.site.token}"}
    with httpx.stream("GET", f"{ledger.site.url}/events", headers=headers, timeout=60) as stream:
        frames = stream.iter_raw()
        next(frames)
        assert readers() == 1
    until(lambda: readers() == 0, "the end of the stream")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_no_fault(ledger: Ledger) -> None:
    scraped = ledger.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).content
    checked = subprocess.run(["promtool", "check", "metrics"], input=scraped, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_the_access_log_has_each_request_with_its_bytes(ledger: Ledger) -> None:
    def logged() -> list[dict[str, Any]]:
        lines = [line for name in ("web-1", "web-2") for line in ledger.site.lines(name)]
        return [line for line in lines if line["event"] == "request"]

    late = by_labels(ledger.scrape(), "windlass_received_bytes_total", "outcome")["late",]
    until(lambda: sum(line["bytes_in"] for line in logged()) + late == sum(ledger.received.values()), "the lines")
    [upload] = [line for line in logged() if line["request_id"] == "from-raw-to-ready"]
    assert upload["method"] == "POST"
    assert upload["path"] == "/files"
    assert (upload["status"], upload["bytes_in"], upload["dialect"]) == (201, 300_000, "raw")
    assert (upload["credential"], upload["client"]) == ("token", "127.0.0.1")
    assert re.fullmatch(r"user:\d+", upload["owner"])
    assert upload["bytes_out"] > 100
    assert upload["seconds"] > 0
    [cut] = [line for line in logged() if line["dialect"] == "tus" and line["status"] == 499]
    assert cut["bytes_in"] == 1_500_001
    gone = [line for name in ("web-1", "web-2") for line in ledger.site.lines(name) if "client_gone" in line["event"]]
    assert {(line["level"], line["during"], line["request_id"]) for line in gone} >= {
        ("info", "body", cut["request_id"])
    }


def test_the_request_id_is_in_every_line_of_the_job(ledger: Ledger) -> None:
    def lines_of_job() -> list[dict[str, Any]]:
        return [line for line in ledger.site.lines("worker") if line.get("request_id") == "from-raw-to-ready"]

    until(lambda: any(line["event"] == "job.ended" for line in lines_of_job()), "the job's last line")
    assert all(line["job_id"] for line in lines_of_job())
    ended = [line for line in ledger.site.lines("worker") if line["event"] == "job.ended"]
    assert all(line["request_id"] for line in ended)
    assert len({line["request_id"] for line in ended}) == ledger.files


def test_no_secret_is_logged(ledger: Ledger) -> None:
    granted = ledger.post("/uploads/grants", json={})
    assert granted.status_code == 201, granted.text
    grant_url = granted.json()["url"]
    with ledger.counting("raw"):
        assert httpx.URL(grant_url).params["grant"]
        sent = httpx.post(grant_url, content=b"by grant", headers={"X-Request-ID": "by-grant"})
        assert sent.status_code == 201, sent.text
        ledger.received["raw", "accepted"] += 8
        ledger.files += 1
    file_id = sent.json()["id"]
    signed = ledger.post(f"/files/{file_id}/signed-url", json={}).json()["url"]
    until(lambda: httpx.get(signed).status_code == 200, "the signed download")
    secrets = {httpx.URL(grant_url).params["grant"], httpx.URL(signed).params["signature"], ledger.site.token}
    for query in (
        "token=S3CRET",
        "%74oken=S3CRET",
        "ticket=S3CRET",
        "X-Amz-Signature=S3CRET",
        "access%5Ftoken=S3%43RET",
    ):
        httpx.get(f"{ledger.site.url}/files?{query}")
    until(lambda: "by-grant" in "".join(ledger.site.log(name).read_text() for name in ("web-1", "web-2")), "its line")
    until(lambda: log_of_all(ledger).count("***") >= 7, "the lines")
    for secret in (*secrets, METRICS_TOKEN, "S3CRET", "S3%43RET"):
        assert secret not in log_of_all(ledger)


def log_of_all(ledger: Ledger) -> str:
    return "".join(ledger.site.log(name).read_text() for name in ("web-1", "web-2", "worker"))


def test_counters_do_not_fall_when_processes_are_killed_and_replaced(ledger: Ledger) -> None:
    """The last test of this module: it replaces a process."""

    def counters() -> dict[Sample, float]:
        found = ledger.scrape().items()
        of_machine = {name: value for name, value in found if not name[0].startswith("windlass_process_")}
        return {name: value for name, value in of_machine.items() if name[0].endswith(("_total", "_count"))}

    before = counters()
    for name in ("web-1", "worker"):
        process = ledger.site.processes[name]
        process.send_signal(signal.SIGKILL)
        process.wait()
    for _ in range(2):
        after = counters()
        assert {name: value for name, value in before.items() if after[name] < value} == {}
    ledger.site.start_web("web-1")
    after = counters()
    assert {name: value for name, value in before.items() if after[name] < value} == {}
    files = list((ledger.site.home / "metrics").glob("*.counters"))
    assert len(files) == 2
