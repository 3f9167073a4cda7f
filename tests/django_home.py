"""Django for tests: set up once per process, on a home directory of its own."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

import django
import structlog
from django.apps import apps
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core.management import call_command

from tests import migrated_home

#: Of Django's million, which cost 100 ms of processor time for each password of a test.
PASSWORD_ITERATIONS = 1000


def set_up() -> None:
    """Load Django, unless another test module has done so."""
    if apps.ready:
        return
    home = tempfile.mkdtemp(prefix="windlass-tests-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ["WINDLASS_HOME"] = home
    os.environ["DJANGO_SETTINGS_MODULE"] = "windlass.settings"
    # All tests send from one address: those of rate limits set one.
    os.environ["WINDLASS_RATE_LIMIT_PER_MINUTE"] = os.environ["WINDLASS_WRONG_CREDENTIALS_PER_MINUTE"] = "0"
    django.setup()
    PBKDF2PasswordHasher.iterations = PASSWORD_ITERATIONS


@cache
def migrated() -> Path:
    """Migrate the database once; returns the home directory. Rows stay until the end of the run."""
    from windlass import conf

    home = conf.get().windlass_home
    migrated_home.prepare(home)
    call_command("migrate", verbosity=0)
    return home


def set_up_here() -> None:
    """Load Django with the settings of this process's environment, which names a home or a database of its own.

    The log goes to stderr: stdout is for what the process prints.
    """
    os.environ["DJANGO_SETTINGS_MODULE"] = "windlass.settings"
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    django.setup()
