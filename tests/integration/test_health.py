"""Liveness without I/O; readiness that names the unavailable part and no secret."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from tests.integration.asgi_client import ApiClient

pytest_plugins = ["tests.integration.record_plane"]

NOT_RUNNING = {"workers.intake", "workers.describe", "workers.derive", "scheduler"}
NAMES = NOT_RUNNING | {
    "database",
    "migrations",
    "store",
    "other_stores",
    "content",
    "disk",
    "sandbox",
    "scanner",
    "broker",
    "queue",
    "clock",
    "graph",
}


@pytest.fixture
def ask(records_home: Path) -> ApiClient:
    from windlass.operations import health

    forget()
    return ApiClient(
        Starlette(
            routes=[
                Route("/livez", health.livez),
                Route("/readyz", health.readyz),
                Route("/healthz", health.readyz),
            ]
        )
    )


def forget() -> None:
    from windlass.operations import component_checks

    component_checks.forget_results()


def test_a_healthy_server_is_ready(ask: ApiClient) -> None:
    for path in ("/readyz", "/healthz"):
        response = ask("GET", path)
        assert response.status_code == 200, response.text
        assert response.json()["status"] == "ok"
        checks = response.json()["checks"]
        assert set(checks) == NAMES
        assert {name for name, check in checks.items() if check["status"] == "failed"} <= NOT_RUNNING
        assert {name for name, check in checks.items() if check["status"] == "off"} >= {"scanner", "other_stores"}
        for check in checks.values():
            assert set(check) == {"status", "detail", "latency_ms", "limit", "required"}
            assert check["detail"]
            assert check["latency_ms"] >= 0


def test_livez_does_not_query_the_database(ask: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db.backends.utils import CursorWrapper

    def broken(*_: Any) -> None:
        raise AssertionError("livez does no I/O")

    monkeypatch.setattr(CursorWrapper, "execute", broken)
    assert ask("GET", "/livez").json() == {"status": "ok", "checks": {}}


def test_a_failed_check_is_named_without_secrets(ask: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError
    from django.db.backends.utils import CursorWrapper

    def broken(*_: Any) -> None:
        raise OperationalError("no host db.internal with password hunter2")

    with monkeypatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", broken)
        response = ask("GET", "/readyz")
    assert response.status_code == 503
    assert response.json()["status"] == "failed"
    assert response.json()["checks"]["database"]["status"] == "failed"
    assert response.json()["checks"]["store"]["status"] == "ok"
    assert "hunter2" not in response.text
    forget()
    assert ask("GET", "/readyz").status_code == 200


def test_an_unapplied_migration_is_counted(ask: ApiClient) -> None:
    from django.db.migrations.recorder import MigrationRecorder

    rows = MigrationRecorder.Migration.objects
    row = rows.filter(app="windlass_jobs").latest("id")
    row.delete()
    try:
        response = ask("GET", "/readyz")
    finally:
        rows.create(app=row.app, name=row.name)
    assert response.status_code == 503
    assert response.json()["checks"]["migrations"]["detail"].startswith("1 ")
    forget()
    assert ask("GET", "/readyz").status_code == 200


def test_too_little_disk_space_fails_the_disk_check(ask: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from windlass.operations.checks import storage

    monkeypatch.setattr(storage, "LEAST_FREE_BYTES", 2**80)
    assert ask("GET", "/readyz").json()["checks"]["disk"]["status"] == "failed"


def test_a_hanging_check_fails_and_is_not_started_twice(ask: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from windlass.operations.checks import check as checks

    monkeypatch.setattr(checks, "DEADLINE_SECONDS", 0.05)
    release, started = threading.Event(), []

    def hang() -> checks.Finding:
        started.append(1)
        release.wait(30)
        return checks.Finding("late")

    check = checks.Check("slow", hang)
    try:
        # Each in a loop of its own, as the scheduler and the web process ask.
        found = [asyncio.run(check.result()) for _ in range(3)]
    finally:
        release.set()
    assert [each.state for each in found] == ["failed"] * 3
    assert started == [1]


def test_probes_of_a_second_share_one_run(ask: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from windlass.operations.checks import check as checks

    runs: list[int] = []
    clock = [100.0]
    monkeypatch.setattr(checks, "monotonic", lambda: clock[0])

    def fails() -> checks.Finding:
        runs.append(1)
        raise checks.CheckFailed("no")

    check = checks.Check("probed", fails)

    async def ask_many() -> set[str]:
        results = await asyncio.gather(*(check.result() for _ in range(100)))
        return {result.state for result in results}

    assert asyncio.run(ask_many()) == {"failed"}
    assert asyncio.run(ask_many()) == {"failed"}
    assert len(runs) == 1
    clock[0] += checks.KEEP_SECONDS
    assert asyncio.run(ask_many()) == {"failed"}
    assert len(runs) == 2


def test_the_check_of_the_store_is_kept_while_it_works(ask: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from windlass.storage.registry import store

    tried = []
    real = store().check
    monkeypatch.setattr(type(store()), "check", lambda self: (tried.append(1), real())[1])
    assert ask("GET", "/readyz").status_code == 200
    assert ask("GET", "/readyz").status_code == 200
    assert tried == [1]


@pytest.fixture
def server(records_home: Path) -> Any:
    from windlass.asgi import application

    forget()
    return application


@pytest.fixture
def running_processes(records_home: Path) -> Iterator[None]:
    """A worker for each stage and a scheduler, as their heartbeats say."""
    from windlass.jobs import api as jobs

    jobs.record_heartbeat("a-worker", jobs.ProcessRole.WORKER, jobs.QUEUES)
    jobs.record_heartbeat("a-scheduler", jobs.ProcessRole.SCHEDULER)
    yield
    jobs.remove_heartbeat("a-worker")
    jobs.remove_heartbeat("a-scheduler")


def test_health_has_the_shape_of_its_schema_for_staff_only(
    server: Any, user: Callable[..., ApiClient], configure: Callable[..., None], running_processes: None
) -> None:
    from windlass.http.health_models import HealthOut

    configure(AUTH_MODE="required")
    reply = user(staff=True, app=server)("GET", "/error-handling/health/")
    assert reply.status_code == 200, reply.text
    HealthOut.model_validate(reply.json())
    found = reply.json()
    assert set(found) == set(HealthOut.model_fields)
    assert found["status"] == "ok"
    assert set(found["components"]) == NAMES
    assert found["components"]["workers.intake"]["state"] == "ok"
    assert set(found["jobs"]) == {"queued", "running", "dead", "oldest_age_seconds"}
    assert user(app=server)("GET", "/error-handling/health/").status_code == 403


def test_health_answers_while_the_database_is_away(
    server: Any, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError
    from django.db.backends.utils import CursorWrapper

    from windlass.http.health_models import HealthOut

    def broken(*_: Any) -> None:
        raise OperationalError("no host db.internal with password hunter2")

    configure(AUTH_MODE="open", CLAMAV_URL="tcp://127.0.0.1:1")
    forget()
    with monkeypatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", broken)
        reply = ApiClient(server)("GET", "/error-handling/health/")
    forget()
    assert reply.status_code == 200, reply.text
    found = reply.json()
    HealthOut.model_validate(found)
    assert found["status"] == "failed"
    assert found["components"]["database"]["state"] == "failed"
    assert found["components"]["store"]["state"] == "ok"
    assert found["components"]["scanner"]["state"] == "failed"
    assert found["circuit_breakers"]["scanner"]["state"] == "closed"
    assert found["jobs"] is None
    assert "hunter2" not in reply.text


def test_breakers_in_health_are_those_of_their_own_call(
    server: Any, user: Callable[..., ApiClient], configure: Callable[..., None]
) -> None:
    configure(CLAMAV_URL="tcp://127.0.0.1:1", AUTH_MODE="required")
    staff = user(staff=True, app=server)
    listed = staff("GET", "/error-handling/circuit-breakers/").json()["circuit_breakers"]
    assert listed
    assert staff("GET", "/error-handling/health/").json()["circuit_breakers"] == listed


def test_heartbeats_end_with_a_process_and_are_forgotten(records_home: Path) -> None:
    from datetime import timedelta

    from windlass.jobs import api as jobs
    from windlass.jobs.models import ProcessHeartbeat

    worker = jobs.ProcessRole.WORKER

    def names(*, alive: bool) -> set[str]:
        return {each.name for each in jobs.seen_processes(worker) if each.alive is alive}

    for _ in range(2):
        jobs.record_heartbeat("here", worker, jobs.QUEUES[1:3])
    jobs.record_heartbeat("killed", worker, jobs.QUEUES[:1])
    jobs.record_heartbeat("long-dead", worker, jobs.QUEUES[:1])
    for name, seconds in {"killed": 7, "long-dead": 700}.items():
        rows = ProcessHeartbeat.objects.filter(name=name)
        rows.update(seen_at=rows.get().seen_at - timedelta(seconds=seconds))
    assert (names(alive=True), names(alive=False)) == ({"here"}, {"killed", "long-dead"})
    queues = {each.name: each.queues for each in jobs.seen_processes(worker)}
    assert queues["here"] == set(jobs.QUEUES[1:3])
    assert jobs.delete_old_heartbeats() == 1
    assert jobs.delete_old_heartbeats() == 0
    for name in ("here", "killed"):
        jobs.remove_heartbeat(name)
    assert jobs.seen_processes(worker) == []


def test_the_write_probe_leaves_nothing(records_home: Path) -> None:
    from windlass.jobs import api as jobs
    from windlass.jobs.models import ProcessHeartbeat

    before = ProcessHeartbeat.objects.count()
    jobs.prove_writable()
    assert ProcessHeartbeat.objects.count() == before


def test_a_job_that_waits_for_too_long_impairs_the_queue(records_home: Path, configure: Callable[..., None]) -> None:
    from datetime import timedelta

    from windlass.jobs import api as jobs
    from windlass.kernel.clock import now
    from windlass.kernel.ids import new_id
    from windlass.operations.checks.processing import check_queue

    jobs.Job.objects.all().delete()
    assert check_queue().detail == "No job is due."
    due = {"stage": jobs.Stage.DERIVE, "max_attempts": 5}
    jobs.Job.objects.create(file_id=new_id(), due_at=now() + timedelta(hours=1), **due)
    assert check_queue().detail == "No job is due.", "one that is postponed waits for nobody"
    job = jobs.Job.objects.create(file_id=new_id(), due_at=now() - timedelta(seconds=61), **due)
    assert check_queue().state == "ok"
    configure(QUEUE_AGE_LIMIT_SECONDS="60")
    found = check_queue()
    assert (found.state, found.limit) == ("impaired", "60 s")
    status = jobs.queue_status()
    assert (status.queued, status.running, status.dead) == (2, 0, 0)
    assert 61 <= status.oldest_age_seconds < 90
    jobs.Job.objects.filter(id=job.id).update(state=jobs.JobState.DEAD)
    assert (jobs.queue_status().queued, jobs.queue_status().dead) == (1, 1)
    jobs.Job.objects.all().delete()


@pytest.mark.parametrize(("skew", "state"), [(0.5, "ok"), (-1.9, "ok"), (-2.5, "impaired"), (30.0, "impaired")])
def test_a_clock_that_differs_from_the_databases_is_impaired(
    records_home: Path, monkeypatch: pytest.MonkeyPatch, skew: float, state: str
) -> None:
    """SQLite has no clock of its own; tests/process/test_component_checks.py asks PostgreSQL."""
    from types import SimpleNamespace

    from windlass.operations.checks import database

    assert database.check_clock().state == "ok"
    monkeypatch.setattr(database, "connection", lambda: SimpleNamespace(vendor="postgresql"))
    monkeypatch.setattr(database, "_skew_seconds", lambda: skew)
    found = database.check_clock()
    assert (found.state, found.limit) == (state, "2 s")
    assert f"{abs(skew):.3f} s" in found.detail


def test_the_embedded_broker_must_be_writable(
    records_home: Path, configure: Callable[..., None], tmp_path: Path
) -> None:
    from windlass.operations.checks.check import CheckFailed
    from windlass.operations.checks.processing import check_broker

    assert check_broker().state == "ok"
    (tmp_path / "broker").write_text("a file where the directory should be")
    configure(WINDLASS_HOME=str(tmp_path))
    from windlass.jobs.notify import celery_app

    options = celery_app().conf.broker_transport_options
    before = options["folder"]
    options["folder"] = str(tmp_path / "broker")
    try:
        with pytest.raises(CheckFailed, match="away: files are stored") as failed:
            check_broker()
    finally:
        options["folder"] = before
    assert str(tmp_path) not in str(failed.value)


def test_an_unavailable_store_says_when_its_next_trial_is(records_home: Path, configure: Callable[..., None]) -> None:
    from windlass.files.store_breaker import _guarded
    from windlass.resilience import circuit_breaker
    from windlass.storage.contract import StoreUnavailable

    configure(BREAKER_STORAGE_FAILURE_THRESHOLD="2", BREAKER_STORAGE_RECOVERY_SECONDS="77")
    circuit_breaker.reset()
    waits = []
    for _ in range(3):
        with pytest.raises(StoreUnavailable) as raised, _guarded("local"):
            raise StoreUnavailable("away")
        waits.append(raised.value.retry_after)
    assert waits[0] is None
    assert all(wait is not None and 70 < wait <= 77 for wait in waits[1:])
    from windlass.events.api import reset_circuit

    reset_circuit("storage")
    circuit_breaker.reset()


def test_a_stage_whose_heavy_jobs_nobody_serves_is_seen(records_home: Path) -> None:
    """As with workers of the version before, which know one queue for each stage."""
    from windlass.jobs import api as jobs
    from windlass.operations.checks.check import CheckFailed
    from windlass.operations.checks.workers import check_workers

    light = [queue for queue in jobs.QUEUES if queue.cost == jobs.CostClass.LIGHT]
    jobs.record_heartbeat("light", jobs.ProcessRole.WORKER, light)
    with pytest.raises(CheckFailed, match="this stage of large files and long steps"):
        check_workers("derive")
    jobs.record_heartbeat("all", jobs.ProcessRole.WORKER, jobs.QUEUES)
    assert check_workers("derive").detail.startswith("2 running")
    for name in ("light", "all"):
        jobs.remove_heartbeat(name)
