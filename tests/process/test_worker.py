"""Workers and brokers as real processes: notifications get lost and brokers die, and every job is done all the same."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest

from tests import services
from tests.conftest import require
from tests.process import step_package
from tests.process.redis_process import Redis
from tests.process.serving import TIMEOUT, Running, environment, new_home, until

#: Jobs of files that do not exist: the runner has nothing to do for them, and they end at once.
ENQUEUE = """
import sys, uuid
import django; django.setup()
from windlass.jobs import api as jobs
jobs.connect_broker()
for _ in range(int(sys.argv[1])):
    jobs.enqueue(jobs.Stage.INTAKE, uuid.uuid4(), cost=jobs.CostClass(sys.argv[2]))
"""


#: How long the broker is away in the test of a long outage. By hand: 80, after which workers once stopped for good.
AWAY_SECONDS = float(os.environ.get("TEST_BROKER_AWAY_SECONDS", "12"))


class Site:
    """A home with a database, and what runs on it."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home, self.settings = home, settings
        new_home(home, **settings)

    def run(self, *arguments: str) -> Running:
        return Running(*arguments, home=self.home, **self.settings)

    def enqueue(self, count: int, cost: str = "light") -> None:
        subprocess.run(
            [sys.executable, "-c", ENQUEUE, str(count), cost],
            env=environment(self.home, **self.settings) | {"DJANGO_SETTINGS_MODULE": "windlass.settings"},
            check=True,
            timeout=TIMEOUT,
        )

    def ended(self) -> int:
        with closing(sqlite3.connect(self.home / "windlass.sqlite3")) as database:
            (count,) = database.execute(
                "select count(*) from windlass_jobs_job where state not in ('queued', 'running')"
            ).fetchone()
        return int(count)

    def until_ended(self, count: int) -> None:
        until(lambda: self.ended() == count, f"{count} jobs to end")


