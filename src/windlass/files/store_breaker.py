"""A circuit breaker for each store that is reached over a network.

While one store fails, nobody waits for its timeouts, and the other stores work as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from windlass.resilience.circuit_breaker import BreakerOpen, breaker
from windlass.storage import registry
from windlass.storage.contract import StoreUnavailable

NAME = "storage"


def guard_stores() -> None:
    """Guard all stores of this process. Idempotent."""
    registry.guard_with(_guarded)


@contextmanager
def _guarded(store_name: str) -> Iterator[None]:
    """Enter around one request to a store. Raises StoreUnavailable at once while its breaker is open."""
    name = NAME if store_name == registry.default_name() else f"{NAME}.{store_name}"
    try:
        with breaker(name).call(StoreUnavailable):
            yield
    except BreakerOpen as error:
        raise StoreUnavailable(
            f"The store was unavailable a moment ago; the next attempt is in {error.retry_after:.0f} s."
        ) from error
