"""A uvicorn that serves downloads, and credentials for it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from windlass import conf
from windlass.accounts import api as accounts
from windlass.http.downloads import files as downloads


@pytest.fixture(scope="module")
def server(database: Path) -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(
        Starlette(routes=downloads.endpoints.routes), lifespan="off", ws="none", log_level="warning"
    )
    running = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()
    running.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def client(server: tuple[str, int]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{server[0]}:{server[1]}", timeout=30) as client:
        yield client


@pytest.fixture
def token(database: Path) -> Callable[[str], dict[str, str]]:
    def bearer(name: str, staff: bool = False) -> dict[str, str]:
        return {"Authorization": f"Bearer {accounts.create_token(name, staff=staff)}"}

    return bearer


@pytest.fixture
def credentials_required(database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WINDLASS_AUTH_MODE", "required")
    conf.reload()
    yield
    monkeypatch.undo()
    conf.reload()
