"""Circuit breakers that share their state through the real table, and the calls by which staff see and reset them.

Two breakers of one name, each with its own ``TableCircuits``, are two processes.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.asgi_client import ApiClient
from windlass.events import shared_circuits
from windlass.events.api import CircuitBreaker, Event, last_id
from windlass.events.circuit_breakers import change_circuit, read_circuit, reset_circuit
from windlass.events.shared_circuits import TableCircuits
from windlass.kernel.clock import now
from windlass.resilience.circuit_breaker import Breaker, BreakerOpen
from windlass.resilience.circuits import Circuit, Policy, State

pytest_plugins = ["tests.integration.record_plane"]

POLICY = Policy(failure_threshold=2, success_threshold=1, recovery_seconds=30)


class Away(Exception):
    """The service does not answer."""


class Site:
    """Two processes with a breaker of one name. ``passed``: seconds that are added to their monotonic clock."""

    def __init__(self, **options: Any) -> None:
        self.name = f"service-{uuid.uuid4().hex[:8]}"
        self.passed = 0.0
        self.since = last_id()
        self.breakers = [self._start(TableCircuits(**options)) for _ in range(2)]

    def _start(self, circuits: TableCircuits) -> Breaker:
        return Breaker(
            self.name,
            lambda: POLICY,
            lambda: now().timestamp(),
            shared=lambda: circuits,
            ticks=lambda: time.monotonic() + self.passed,
        )

    def end_pause(self) -> None:
        """Let the breaker have opened, and the trial have been renewed, long ago; all processes read that."""
        for row in CircuitBreaker.objects.filter(name=self.name):
            row.opened_at = row.opened_at and row.opened_at - timedelta(seconds=30)
            row.trial_until = row.trial_until and row.trial_until - timedelta(seconds=16)
            row.save()
        self.passed += 1

    def fail(self, process: int, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(Away), self.breakers[process].call(Away):
                raise Away

    def succeed(self, process: int) -> None:
        with self.breakers[process].call(Away):
            pass

    def is_refused(self, process: int) -> bool:
        try:
            self.succeed(process)
        except BreakerOpen:
            return True
        return False

    def states_told(self) -> list[str]:
        events = Event.objects.filter(id__gt=self.since, type="system.breaker").order_by("id")
        return [event.data["state"] for event in events if event.data["breaker"] == self.name]

    def row(self) -> CircuitBreaker | None:
        return CircuitBreaker.objects.filter(name=self.name).first()


@pytest.fixture
def site(records_home: Path) -> Site:
    return Site()


def test_a_row_is_written_on_changes_only_and_each_change_has_one_event(site: Site) -> None:
    site.fail(0)
    site.succeed(0)
    site.fail(0)
    assert site.row() is None, "a breaker that never opened has no row"
    site.fail(0)
    row = site.row()
    assert row is not None
    assert (row.state, row.generation, row.failures) == ("open", 1, 2)
    assert site.is_refused(1)
    site.end_pause()
    site.succeed(1)
    site.passed += 1
    site.succeed(0)
    assert site.states_told() == ["open", "closed"]


def test_a_change_of_an_older_generation_is_refused_without_an_event(site: Site) -> None:
    opened = Circuit(State.OPEN, 1, failures=2, opened_at=now().timestamp())
    assert change_circuit(site.name, Circuit(), opened)
    assert not change_circuit(site.name, Circuit(), opened)
    assert reset_circuit(site.name).generation == 2
    assert not change_circuit(site.name, opened, Circuit(State.HALF_OPEN, 2))
    assert reset_circuit(site.name).generation == 2, "a second reset changes nothing"
    assert site.states_told() == ["open", "closed"]


def test_many_threads_of_two_processes_make_one_trial(site: Site) -> None:
    site.fail(0, 2)
    assert site.is_refused(1)
    site.end_pause()
    together, enough = threading.Barrier(12), threading.Event()
    inside: list[int] = []
    refused: list[int] = []

    def call(process: int) -> None:
        together.wait()
        try:
            with site.breakers[process].call(Away):
                inside.append(process)
                enough.wait(30)
        except BreakerOpen:
            refused.append(process)
            if len(refused) == 11:
                enough.set()

    threads = [threading.Thread(target=call, args=(number % 2,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(inside), len(refused)) == (1, 11)
    assert site.states_told() == ["open", "closed"]


def test_the_lease_of_a_trial_is_renewed_and_that_of_a_killed_one_ends(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_circuits, "RENEW_SECONDS", 0.05)
    site.fail(0, 2)
    site.end_pause()
    with site.breakers[0].call(Away):
        row = site.row()
        assert row is not None
        assert str(row.trial_holder).rpartition("-")[2].isdigit()
        seen = {row.trial_until}
        deadline = time.monotonic() + 10
        while len(seen) < 4:  # it is renewed more than once
            assert time.monotonic() < deadline
            time.sleep(0.02)
            seen.add(CircuitBreaker.objects.get(name=site.name).trial_until)
        assert site.is_refused(1)
    assert site.row().state == "closed"  # type: ignore[union-attr]

    opened = read_circuit(site.name)
    lost = Circuit(State.HALF_OPEN, opened.generation + 1, trial_holder="gone-1", trial_until=now().timestamp() + 15)
    assert change_circuit(site.name, opened, lost), "its process is killed at once"
    site.passed += 1
    assert site.is_refused(1)
    site.end_pause()
    site.succeed(1)
    assert read_circuit(site.name).state is State.CLOSED


def test_while_the_database_is_busy_each_process_has_its_own_breaker(records_home: Path) -> None:
    """SQLite's one writer is busy: a caller waits for a bounded time, and what it found out is written afterwards."""
    site = Site(wait_seconds=0.1, pause_seconds=0.0)
    site.succeed(0)
    with closing(sqlite3.connect(records_home / "windlass.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        site.fail(0, 2)
        assert site.is_refused(0)
        assert site.breakers[0].circuit.state is State.OPEN
        other.execute("ROLLBACK")
    deadline = time.monotonic() + 10
    while (row := site.row()) is None or row.state != "open":
        assert time.monotonic() < deadline
        site.passed += 1
        assert site.is_refused(0)
        time.sleep(0.05)
    assert site.is_refused(1)
    assert site.states_told() == ["open"]


def test_without_a_table_breakers_work(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose database is not migrated yet, or that cannot be reached."""
    from django.db import OperationalError

    def fail(*_: object, **__: object) -> None:
        raise OperationalError("no such table: windlass_events_circuitbreaker")

    monkeypatch.setattr(shared_circuits, "read_circuit", fail)
    monkeypatch.setattr(shared_circuits, "change_circuit", fail)
    site.fail(0, 2)
    assert site.is_refused(0)
    site.succeed(1)


def test_nothing_waits_for_the_database_in_an_event_loop(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        pytest.fail("the database was asked")

    monkeypatch.setattr(shared_circuits, "read_circuit", fail)
    monkeypatch.setattr(shared_circuits, "change_circuit", fail)

    async def use() -> None:
        site.fail(0, 2)
        assert site.is_refused(0)

    asyncio.run(use())


STORES = """
[cloud]
storage_backend = "s3"
aws_storage_bucket_name = "films"
aws_s3_endpoint_url = "http://127.0.0.1:1"
aws_access_key_id = "key"
aws_secret_access_key = "secret"
breaker_storage_recovery_seconds = 7

[attic]
storage_backend = "local"
media_root = "attic"
"""
PATH = "/error-handling/circuit-breakers"


@pytest.fixture
def configured(configure: Any, tmp_path: Path) -> Iterator[None]:
    """A scanner, a store over a network and a local one; no breaker has opened yet."""
    (tmp_path / "stores.toml").write_text(STORES)
    configure(
        CLAMAV_URL="tcp://127.0.0.1:1",
        WINDLASS_STORES=str(tmp_path / "stores.toml"),
        BREAKER_SCANNER_FAILURE_THRESHOLD="3",
        AUTH_MODE="required",
    )
    CircuitBreaker.objects.all().delete()
    yield
    CircuitBreaker.objects.all().delete()


@pytest.fixture
def staff(configured: None, user: Any) -> ApiClient:
    from windlass.asgi import application

    found: ApiClient = user(staff=True, app=application)
    return found


def open_breaker(name: str) -> Circuit:
    before = read_circuit(name)
    circuit = Circuit(State.OPEN, before.generation + 1, failures=3, opened_at=now().timestamp())
    assert change_circuit(name, before, circuit)
    return circuit


def test_every_breaker_is_listed_before_its_first_call(staff: ApiClient) -> None:
    answer = staff("GET", PATH)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "circuit_breakers": {
            "scanner": {
                "name": "scanner",
                "state": "closed",
                "failure_count": 0,
                "success_count": 0,
                "failure_threshold": 3,
                "success_threshold": 2,
                "recovery_seconds": 30.0,
                "opened_at": None,
                "retry_at": None,
            },
            "storage.cloud": {
                "name": "storage.cloud",
                "state": "closed",
                "failure_count": 0,
                "success_count": 0,
                "failure_threshold": 5,
                "success_threshold": 2,
                "recovery_seconds": 7.0,
                "opened_at": None,
                "retry_at": None,
            },
        }
    }


def test_an_open_breaker_is_shown_and_reset_twice(staff: ApiClient) -> None:
    from datetime import datetime

    open_breaker("storage.cloud")
    shown = staff("GET", f"{PATH}/storage.cloud/").json()
    assert (shown["state"], shown["failure_count"]) == ("open", 3)
    opened_at, retry_at = (datetime.fromisoformat(shown[name]) for name in ("opened_at", "retry_at"))
    assert retry_at - opened_at == timedelta(seconds=7)
    assert staff("GET", PATH).json()["circuit_breakers"]["storage.cloud"] == shown
    since = last_id()
    for _ in range(2):
        answer = staff("POST", f"{PATH}/storage.cloud/reset")
        assert answer.status_code == 200
        assert (answer.json()["state"], answer.json()["opened_at"], answer.json()["retry_at"]) == ("closed", None, None)
    told = Event.objects.filter(id__gt=since, type="system.breaker")
    assert [event.data["state"] for event in told] == ["closed"]
    assert "by hand" in told[0].data["message"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", ["storage", "storage.attic", "Scanner", "no such", "%00"])
def test_an_unknown_breaker_is_404_and_the_known_ones_are_named(staff: ApiClient, method: str, name: str) -> None:
    answer = staff(method, f"{PATH}/{name}{'/reset' * (method == 'POST')}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    if name != "%00":
        assert "scanner, storage.cloud" in answer.json()["detail"]


def test_wrong_methods_and_queries_are_refused(staff: ApiClient) -> None:
    assert staff("DELETE", PATH).status_code == 405
    assert staff("GET", f"{PATH}/scanner/reset").status_code == 405
    assert staff("GET", f"{PATH}?stat=open").status_code == 422
    assert staff("GET", "/error-handling/nothing").status_code == 404


def test_the_metric_shows_the_shared_state(staff: ApiClient) -> None:
    open_breaker("scanner")
    lines = staff("GET", "/metrics").text.splitlines()
    for name, current in (("scanner", "open"), ("storage.cloud", "closed")):
        for state in State:
            value = float(state.value == current)
            assert f'windlass_breaker_state{{name="{name}",state="{state}"}} {value}' in lines


def test_the_admin_lists_breakers_and_resets_the_selected_ones(configured: None, admin: Any) -> None:
    open_breaker("scanner")
    page = "/admin/windlass_events/circuitbreaker/"
    assert "scanner" in admin.get(page).content.decode()
    assert admin.get(f"{page}add/").status_code == 403
    answer = admin.post(page, {"action": "reset", "_selected_action": ["scanner"]}, follow=True)
    assert "Closed: scanner." in answer.content.decode()
    assert read_circuit("scanner").state is State.CLOSED


def test_staff_who_may_only_view_breakers_may_not_reset_them(configured: None) -> None:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Permission
    from django.test import Client

    open_breaker("scanner")
    viewer: Any = get_user_model().objects.create(username=f"viewer-{uuid.uuid4().hex[:8]}", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_circuitbreaker"))
    client = Client(headers={"host": "localhost"})
    client.force_login(viewer)
    page = "/admin/windlass_events/circuitbreaker/"
    assert "scanner" in client.get(page).content.decode()
    client.post(page, {"action": "reset", "_selected_action": ["scanner"]})
    assert read_circuit("scanner").state is State.OPEN


@pytest.fixture
def admin(records_home: Path) -> Any:
    """A superuser's browser."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    client = Client(headers={"host": "localhost"})
    name = f"admin-{uuid.uuid4().hex[:8]}"
    client.force_login(get_user_model().objects.create_superuser(name))  # type: ignore[attr-defined]
    return client
