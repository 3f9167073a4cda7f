"""Real records, a real store, a real sandbox; a plug-in whose step misbehaves on demand. Nothing rings a bell."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import django
import pytest
from django.apps import apps
from django.core.management import call_command

PLUGIN = Path(__file__).parent / "plugin"

if not apps.ready:
    home = tempfile.mkdtemp(prefix="windlass-processing-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ.setdefault("WINDLASS_HOME", home)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "windlass.settings")
    django.setup()

from windlass import conf  # noqa: E402  Django first
from windlass.processing import api as processing  # noqa: E402
from windlass.processing import registry  # noqa: E402


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
    monkeypatch.setattr("windlass.jobs.wake.ring", lambda job_id, stage: rung.append(job_id))
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
