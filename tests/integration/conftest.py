"""Django, set up once for all integration tests of a run, on a home directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import conftest, django_home, reasons

django_home.set_up()  # test modules import models at their top, so this happens before they are collected
reasons.observe_records(conftest.seen_reasons)


@pytest.fixture(scope="session")
def database() -> Path:
    """A migrated database. Returns the home directory. Rows stay until the end of the run: use owners of your own."""
    return django_home.migrated()
