"""The breaker around the stores that are reached over a network: while one is away, nobody waits for its timeouts."""

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


@contextmanager
def _guarded() -> Iterator[None]:
    """Around one request to a store. Raises StoreUnavailable without asking while the breaker is open."""
    try:
        with breaker(NAME).call(StoreUnavailable):
            yield
    except BreakerOpen as error:
        raise StoreUnavailable(f"The store was away a moment ago; it is tried in {error.retry_after:.0f} s.") from error
