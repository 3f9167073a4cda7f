"""A breaker around each store that is reached over a network: while one is away, nobody waits for its timeouts, and the
others are asked as before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from windlass.resilience.breaker import BreakerOpen
from windlass.resilience.registry import breaker
from windlass.storage import registry
from windlass.storage.contract import StoreUnavailable

NAME = "storage"


def guard_stores() -> None:
    """From now on, in this process. Idempotent."""
    registry.guard_with(_guarded)


def breaker_name(store_name: str) -> str:
    """``storage`` for the default store, ``storage.<name>`` for another."""
    return NAME if store_name == registry.default_name() else f"{NAME}.{store_name}"


@contextmanager
def _guarded(store_name: str) -> Iterator[None]:
    """Around one request to a store. Raises StoreUnavailable without asking while its breaker is open."""
    try:
        with breaker(breaker_name(store_name)).call(StoreUnavailable):
            yield
    except BreakerOpen as error:
        raise StoreUnavailable(f"The store was away a moment ago; it is tried in {error.retry_after:.0f} s.") from error
