"""Django for tests that need it, set up once in a process on a home directory of its own."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import django
from django.apps import apps
from django.core.management import call_command


def set_up() -> None:
    """Load Django, unless another test module has done so."""
    if apps.ready:
        return
    home = tempfile.mkdtemp(prefix="windlass-tests-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ["WINDLASS_HOME"] = home
    os.environ["DJANGO_SETTINGS_MODULE"] = "windlass.settings"
    django.setup()


def migrated() -> Path:
    """A migrated database; returns the home directory. Rows stay until the end of the run."""
    from windlass import conf

    call_command("migrate", verbosity=0)
    return conf.get().windlass_home
