"""Django system checks of the profiles. ``manage.py check`` and ``windlass check`` run them."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register

from windlass import conf
from windlass.conf.loading import load
from windlass.files.profiles import load_profiles


def check_profiles(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E002 for an invalid profile, such as an unknown key or a malware scan without a scanner."""
    try:
        settings = load()
    except conf.BadSetting:
        return []  # reported as E001
    try:
        load_profiles(settings)
    except conf.BadSetting as error:
        return [Error(str(error), id="windlass.E002")]
    return []


def register_checks() -> None:
    register(check_profiles, Tags.compatibility)
