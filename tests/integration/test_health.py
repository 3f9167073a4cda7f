"""Liveness without I/O; readiness that names the unavailable part and no secret."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from tests.integration.asgi_client import ApiClient

pytest_plugins = ["tests.integration.record_plane"]


@pytest.fixture
def ask(records_home: Path) -> ApiClient:
    from windlass.operations import health

    for check in health.CHECKS:
        check.forget()
    return ApiClient(
        Starlette(
            routes=[
                Route("/livez", health.livez),
                Route("/readyz", health.readyz),
                Route("/healthz", health.readyz),
            ]
        )
    )


def test_a_healthy_server_is_ready(ask: ApiClient) -> None:
    for path in ("/readyz", "/healthz"):
        response = ask("GET", path)
        assert response.status_code == 200, response.text
        assert response.json()["status"] == "ok"
        assert set(response.json()["checks"]) == {
            "database",
            "migrations",
            "store",
            "other_stores",
            "content",
            "disk",
            "sandbox",
            "scanner",
        }
        assert {check["status"] for check in response.json()["checks"].values()} == {"ok"}


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
    assert ask("GET", "/readyz").status_code == 200


def test_too_little_disk_space_fails_the_disk_check(ask: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from windlass.operations import health

    monkeypatch.setattr(health, "LEAST_FREE_BYTES", 2**80)
    assert ask("GET", "/readyz").json()["checks"]["disk"]["status"] == "failed"


def test_a_hanging_check_fails_and_is_not_started_twice(ask: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from windlass.operations import health

    monkeypatch.setattr(health, "DEADLINE_SECONDS", 0.05)
    release, started = threading.Event(), []

    async def hang() -> str:
        started.append(1)
        await asyncio.to_thread(release.wait)
        return "late"

    async def ask_twice() -> list[dict[str, Any]]:
        check = health.Check("slow", hang)
        found = [await check.result(), await check.result()]
        release.set()
        return found

    assert [found["status"] for found in asyncio.run(ask_twice())] == ["failed", "failed"]
    assert started == [1]


def test_the_check_of_the_store_is_cached(ask: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from windlass.storage.registry import store

    tried = []
    real = store().check
    monkeypatch.setattr(type(store()), "check", lambda self: (tried.append(1), real())[1])
    assert ask("GET", "/readyz").status_code == 200
    assert ask("GET", "/readyz").status_code == 200
    assert tried == [1]
