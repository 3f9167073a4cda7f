"""The store that the settings name, loaded by its name so that no store's library loads unasked."""

from __future__ import annotations

import atexit
from functools import lru_cache
from importlib import import_module

from windlass import conf
from windlass.storage.contract import Store

#: name -> "module:factory"; a factory takes the settings.
FACTORIES = {
    "local": "windlass.storage.local:from_settings",
    "s3": "windlass.storage.s3.store:from_settings",
}


def store(name: str | None = None) -> Store:
    """The store called ``name``, or the one that new files go to. One instance a process. Raises StoreError."""
    return _made(name or conf.get().storage_backend)


@lru_cache(maxsize=8)
def _made(name: str) -> Store:
    module, _, factory = FACTORIES[name].partition(":")
    made: Store = getattr(import_module(module), factory)(conf.get())
    atexit.register(made.close)
    return made
