"""Each check of a component fails for real: its service is stopped, hangs or refuses, and then it is back."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests import services
from tests.conftest import require
from tests.process import step_package
from tests.process.conftest import ServerProcess
from tests.process.cutting_proxy import Proxy
from tests.process.redis_process import Redis
from tests.process.serving import Running, free_port, new_home, until
from tests.process.wire import StoredData, connect, eventually

#: A reader sees a component fail within this time of its death.
SEEN_SECONDS = 10.0
#: Nobody starts this process anew.
DEAD_SECONDS = 12.0


class Site:
    """A server and its health."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def health(self) -> dict[str, Any]:
        answer = self.http.get("/error-handling/health/")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def state(self, name: str) -> str:
        return str(self.health()["components"][name]["state"])

    def until_state(self, name: str, state: str, within: float = SEEN_SECONDS) -> None:
        eventually(lambda: self.state(name) == state, within=within, every=0.1)

    def breaker(self, name: str) -> str:
        return str(self.health()["circuit_breakers"][name]["state"])

    def is_ready(self) -> bool:
        answer = self.http.get("/readyz")
        assert answer.json()["status"] == ("ok" if answer.status_code == 200 else "failed")
        assert (answer.status_code == 200) or answer.headers["Retry-After"]
        return answer.status_code == 200

    def upload(self, content: bytes) -> str:
        answer = self.http.post("/files/", params={"filename": "a.txt"}, content=content)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def takes_uploads(self) -> bool:
        return self.http.post("/files/", params={"filename": "b.txt"}, content=b"again").status_code == 201

    def file_state(self, file: str) -> str:
        return str(self.http.get(f"/files/{file}/status/").json()["status"])


def breaker_events(server: ServerProcess, name: str) -> list[str]:
    rows = StoredData(server).rows("SELECT data FROM windlass_events_event WHERE type = 'system.breaker' ORDER BY id")
    told = [json.loads(row["data"]) for row in rows]
    return [event["state"] for event in told if event["breaker"] == name]


