"""Every setting, typed, in one place. ``conf.get()`` is what the rest of the house reads."""

from windlass.conf.access import get, reload
from windlass.conf.reader import BadSetting
from windlass.conf.settings import MB, Settings

__all__ = ["MB", "BadSetting", "Settings", "get", "reload"]
