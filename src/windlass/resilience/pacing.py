"""Pace a stream of bytes: how long to wait so that no more than a number of bytes pass in a second."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakValueDictionary

from windlass.kernel.clock import monotonic


class Pace:
    """A token bucket of one second. Several streams may share it. Not thread-safe."""

    def __init__(self, bytes_per_second: int, clock: Callable[[], float] = monotonic) -> None:
        self._rate, self._clock = bytes_per_second, clock
        #: When everything that has passed would have passed at the rate.
        self._due = 0.0

    def delay(self, size: int) -> float:
        """Let ``size`` bytes pass, and return the seconds to wait before the next ones."""
        now = self._clock()
        self._due = max(self._due, now - 1.0) + size / self._rate
        return max(self._due - now, 0.0)


_shared: WeakValueDictionary[tuple[str, str, int], Pace] = WeakValueDictionary()


def shared_pace(owner: str, profile: str, bytes_per_second: int) -> Pace | None:
    """Return the pace of this owner's uploads with this profile in this process; None for a rate of 0, which is none.

    It lives as long as a transfer has it.
    """
    if not bytes_per_second:
        return None
    key = (owner, profile, bytes_per_second)
    pace = _shared.get(key)
    if pace is None:
        pace = _shared[key] = Pace(bytes_per_second)
    return pace
