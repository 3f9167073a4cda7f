"""How long to wait before trying again, and when to stop trying."""

from __future__ import annotations

import random
from collections.abc import Callable


class Patience:
    """Exponential backoff with jitter, that ends after ``limit`` seconds in which nothing went forward.

    Only fruitless time counts: pauses, and attempts that moved no byte. A transfer that ran for hours and broke off
    does not find its patience used up. Before the server has answered once, ``first`` seconds are enough to say that
    it is not there.
    """

    def __init__(
        self,
        limit: float,
        *,
        first: float = 15.0,
        shortest: float = 0.5,
        longest: float = 30.0,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._limit = limit
        self._first = min(first, limit)
        self._shortest, self._longest, self._jitter = shortest, longest, jitter
        self._answered = False
        self._fruitless = 0.0
        self._failures = 0

    def answered(self) -> None:
        """The server is there, whatever it said."""
        self._answered = True

    def progressed(self) -> None:
        """Something went forward: begin anew."""
        self._fruitless, self._failures = 0.0, 0

    def after_failure(self, spent: float = 0.0, at_least: float | None = None) -> float | None:
        """Seconds to wait after an attempt that took ``spent`` for nothing; None when it is time to give up."""
        self._fruitless += spent
        left = (self._limit if self._answered else self._first) - self._fruitless
        if left <= 0:
            return None
        delay: float = min(self._shortest * 2.0 ** min(self._failures, 16), self._longest)
        delay = max(delay * self._jitter(0.5, 1.0), at_least or 0.0)
        self._failures += 1
        self._fruitless += delay
        return delay
