"""The stores that the settings describe, each made when it is first asked for, so that no library loads unasked."""

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

#: Goes around each request to a store that is reached over a network, which says its name.
Guard = Callable[[str], AbstractContextManager[None]]


def no_guard(name: str) -> AbstractContextManager[None]:
    return nullcontext()


_guard: Guard = no_guard


class UnknownStore(StoreError):
    """No store of this name is set up here. Rows may name it all the same."""


def store(name: str | None = None) -> Store:
    """The store called ``name``, or the one of new files whose profile names none. One instance a process.

    Raises UnknownStore, StoreError.
    """
    return _made(name or default_name())


def default_name() -> str:
    return conf.default_store(conf.get())


def guard_with(guard: Guard) -> None:
    """Those above know what to do about a store that is away; stores know nobody above them."""
    global _guard
    _guard = guard


def guarded(name: str) -> AbstractContextManager[None]:
    """Around one request, for stores to enter."""
    return _guard(name)


@cache
def _made(name: str) -> Store:
    settings = conf.store_settings(conf.get(), name)
    if settings is None:
        raise UnknownStore(f"There is no store {name!r} here: neither WINDLASS_STORES nor the settings describe it.")
    module, _, factory = FACTORIES[settings.storage_backend].partition(":")
    made: Store = getattr(import_module(module), factory)(settings)
    made.name = name
    atexit.register(made.close)
    return made
