"""The database of the models, which is in memory, and a clock that the models move."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests import django_home

django_home.set_up()

from django.db import connection  # noqa: E402  after Django

from tests.model.explorer import ModelClock  # noqa: E402


@pytest.fixture(scope="package", autouse=True)
def database() -> Iterator[None]:
    """Copied from the migrated one; this thread's connection goes there until the models end."""
    django_home.migrated()
    connection.close()
    path = connection.settings_dict["NAME"]
    connection.settings_dict["NAME"] = ":memory:"
    connection.ensure_connection()
    with closing(sqlite3.connect(path)) as migrated:
        migrated.backup(connection.connection)
    yield
    connection.connection.close()  # Django keeps a database in memory open
    connection.connection = None
    connection.settings_dict["NAME"] = path


@pytest.fixture(autouse=True)
def model_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windlass.kernel.clock.datetime", ModelClock)
