"""Real records, a real store, a real sandbox; a plug-in whose step misbehaves on demand. No notification is sent."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import django_home
from windlass import conf
from windlass.processing import api as processing
from windlass.processing import registry

HERE = Path(__file__).parent
PLUGIN = HERE / "plugin"


@pytest.fixture(scope="module", autouse=True)
def plugin(request: pytest.FixtureRequest) -> Iterator[None]:
    """The trial step is installed, here and in the sandbox, while tests of this directory run."""
    if str(PLUGIN) not in sys.path:
        django_home.migrated()
        sys.path.insert(0, str(PLUGIN))
        registry.installed.cache_clear()
        processing.shut_down()
    yield
    if not _is_followed_by_this_directory(request):
        processing.shut_down()
        sys.path.remove(str(PLUGIN))
        registry.installed.cache_clear()


def _is_followed_by_this_directory(request: pytest.FixtureRequest) -> bool:
    """Whether the next module to be tested is in this directory too: a new sandbox takes a second of processor time."""
    items = request.session.items
    last = max(number for number, item in enumerate(items) if item.path == request.path)
    return any(HERE in item.path.parents for item in items[last + 1 : last + 2])


@pytest.fixture(autouse=True)
def notified(monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    """The jobs that workers were notified of."""
    job_ids: list[uuid.UUID] = []
    monkeypatch.setattr("windlass.jobs.notify.notify_workers", lambda job_id, stage: job_ids.append(job_id))
    return job_ids


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Set settings by their names for one test."""

    def change(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))
        conf.reload()

    change(JOB_BACKOFF_SECONDS=0.001, BACKFILL_PER_MINUTE=6_000_000)
    yield change
    monkeypatch.undo()
    conf.reload()


@pytest.fixture(autouse=True)
def _unpaced_backfills(settings: Callable[..., None]) -> None:
    """Backfills are due at once. Their rate is tested in test_service_level.py."""


@pytest.fixture
def with_profile(settings: Callable[..., None], tmp_path: Path) -> Callable[[str], None]:
    """Gives the default profile these keys."""

    def change(keys: str) -> None:
        path = tmp_path / f"profiles-{len(list(tmp_path.iterdir()))}.toml"  # known by its name
        path.write_text(f"[default]\n{keys}\n")
        settings(WINDLASS_PROFILES=path)

    return change
