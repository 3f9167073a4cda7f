"""The stores of the settings. Each is created on first use, so that unused libraries are not loaded."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module

from windlass import conf
from windlass.storage.contract import Store, StoreError

#: STORAGE_BACKEND -> "module:factory"; a factory takes the settings, those of a named store as well.
FACTORIES = {
    "local": "windlass.storage.encryption.store:local",
    "s3": "windlass.storage.s3.store:from_settings",
    "django": "windlass.storage.encryption.store:django",
}

#: Entered around each request to the named store, if it is reached over a network.
Guard = Callable[[str], AbstractContextManager[None]]


def no_guard(name: str) -> AbstractContextManager[None]:
    return nullcontext()


_guard: Guard = no_guard


class UnknownStore(StoreError):
    """The settings describe no store of this name. Rows may still name it."""


def store(name: str | None = None) -> Store:
    """Return the store of this name, or the default store. One instance per process.

    Raises UnknownStore, StoreError.
    """
    return _create(name or default_name())


def default_name() -> str:
    return conf.default_store(conf.get())


def guard_with(guard: Guard) -> None:
    """Set the guard of all stores. A higher layer provides it, because it keeps the circuit breakers."""
    global _guard
    _guard = guard


def guarded(name: str) -> AbstractContextManager[None]:
    """Return the guard to enter around one request."""
    return _guard(name)


def forget_stores() -> None:
    """Create the stores anew on their next use, after a test or another project's settings override changed them."""
    _create.cache_clear()


@cache
def _create(name: str) -> Store:
    settings = conf.store_settings(conf.get(), name)
    if settings is None:
        raise UnknownStore(f"There is no store {name!r}: neither WINDLASS_STORES nor the other settings describe it.")
    module, _, factory = FACTORIES[settings.storage_backend].partition(":")
    created: Store = getattr(import_module(module), factory)(settings)
    created.name = name
    atexit.register(created.close)
    return created
