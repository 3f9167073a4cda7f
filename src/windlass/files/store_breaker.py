"""A circuit breaker for each store that is reached over a network.

While one store fails, nobody waits for its timeouts, and the other stores work as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from windlass import conf
from windlass.resilience.circuit_breaker import BreakerOpen, breaker
from windlass.storage import registry
from windlass.storage.contract import StoreError, StoreUnavailable

NAME = "storage"


def store_breaker_names() -> list[str]:
    """Return the names of the breakers of all stores that the settings describe and that are reached over a network."""
    return [_name(store) for store in conf.known_stores(conf.get()) if _is_remote(store)]


def guard_stores() -> None:
    """Guard all stores of this process. Idempotent."""
    registry.guard_with(_guarded)


@contextmanager
def _guarded(store_name: str) -> Iterator[None]:
    """Enter around one request to a store. Raises StoreUnavailable at once while its breaker is open."""
    guard = breaker(_name(store_name))
    try:
        with guard.call(StoreUnavailable):
            yield
    except BreakerOpen as error:
        refused = StoreUnavailable(
            f"The store was unavailable a moment ago; the next attempt is in {error.retry_after:.0f} s."
        )
        refused.retry_after = error.retry_after
        raise refused from error
    except StoreUnavailable as error:
        error.retry_after = guard.retry_after() or None
        raise


def _name(store_name: str) -> str:
    return NAME if store_name == registry.default_name() else f"{NAME}.{store_name}"


def _is_remote(store_name: str) -> bool:
    try:
        return registry.store(store_name).capabilities.remote
    except StoreError:
        return True  # it cannot be opened, so it is no directory of this machine
