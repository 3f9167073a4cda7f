"""What every command that runs on the server's side does first."""

from __future__ import annotations

import os
from pathlib import Path

from windlass import conf
from windlass.cli.refusal import Refusal

OWN_SETTINGS = "windlass.settings"


def use_home(home: Path | None) -> conf.Settings:
    """Settings with this home directory, which is made if need be; also for the processes started from here.

    Raises BadSetting, Refusal.
    """
    _load_project()
    if home is not None:
        os.environ["WINDLASS_HOME"] = str(home.expanduser().absolute())
    settings = conf.reload()
    # Named in full for child processes, which may run in another directory.
    os.environ["WINDLASS_HOME"] = str(settings.windlass_home.expanduser().absolute())
    settings = conf.reload()
    try:
        settings.windlass_home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Refusal(f"the home directory {settings.windlass_home} cannot be made: {error.strerror}") from error
    return settings


def _load_project() -> None:
    """Another project's Django settings, where they are named, so that its ``WINDLASS`` counts from the start."""
    if os.environ.get("DJANGO_SETTINGS_MODULE", OWN_SETTINGS) != OWN_SETTINGS:
        from django.conf import settings

        getattr(settings, "WINDLASS", None)  # the first look at any setting loads them all


def set_up_django(process: str | None = None) -> None:
    """Load Django on Windlass's own settings; with a process name, log as that process."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", OWN_SETTINGS)
    if process is not None:
        from windlass.operations import logging

        logging.configure(process)
    import django

    django.setup()