@pytest.fixture
def redis_process(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(require(services.find_redis(), "redis-server is not on PATH"), tmp_path)
    yield server
    server.kill()


@pytest.fixture
def redis_site(tmp_path: Path, redis_process: Redis) -> Site:
    return Site(tmp_path / "home", CELERY_BROKER_URL=redis_process.url)


def test_a_worker_consumes_again_after_its_broker_was_restarted(redis_site: Site, redis_process: Redis) -> None:
    with redis_site.run("worker"):
        redis_site.enqueue(5)
        redis_site.until_ended(5)
        redis_process.kill()
        redis_process.start()
        redis_site.enqueue(5)
        redis_site.until_ended(10)


def test_a_worker_reconnects_to_a_broker_that_was_away_for_long(redis_site: Site, redis_process: Redis) -> None:
    """Longer than Celery's first attempts: its pauses do not grow until the watchdog takes the worker for dead."""
    with redis_site.run("worker") as worker, redis_site.run("scheduler"):
        redis_site.enqueue(1)
        redis_site.until_ended(1)
        redis_process.kill()
        until(lambda: "broker.away" in worker.errors.read_text(), "the worker to notice")
        redis_site.enqueue(5)
        time.sleep(AWAY_SECONDS)  # time is what is tested: Celery's pauses grow with each failed attempt
        redis_process.start()
        redis_site.until_ended(6)
        assert worker.process.poll() is None
        assert worker.errors.read_text().count("broker.away") == 1


def test_jobs_are_notified_through_rabbitmq(tmp_path: Path) -> None:
    with services.rabbitmq(require(services.find_rabbitmq(), "rabbitmq-server is not installed")) as broker:
        site = Site(tmp_path / "home", CELERY_BROKER_URL=broker.url)
        with site.run("worker"):
            site.enqueue(20)
            site.until_ended(20)


def test_jobs_whose_notifications_were_lost_are_run(redis_site: Site, redis_process: Redis) -> None:
    redis_site.enqueue(200)
    redis_process.empty()
    with redis_site.run("worker"), redis_site.run("scheduler"):
        redis_site.until_ended(200)


def test_jobs_enqueued_while_the_broker_is_away_are_run_when_it_is_back(redis_site: Site, redis_process: Redis) -> None:
    redis_process.kill()
    redis_site.enqueue(5)
    with redis_site.run("worker"), redis_site.run("scheduler"):
        redis_process.start()
        redis_site.until_ended(5)


def test_two_workers_on_the_embedded_broker_share_the_jobs(tmp_path: Path) -> None:
    site = Site(tmp_path / "home")
    site.enqueue(60)
    with ExitStack() as stack:
        for name in ("one", "two"):
            stack.enter_context(site.run("worker", "--instance", name, "--concurrency", "1"))
        site.until_ended(60)
    with closing(sqlite3.connect(site.home / "windlass.sqlite3")) as database:
        attempts = database.execute("select count(*), count(distinct job_id) from windlass_jobs_attempt").fetchone()
    assert attempts == (60, 60), "each was claimed once"


def test_a_restarted_worker_releases_the_jobs_of_its_killed_predecessor(tmp_path: Path) -> None:
    """Long before their lease lapses, and without a scheduler to find them: only the notification needs one."""
    site = Site(tmp_path / "home", JOB_LEASE_SECONDS="3600")
    site.enqueue(1)
    with closing(sqlite3.connect(site.home / "windlass.sqlite3")) as database:
        database.execute(
            "update windlass_jobs_job set state = 'running', lease_holder = 'worker-a', lease_epoch = 1, attempts = 1,"
            " lease_until = '2999-01-01 00:00:00'"
        )
        database.commit()
    with site.run("scheduler"), site.run("worker", "--instance", "worker-a"):
        site.until_ended(1)


RECONNECTING = """
import threading
from windlass.operations import logging; logging.configure("worker")
import django; django.setup()
from windlass import celery
from windlass.jobs.api import QUEUES
threading.Timer(1.0, celery._reconnect.set).start()
celery.work("worker-a", queues=QUEUES, concurrency=1)
"""


def test_a_consumer_without_messages_reconnects_in_its_process(redis_site: Site) -> None:
    variables = environment(redis_site.home, **redis_site.settings) | {"DJANGO_SETTINGS_MODULE": "windlass.settings"}
    with (redis_site.home / "log").open("w+") as log:
        worker = subprocess.Popen([sys.executable, "-c", RECONNECTING], env=variables, stderr=log)
        try:
            until(
                lambda: "this worker receives no messages" in (redis_site.home / "log").read_text(),
                "the new connection",
            )
            redis_site.enqueue(5)
            redis_site.until_ended(5)
            assert worker.poll() is None
        finally:
            worker.kill()
            worker.wait()


#: A worker of two places whose jobs only say that they run; heavy ones wait for a file.
GATED = """
import pathlib, sys, time
from windlass.operations import logging; logging.configure("worker")
import django; django.setup()
from windlass import celery
from windlass.jobs.api import Job, QUEUES
here = pathlib.Path(sys.argv[1])
def run_job(job_id, holder, queues):
    if not Job.objects.filter(id=job_id, state="queued").update(state="running"):
        return
    cost = Job.objects.get(id=job_id).cost
    (here / f"{cost}-{job_id}").touch()
    while cost == "heavy" and not (here / "gate").exists():
        time.sleep(0.02)
    Job.objects.filter(id=job_id).update(state="done")
celery.processing.run_job = run_job
celery.work("worker-a", queues=QUEUES, concurrency=2)
"""


@pytest.mark.parametrize("broker", ["embedded", "redis"])
def test_a_worker_keeps_one_place_free_of_heavy_jobs(
    tmp_path: Path, request: pytest.FixtureRequest, broker: str
) -> None:
    """Light jobs are done while heavy ones run that do not end, and all heavy ones are done in the end."""
    site = Site(tmp_path / "home") if broker == "embedded" else request.getfixturevalue("redis_site")
    variables = environment(site.home, **site.settings) | {"DJANGO_SETTINGS_MODULE": "windlass.settings"}
    worker = subprocess.Popen([sys.executable, "-c", GATED, str(tmp_path)], env=variables)

    def begun(cost: str) -> int:
        return len(list(tmp_path.glob(f"{cost}-*")))

    try:
        site.enqueue(3, "heavy")
        until(lambda: begun("heavy") == 1, "a heavy job")
        site.enqueue(3)
        site.until_ended(3)
        assert (begun("light"), begun("heavy")) == (3, 1)
        (tmp_path / "gate").touch()
        until(lambda: begun("heavy") == 3, "the other heavy jobs, of which no notification comes again")
        site.until_ended(6)
    finally:
        worker.kill()
        worker.wait()


RECEIVE = """
import django; django.setup()
from tests.integration.processing.received_files import received
received(b"GATED", "a.bin")
"""


def test_a_worker_that_is_to_end_gives_its_job_back_after_the_step(tmp_path: Path) -> None:
    """The step that runs is finished and not run again; another worker goes on with the next one."""
    mended = tmp_path / "mended"
    steps = step_package.install(tmp_path / "plugins", step_package.GATED + step_package.STUBBORN)
    site = Site(tmp_path / "home", **steps, HAWSER_MENDED=str(mended))
    variables = environment(site.home, **site.settings) | {"DJANGO_SETTINGS_MODULE": "windlass.settings"}
    subprocess.run([sys.executable, "-c", RECEIVE], env=variables, check=True, timeout=TIMEOUT)

    def rows(sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(site.home / "windlass.sqlite3")) as database:
            return database.execute(sql).fetchall()

    def states() -> dict[object, object]:
        return dict(rows("select step, state from windlass_files_steprun where step in ('gated', 'stubborn')"))

    with site.run("worker") as worker:
        until(lambda: states().get("gated") == "running", "the step")
        worker.process.send_signal(signal.SIGTERM)
        until(lambda: "worker.ending" in worker.errors.read_text() + worker.output.read_text(), "its end to begin")
        mended.touch()
        assert worker.process.wait(TIMEOUT) == 0
        assert states() == {"gated": "done", "stubborn": "pending"}
        assert rows("select state, attempts from windlass_jobs_job where stage = 'describe'") == [("queued", 0)]
        with site.run("worker"):
            until(lambda: rows("select status from windlass_files_fileasset") == [("READY",)], "the file")
    attempts = rows("select outcome from windlass_jobs_attempt order by id")
    assert ("postponed",) in attempts
    assert ("failed",) not in attempts


GIVE_UP = """
import django; django.setup()
from windlass import celery
celery.STOP_SECONDS = 0.1
celery._give_up()
"""


def test_a_worker_that_cannot_consume_exits_for_its_supervisor(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", GIVE_UP],
        env=environment(tmp_path / "home") | {"DJANGO_SETTINGS_MODULE": "windlass.settings"},
        timeout=TIMEOUT,
    )
    assert result.returncode == 75


def test_an_idle_worker_uses_little_processor_time(tmp_path: Path) -> None:
    """It polls fifty times a second; processor time, unlike elapsed time, is measured per process."""
    site = Site(tmp_path / "home")
    with site.run("worker") as worker:
        site.enqueue(1)
        site.until_ended(1)
        process = psutil.Process(worker.process.pid)
        before = sum(process.cpu_times()[:2])
        psutil.wait_procs([process], timeout=5)
        assert sum(process.cpu_times()[:2]) - before < 0.5, "a tenth of a processor, where a hundredth is usual"
