"""Fixtures: the record plane on a real database in its own directory."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.asgi_client import REQUEST_ID, ApiClient


@pytest.fixture(scope="session")
def records_home(database: Path) -> Path:
    """Django set up and migrated."""
    return database


@pytest.fixture
def configure(records_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Change settings for one test: ``configure(AUTH_MODE="required")``."""
    from windlass import conf

    def change(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        conf.reload()

    yield change
    monkeypatch.undo()
    conf.reload()


@pytest.fixture(scope="session")
def record_plane(records_home: Path) -> Any:
    """Django's ASGI handler, called as the application calls it: with the request's id, without trailing slash."""
    from django.core.handlers.asgi import ASGIHandler

    handler = ASGIHandler()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def receive_body() -> Any:
            # httpx says that the client is gone as soon as the reply is whole, and Django would then not tidy up.
            message = await receive()
            return message if message["type"] == "http.request" else await asyncio.Event().wait()

        path = scope["path"]
        if not path.startswith(("/admin/", "/static/")):
            path = path.rstrip("/") or "/"
        await handler({**scope, "path": path, "windlass.request_id": REQUEST_ID}, receive_body, send)

    return app


@pytest.fixture
def user(record_plane: Any) -> Callable[..., ApiClient]:
    """A new user with a token: ``user()``, ``user(staff=True)``; ``user(app=...)`` for another application."""

    def make(*, staff: bool = False, app: Any = None) -> ApiClient:
        from django.contrib.auth import get_user_model

        from windlass.accounts.api import create_token

        name = f"user-{uuid.uuid4().hex[:12]}"
        token = create_token(name, staff=staff)
        key = get_user_model().objects.get(username=name).pk
        return ApiClient(app or record_plane, token, f"user:{key}")

    return make


@pytest.fixture
def anybody(record_plane: Any) -> ApiClient:
    return ApiClient(record_plane)
