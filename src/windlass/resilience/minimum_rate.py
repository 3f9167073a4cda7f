"""Decides when a transfer is too slow: silence, and a trickle that is as good as silence. No I/O."""

from __future__ import annotations


class MinimumRate:
    """Time that the other side may still take (``credit``, seconds).

    Waiting uses it up; every byte earns ``1 / rate`` seconds, up to ``longest``. So silence may last ``longest``
    seconds, and in the long run at least ``rate`` bytes a second must come. ``rate`` 0: any byte earns all of it back.
    """

    __slots__ = ("_longest", "_rate", "credit")

    def __init__(self, longest: float, rate: float) -> None:
        self._longest, self._rate = longest, rate
        self.credit = longest

    def account(self, waited: float, size: int) -> bool:
        """``size`` bytes came while ``waited`` seconds passed. Whether the transfer may go on."""
        earned = (size / self._rate if self._rate else self._longest) if size else 0.0
        self.credit = min(self._longest, self.credit - waited + earned)
        return self.credit > 0
