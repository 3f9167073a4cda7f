"""Every setting, typed, in one place: ``conf.get()``."""

from windlass.conf.jwt import static_keys as jwt_static_keys
from windlass.conf.loading import get, reload
from windlass.conf.reader import BadSetting
from windlass.conf.setting_definitions import MB, Settings
from windlass.conf.stores import breaker_thresholds, default_store, known_stores, named_stores, store_settings

__all__ = [
    "MB",
    "BadSetting",
    "Settings",
    "breaker_thresholds",
    "default_store",
    "get",
    "jwt_static_keys",
    "known_stores",
    "named_stores",
    "reload",
    "store_settings",
]
