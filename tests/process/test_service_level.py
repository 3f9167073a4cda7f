"""The service level by real failures: components are killed in turn, and what works is compared with what is said."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests import rendition_samples, samples, services
from tests.conftest import require
from tests.process.conftest import ServerProcess
from tests.process.serving import TIMEOUT, until

PROFILES = """
[default]
malware_scan = "optional"
audio_preview = true
"""


class Site:
    """A server with PostgreSQL, Redis, S3 and clamd, and a client of it."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.url, timeout=TIMEOUT)

    def level(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get("/error-handling/service-level").json()
        return found

    def wait_for(self, level: str) -> set[str]:
        """Wait for the level; return the features that are said to work, which the health report says too."""
        found = until(lambda: (now := self.level())["level"] == level and now, f"the level {level}; {self.level()}")
        until(lambda: self.http.get("/error-handling/health").json()["service_level"] == level, "the health report")
        assert self.http.get("/error-handling/health").json()["available_features"] == found["available_features"]
        return set(found["available_features"])

    def upload(self, content: bytes, name: str) -> str:
        answer = self.http.post("/files/", params={"filename": name}, content=content)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def status(self, file_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/files/{file_id}/status/").json()
        return found

    def wait_until_ready(self, file_id: str) -> dict[str, Any]:
        return until(lambda: (now := self.status(file_id))["status"] == "READY" and now, "the file")

    def thumbnail(self, file_id: str) -> int:
        return self.http.get(f"/files/{file_id}/thumbnail/").status_code


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as services_of_test:
        yield services_of_test


@pytest.mark.slow
def test_each_component_that_is_away_lowers_the_level_and_what_was_owed_is_made_good(
    make_server: Callable[..., ServerProcess], postgres: str, clamd_program: str, stack: ExitStack, tmp_path: Path
) -> None:
    clamd = stack.enter_context(services.clamd(clamd_program))
    s3 = stack.enter_context(services.s3(require(services.find_s3(), "versitygw is not built and go is not on PATH")))
    redis = stack.enter_context(ExitStack())
    broker = redis.enter_context(services.redis(require(services.find_redis(), "redis-server is not installed"))).url
    (tmp_path / "profiles.toml").write_text(PROFILES)
    server = make_server(
        DATABASE_URL=postgres,
        CELERY_BROKER_URL=broker,
        CLAMAV_URL=clamd.tcp,
        WINDLASS_PROFILES=str(tmp_path / "profiles.toml"),
        SWEEP_SECONDS="0.5",
        BACKFILL_PER_MINUTE="600",
        BREAKER_RECOVERY_SECONDS="0.5",
        **s3.settings(s3.new_bucket()),
    )
    site = Site(server)
    stack.callback(site.http.close)
    until(lambda: site.level()["components"].get("workers.intake") == "ok", "the worker")
    everything = site.wait_for("full")
    assert everything >= {"uploads", "downloads", "malware_scan", "processing", "thumbnails", "previews"}

    clamd.kill()
    assert everything - site.wait_for("degraded") == {"malware_scan", "previews", "ocr"} & everything
    assert "The malware scanner: failed since" in site.level()["reason"]
    song = site.upload(rendition_samples.tone(), "a.wav")
    picture = site.upload(samples.jpeg(320, 200), "a.jpg")
    assert set(site.wait_until_ready(song)["owed"]) == {"malware", "audio_preview"}
    assert site.wait_until_ready(picture)["owed"] == ["malware"]
    assert site.thumbnail(picture) == 200
    clamd.start()

    worker = server.worker_pid()
    os.kill(worker, signal.SIGSTOP)
    features = site.wait_for("basic")
    assert not features & {"processing", "thumbnails", "previews", "malware_scan"}
    assert features >= {"uploads", "downloads"}
    waiting = site.upload(samples.jpeg(321, 200), "b.jpg")
    assert site.status(waiting)["status"] == "PENDING"
    assert site.http.get(f"/files/{picture}/download/").status_code == 200
    os.kill(worker, signal.SIGCONT)
    site.wait_until_ready(waiting)
    assert site.thumbnail(waiting) == 200, "a worker that runs postpones nothing because workers were away"

    s3.kill()
    assert not site.wait_for("maintenance") & {"uploads", "downloads", "processing"}
    refused = site.http.post("/files/", params={"filename": "c.txt"}, content=b"no")
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/uploads-paused")
    assert "The default store: failed since" in refused.json()["detail"]
    assert int(refused.headers["Retry-After"]) > 0
    assert site.http.get(f"/files/{picture}/download/", follow_redirects=False).status_code >= 500
    s3.start()

    assert site.wait_for("full") == everything
    shown = json.loads(server.command("level", "show", "--json").stdout)
    assert (shown["level"], set(shown["available_features"])) == ("full", everything)
    until(lambda: site.status(song)["owed"] == [] and site.status(picture)["owed"] == [], "what was owed")
    assert site.http.get(f"/files/{song}/renditions/preview/").status_code == 200

    redis.close()
    assert not site.wait_for("basic") & {"processing", "malware_scan"}
    assert site.status(site.upload(b"later", "d.txt"))["status"] == "PENDING"

    with psycopg.connect(postgres) as database:
        told = database.execute("SELECT data FROM windlass_events_event WHERE type = 'system.level' ORDER BY id")
        levels = [data["level"] for (data,) in told]
    assert {"degraded", "basic", "maintenance", "full"} <= set(levels)
    assert all(one != other for one, other in pairwise(levels)), "one event for each change"
