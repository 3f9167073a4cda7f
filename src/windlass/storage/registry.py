"""The store that the settings name, loaded by its name so that no store's library loads unasked."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from importlib import import_module

from windlass import conf
from windlass.storage.contract import Store

#: name -> "module:factory"; a factory takes the settings.
FACTORIES = {
    "local": "windlass.storage.local:from_settings",
    "s3": "windlass.storage.s3.store:from_settings",
}

#: Goes around each request to a store that is reached over a network.
Guard = Callable[[], AbstractContextManager[None]]

_guard: Guard = nullcontext


def store(name: str | None = None) -> Store:
    """The store called ``name``, or the one that new files go to. One instance a process. Raises StoreError."""
    return _made(name or conf.get().storage_backend)


def guard_with(guard: Guard) -> None:
    """Those above know what to do about a store that is away; stores know nobody above them."""
    global _guard
    _guard = guard


def guarded() -> AbstractContextManager[None]:
    """Around one request, for stores to enter."""
    return _guard()


@lru_cache(maxsize=8)
def _made(name: str) -> Store:
    module, _, factory = FACTORIES[name].partition(":")
    made: Store = getattr(import_module(module), factory)(conf.get())
    atexit.register(made.close)
    return made
