"""Real records, a real store, a real sandbox; a plug-in whose step misbehaves on demand. Nothing rings a bell."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import call_command

from windlass import conf
from windlass.processing import api as processing
from windlass.processing import registry

PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture(scope="module", autouse=True)
def plugin() -> Iterator[None]:
    """The trial step is installed, here and in the sandbox, for one module's tests."""
    call_command("migrate", verbosity=0)
    sys.path.insert(0, str(PLUGIN))
    registry.installed.cache_clear()
    processing.shut_down()
    yield
    processing.shut_down()
    sys.path.remove(str(PLUGIN))
    registry.installed.cache_clear()


@pytest.fixture(autouse=True)
def bells(monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    """The jobs that bells were rung for."""
    rung: list[uuid.UUID] = []
    monkeypatch.setattr("windlass.jobs.notify.notify_workers", lambda job_id, stage: rung.append(job_id))
    return rung


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Set settings by their names for one test."""

    def change(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))
        conf.reload()

    change(JOB_BACKOFF_SECONDS=0.001)
    yield change
    monkeypatch.undo()
    conf.reload()


@pytest.fixture
def with_profile(settings: Callable[..., None], tmp_path: Path) -> Callable[[str], None]:
    """Gives the default profile these keys."""

    def change(keys: str) -> None:
        path = tmp_path / f"profiles-{len(list(tmp_path.iterdir()))}.toml"  # known by its name
        path.write_text(f"[default]\n{keys}\n")
        settings(WINDLASS_PROFILES=path)

    return change
