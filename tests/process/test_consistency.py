"""Any process may be killed at any moment: breakers, level, dead letters, files and jobs agree. Seeded."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import services
from tests.conftest import require
from tests.process import step_package
from tests.process.conftest import ServerProcess
from tests.process.consistency import count, total, violations
from tests.process.wire import connect, eventually

SEED = int(os.environ.get("CHAOS_SEED", "1"))
#: Six kills in a test run, twenty in each round of `make chaos`.
KILLS = 20 * int(os.environ["CHAOS_ROUNDS"]) if "CHAOS_ROUNDS" in os.environ else 6
#: The kind of database; ``make chaos DATABASE=postgresql``.
DATABASE = os.environ.get("CHAOS_DATABASE", "sqlite")
ROLES = ("web", "worker", "scheduler")
#: Files that are uploaded one after the other.
BURST = 3
#: Times that a process is killed before the whole server is: the supervisor waits longer before each further restart.
MOST_KILLS = 2
#: Seconds that a restarted process may need on a busy machine.
RESTART_SECONDS = 60.0


@pytest.fixture
def clamd(clamd_program: str) -> Iterator[services.Clamd]:
    with services.clamd(clamd_program) as running:
        yield running


@pytest.fixture
def s3() -> Iterator[services.S3Server]:
    """An S3 server of this test, which stops it."""
    program = require(services.find_s3(), "versitygw is not built and go is not on PATH")
    with services.s3(program) as running:
        yield running


@pytest.fixture
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """The setting of a new database of the kind that was asked for."""
    assert DATABASE in ("sqlite", "postgresql"), f"there is no kind of database {DATABASE!r}"
    return {"DATABASE_URL": request.getfixturevalue("postgres")} if DATABASE == "postgresql" else {}


class Chaos:
    """A server with a scanner and a store that come and go, and files on which a step fails until ``mended`` exists."""

    def __init__(
        self, server: ServerProcess, clamd: services.Clamd, s3: services.S3Server, mended: Path, seed: int
    ) -> None:
        self.server, self.mended = server, mended
        self.chance = random.Random(seed)
        self.acknowledged: dict[str, str] = {}
        self._services: list[services.Clamd | services.S3Server] = [clamd, s3]
        self._away: list[services.Clamd | services.S3Server] = []
        self._killed: Counter[str] = Counter()

    def act(self, http: httpx.Client) -> None:
        """Do one thing that a client, an operator or an outage does. A request may fail: its process may be gone."""
        deed = self.chance.choice([*[self.upload] * 3, *[self.upload_bad] * 3, *[self.flap] * 2, self.retry, self.pin])
        with contextlib.suppress(httpx.TransportError):
            deed(http)

    def upload(self, http: httpx.Client, prefix: bytes = b"wholesome") -> None:
        """Upload a few files, so that a worker that is killed has work."""
        for content in [prefix + b" %d" % self.chance.getrandbits(64) for _ in range(BURST)]:
            answer = http.post("/files/?filename=a.txt", content=content)
            if answer.status_code == 201:
                self.acknowledged[answer.json()["id"]] = hashlib.sha256(content).hexdigest()

    def upload_bad(self, http: httpx.Client) -> None:
        self.upload(http, b"STUBBORN")

    def flap(self, http: httpx.Client) -> None:
        """Take a service away, or bring back the one that is."""
        if self._away:
            self.bring_back()
        else:
            self._away.append(self.chance.choice(self._services))
            self._away[0].kill()

    def bring_back(self) -> None:
        while self._away:
            self._away.pop().start()

    def retry(self, http: httpx.Client) -> None:
        http.post("/error-handling/retry-tasks", json={"all": True})

    def pin(self, http: httpx.Client) -> None:
        """Pin a service level at which everything goes on, or return to the one of the components."""
        wanted = self.chance.choice([{"level": "degraded"}, {"level": "full"}, {"automatic": True}])
        http.put("/error-handling/service-level", json=wanted)

    def kill_one(self) -> None:
        """Kill one process, or all at once, at any moment; wait until another one has its place."""
        role = self.chance.choice(ROLES)
        before = self.server.pid_of(role)
        time.sleep(self.chance.random() / 2)
        if self._killed[role] == MOST_KILLS:
            self._killed.clear()
            self.server.kill()
            self.bring_back()  # a server does not start without its store
            self.server.start()
            return
        self._killed[role] += 1
        os.kill(before, signal.SIGKILL)
        eventually(lambda: self.server.pid_of(role) != before, within=RESTART_SECONDS)
        eventually(self.answers, within=RESTART_SECONDS)

    def answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.server.url}/livez", trust_env=False).status_code == 200
        return False

    def mend(self, http: httpx.Client) -> None:
        """End the outages."""
        self.bring_back()
        self.mended.touch()
        http.put("/error-handling/service-level", json={"automatic": True}).raise_for_status()

    def is_drained(self, http: httpx.Client) -> bool:
        """Retry what is dead; whether nothing is dead or open any more."""
        self.retry(http)
        return count(self.server, "windlass_jobs_job WHERE state IN ('queued', 'running', 'dead')") == 0


@pytest.mark.slow
def test_breakers_level_and_dead_letters_are_consistent_whatever_is_killed(
    make_server: Callable[..., ServerProcess],
    database: dict[str, str],
    clamd: services.Clamd,
    s3: services.S3Server,
    tmp_path: Path,
) -> None:
    mended = tmp_path / "mended"
    server = make_server(
        CLAMAV_URL=clamd.tcp,
        JOB_MAX_ATTEMPTS="2",
        JOB_BACKOFF_SECONDS="0.1",
        SWEEP_SECONDS="0.3",
        DEAD_RETRY_PER_MINUTE="6000",
        BREAKER_FAILURE_THRESHOLD="2",
        BREAKER_RECOVERY_SECONDS="1",
        HAWSER_MENDED=str(mended),
        **database,
        **s3.settings(s3.new_bucket()),
        **step_package.install(tmp_path / "plugins", step_package.STUBBORN),
    )
    chaos = Chaos(server, clamd, s3, mended, SEED)
    with connect(server) as http:
        chaos.upload_bad(http)
        eventually(lambda: count(server, "windlass_jobs_job WHERE state = 'dead'") == BURST, within=60)
        chaos.flap(http)
        chaos.upload(http)
        for number in range(KILLS):
            for _ in range(chaos.chance.randrange(2, 6)):
                chaos.act(http)
            chaos.kill_one()
            assert violations(server) == [], f"after kill {number + 1}"

        chaos.mend(http)
        eventually(lambda: chaos.is_drained(http), within=90, every=0.5)
        assert violations(server) == []
        for file, sha256 in chaos.acknowledged.items():
            record: dict[str, Any] = http.get(f"/files/{file}/").json()
            assert (record["status"], record["checksum"]) == ("READY", sha256), record
        eventually(lambda: are_closed(http, chaos), within=60, every=0.5)
        eventually(lambda: http.get("/error-handling/service-level").json()["level"] == "full", within=60, every=0.5)
        assert violations(server) == []
        print(summary(server))  # shown by pytest -s


def summary(server: ServerProcess) -> dict[str, int]:
    """How much has happened."""
    counts = {
        "files": "windlass_files_fileasset",
        "attempts": "windlass_jobs_attempt",
        "lost": "windlass_jobs_attempt WHERE outcome = 'lost'",
        "postponed": "windlass_jobs_attempt WHERE outcome = 'postponed'",
        "dead letters": "windlass_events_event WHERE type = 'job.dead'",
        "changes of breakers": "windlass_events_event WHERE type = 'system.breaker'",
        "changes of the level": "windlass_events_event WHERE type = 'system.level'",
    }
    found = {name: count(server, rows) for name, rows in counts.items()}
    return found | {"retries": total(server, "sum(retries)", "windlass_jobs_job")}


def are_closed(http: httpx.Client, chaos: Chaos) -> bool:
    """Whether all breakers are closed; calls that may be their trials are made if not."""
    listed = http.get("/error-handling/circuit-breakers").json()["circuit_breakers"]
    if all(each["state"] == "closed" for each in listed.values()):
        return True
    chaos.upload(http)
    return False
