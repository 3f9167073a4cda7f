"""The settings of this process, read once."""

from __future__ import annotations

from typing import Any

from windlass.conf import reader
from windlass.conf.settings import Settings
from windlass.conf.stores import check_stores

_current: Settings | None = None


def get() -> Settings:
    """The settings in force. Raises BadSetting where the environment holds a bad value."""
    global _current
    if _current is None:
        _current = load()
    return _current


def reload() -> Settings:
    """Read them again: after a test, or another project's settings override, has changed them."""
    global _current
    _current = None
    return get()


def load() -> Settings:
    found = reader.read(Settings, _of_another_project(), reader.environment())
    check_stores(found)
    return found


def _of_another_project() -> dict[str, Any]:
    """``settings.WINDLASS`` where Windlass is an app of another Django project.

    There an open door would be open to that project's whole audience, so credentials are required unless it says else.
    """
    from django.conf import settings

    if not settings.configured:
        return {}
    given = getattr(settings, "WINDLASS", None)
    return {} if given is None else {"AUTH_MODE": "required"} | dict(given)
