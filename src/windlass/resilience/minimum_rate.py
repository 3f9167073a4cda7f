"""Decide when a transfer is too slow: no bytes at all, or too few. No I/O."""

from __future__ import annotations


class MinimumRate:
    """The time that the peer may still take: ``credit``, in seconds.

    Waiting uses it up; every byte earns ``1 / rate`` seconds, up to ``longest``. So the peer may be silent for
    ``longest`` seconds and must average at least ``rate`` bytes per second. ``rate`` 0: any byte restores all credit.
    """

    __slots__ = ("_longest", "_rate", "credit")

    def __init__(self, longest: float, rate: float) -> None:
        self._longest, self._rate = longest, rate
        self.credit = longest

    def account(self, waited: float, size: int) -> bool:
        """Account for ``size`` bytes in ``waited`` seconds; return whether the transfer may continue."""
        earned = (size / self._rate if self._rate else self._longest) if size else 0.0
        self.credit = min(self._longest, self.credit - waited + earned)
        return self.credit > 0
