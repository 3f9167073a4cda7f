"""Count calls in sliding windows, and refuse those beyond a limit.

The counts are in a storage of the library ``limits``: a Redis, or the table that the processes of a machine share.
While the Redis is away, each machine counts on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from limits import RateLimitItemPerSecond
from limits.strategies import SlidingWindowCounterRateLimiter

from windlass.resilience.circuit_breaker import BreakerOpen, breaker
from windlass.resilience.rate_limits.policies import BREAKER, Fill, Verdict, Window, seconds_until_admitted

log = structlog.get_logger(__name__)


class Limiter:
    """Counts by key. ``remote``: a storage over a network, used while it answers; ``local``: one that always does.

    Thread-safe. Blocks for a network, or for the lock of a file.
    """

    def __init__(self, local: Any, remote: Any = None) -> None:
        self._local, self._remote = local, remote
        self._is_away = False

    def hit(self, keys: Sequence[str], windows: Sequence[Window]) -> Verdict:
        """Count a call under each key in each window, if all of them admit it. A refused call counts nowhere."""
        return self._on_storage(lambda storage: _hit(storage, keys, windows))

    def look(self, keys: Sequence[str], windows: Sequence[Window]) -> Verdict:
        """Whether a call would be admitted, without counting it."""
        return self._on_storage(lambda storage: _verdict(storage, keys, windows))

    def _on_storage(self, work: Any) -> Verdict:
        if self._remote is None:
            return _checked(work(self._local))
        try:
            with breaker(BREAKER).call(*_exceptions(self._remote)):
                verdict = work(self._remote)
        except BreakerOpen:
            return _checked(work(self._local))
        except _exceptions(self._remote) as error:
            if not self._is_away:
                log.warning("rate_limits.redis_away", reason=str(error)[:200], until="each machine counts on its own")
            self._is_away = True
            return _checked(work(self._local))
        if self._is_away:
            log.info("rate_limits.redis_back")
        self._is_away = False
        return _checked(verdict)


def _exceptions(storage: Any) -> tuple[type[Exception], ...]:
    kinds = storage.base_exceptions
    return (*(kinds if isinstance(kinds, tuple) else (kinds,)), OSError)


def _checked(verdict: Any) -> Verdict:
    assert isinstance(verdict, Verdict)
    return verdict


def _verdict(storage: Any, keys: Sequence[str], windows: Sequence[Window]) -> Verdict:
    """The verdict on one more call, by the window that is closest to its limit."""
    found: list[tuple[float, int, Window, Fill]] = []
    for window in windows:
        for key in keys:
            fill = _fill(storage, key, window)
            found.append(
                (-seconds_until_admitted(fill, window), window.limit - fill.count(window.seconds), window, fill)
            )
    wait, remaining, window, fill = min(found, key=lambda each: each[:2])
    if wait < 0:
        return Verdict(False, windows, window, 0, -wait)
    return Verdict(True, windows, window, max(remaining, 0), fill.current_left or float(window.seconds))


def _hit(storage: Any, keys: Sequence[str], windows: Sequence[Window]) -> Verdict:
    before = _verdict(storage, keys, windows)
    if not before.admitted:
        return before
    limiter = SlidingWindowCounterRateLimiter(storage)
    # The longest window first: it refuses seldom, so a call that another process's call overtook seldom counts.
    for window in reversed(windows):
        for key in keys:
            if not limiter.hit(_item(window), key):
                return _verdict_of_refused(storage, keys, windows)
    return Verdict(True, windows, before.tightest, max(before.remaining - 1, 0), before.reset)


def _verdict_of_refused(storage: Any, keys: Sequence[str], windows: Sequence[Window]) -> Verdict:
    """The verdict on a call that another one overtook: refused, even if a window has moved on meanwhile."""
    after = _verdict(storage, keys, windows)
    return Verdict(False, windows, after.tightest, 0, 1.0 if after.admitted else after.reset)


def _fill(storage: Any, key: str, window: Window) -> Fill:
    item = _item(window)
    previous, previous_left, current, current_until = storage.get_sliding_window(item.key_for(key), item.get_expiry())
    # The library reports for the current window how long it counts in all, as the current one and as the previous one.
    return Fill(previous, previous_left, current, max(current_until - window.seconds, 0.0))


def _item(window: Window) -> RateLimitItemPerSecond:
    return RateLimitItemPerSecond(window.limit, window.seconds, namespace=window.name)
