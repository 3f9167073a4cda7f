"""Django, set up once for all integration tests of a run, on a home directory of its own."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import django
import pytest
from django.core.management import call_command

# Test modules import models at their top, so this happens before they are collected.
_home = tempfile.mkdtemp(prefix="windlass-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["WINDLASS_HOME"] = _home
os.environ["DJANGO_SETTINGS_MODULE"] = "windlass.settings"
django.setup()


@pytest.fixture(scope="session")
def database() -> Path:
    """A migrated database. Returns the home directory. Rows stay until the end of the run: use owners of your own."""
    call_command("migrate", verbosity=0)
    return Path(_home)