@pytest.fixture
def redis_process(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(require(services.find_redis(), "redis-server is not on PATH"), tmp_path)
    yield server
    server.kill()


@pytest.fixture
def clamd(clamd_program: str) -> Iterator[services.Clamd]:
    with services.clamd(clamd_program) as running:
        yield running


@pytest.fixture
def proxy(s3_server: services.S3Server) -> Iterator[Proxy]:
    made = Proxy(s3_server.port)
    yield made
    made.close()


@pytest.mark.slow
def test_each_service_is_seen_to_fail_and_to_be_back(
    make_server: Callable[..., ServerProcess],
    s3_server: services.S3Server,
    proxy: Proxy,
    redis_process: Redis,
    clamd: services.Clamd,
    tmp_path: Path,
) -> None:
    """Broker, scanner, store, and a service that a step names."""
    service_port = free_port()
    bucket = s3_server.settings(s3_server.new_bucket())
    server = make_server(
        **bucket | {"AWS_S3_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"},
        **step_package.install(tmp_path / "plugins", step_package.DEPENDENT),
        AWS_S3_MAX_ATTEMPTS="1",
        CELERY_BROKER_URL=redis_process.url,
        CLAMAV_URL=clamd.tcp,
        SWEEP_SECONDS="0.5",
        BREAKER_RECOVERY_SECONDS="1",
        BREAKER_SERVICES='{"oracle": {"failure_threshold": 2, "success_threshold": 1}}',
        HAWSER_SERVICE_PORT=str(service_port),
    )
    with connect(server) as http, ExitStack() as stack:
        site = Site(http)
        for name in site.health()["components"]:
            if name not in ("sandbox", "other_stores", "graph"):
                site.until_state(name, "ok", within=60)
        assert set(site.health()["circuit_breakers"]) == {"scanner", "storage", "broker", "service.oracle"}

        proxy.cut("any part", "before", times=10**9)  # a bucket that takes objects, and no parts

        # A step whose service is away: its files wait, nothing is called meanwhile, and no attempt is used up.
        asking = site.upload(b"ORACLE")
        eventually(lambda: site.breaker("service.oracle") == "open")
        assert site.file_state(asking) == "PENDING"
        listed = server.command("breaker", "list")
        assert "service.oracle" in listed.stdout, listed.stderr
        service = stack.enter_context(socket.create_server(("127.0.0.1", service_port)))
        assert service.fileno() > 0
        eventually(lambda: site.file_state(asking) == "READY")
        assert site.breaker("service.oracle") == "closed"
        assert breaker_events(server, "service.oracle") == ["open", "closed"]
        failed = "SELECT count(*) FROM windlass_jobs_attempt WHERE outcome NOT IN ('done', 'postponed')"
        assert StoredData(server).scalar(failed) == 0

        site.until_state("store", "failed", within=SEEN_SECONDS + 5)
        assert not site.is_ready()
        proxy.cut("any part", "before", times=0)
        eventually(site.is_ready, within=30, every=0.1)
        assert site.state("store") == "ok"
        # A store that was away for long enough had lowered the service level, which rises again a little later.
        eventually(site.takes_uploads, within=60, every=0.5)

        redis_process.kill()
        site.until_state("broker", "failed")
        assert site.is_ready(), "uploads are taken without a broker"
        waiting = site.upload(b"waits for the broker")
        eventually(lambda: breaker_events(server, "broker") == ["open"], every=0.1)
        redis_process.start()
        eventually(lambda: site.file_state(waiting) == "READY", every=0.1)
        site.until_state("broker", "ok")
        eventually(lambda: breaker_events(server, "broker") == ["open", "closed"], every=0.1)

        clamd.signal(signal.SIGSTOP)
        site.until_state("scanner", "failed")
        assert site.is_ready()
        clamd.signal(signal.SIGCONT)
        site.until_state("scanner", "ok")


@pytest.mark.slow
def test_a_stage_without_a_live_worker_is_seen(tmp_path: Path) -> None:
    """Workers of single stages, a killed one, a stopped one, and a stopped scheduler, on the embedded broker."""
    home, port = tmp_path / "home", free_port()
    new_home(home)
    with (
        Running("web", "--port", str(port), home=home),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
        ExitStack() as stack,
    ):
        site = Site(http)
        until(lambda: _answers(http), "the web process")
        assert site.is_ready(), "uploads are taken without workers"
        for name in ("workers.intake", "workers.describe", "workers.derive", "scheduler"):
            found = site.health()["components"][name]
            assert (found["state"], "None was seen" in found["detail"]) == ("failed", True)
        assert site.health()["status"] == "impaired"

        intake = stack.enter_context(Running("worker", "--queues", "intake", home=home))
        others = stack.enter_context(Running("worker", "--queues", "describe,derive", home=home))
        scheduler = stack.enter_context(Running("scheduler", home=home))
        for name in ("workers.intake", "workers.describe", "workers.derive", "scheduler"):
            site.until_state(name, "ok", within=60)
        assert site.health()["status"] in ("ok", "impaired"), "the sandbox may be impaired here"

        intake.end(signal.SIGKILL)
        site.until_state("workers.intake", "failed", within=DEAD_SECONDS)
        assert "The last one was seen" in site.health()["components"]["workers.intake"]["detail"]
        assert site.state("workers.describe") == "ok"
        others.end()
        site.until_state("workers.derive", "failed", within=5)
        scheduler.end()
        site.until_state("scheduler", "failed", within=5)
        assert site.is_ready()


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_a_database_that_cannot_be_written_is_seen(make_server: Callable[..., ServerProcess], postgres: str) -> None:
    server = make_server(DATABASE_URL=postgres)
    with connect(server) as http:
        site = Site(http)
        site.until_state("database", "ok")
        assert site.is_ready()
        _set_read_only(postgres, "on")
        eventually(lambda: not site.is_ready(), within=SEEN_SECONDS, every=0.1)
        found = http.get("/readyz").json()["checks"]["database"]
        assert (found["status"], found["detail"], found["required"]) == (
            "failed",
            "It answers, but cannot be written.",
            True,
        )
        assert site.health()["status"] == "failed"
        _set_read_only(postgres, "off")
        eventually(site.is_ready, within=30, every=0.1)
        site.until_state("workers.intake", "ok", within=60)


def _set_read_only(url: str, value: str) -> None:
    """Change the database, and end the connections that do not know it yet."""
    name = url.rpartition("/")[2]
    with psycopg.connect(url.replace(name, "postgres"), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}')  # type: ignore[arg-type]
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
