"""Circuit breakers: a part that is away is left alone for a while instead of keeping everybody waiting.

Each process has its own, by name. A breaker counts the failures that its callers name, and no other exception: that a
file is damaged, or a caller gave up, says nothing of the part.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from windlass.resilience import circuit as transitions
from windlass.resilience.circuit import Circuit, Policy, State


class BreakerOpen(Exception):
    """The part was not asked: it was away a moment ago. ``retry_after`` is in seconds."""

    def __init__(self, name: str, retry_after: float) -> None:
        super().__init__(f"The {name} is away.")
        self.name, self.retry_after = name, retry_after


@dataclass(frozen=True, slots=True)
class Change:
    """A breaker's state has changed. ``failures`` in a row led to it; ``retry_after``: seconds until it is tried."""

    name: str
    before: State
    after: State
    failures: int
    retry_after: float


class Breaker:
    """One part's breaker; any thread may call it.

    ``policy`` is asked at each use, so that changed settings count. ``changed`` is called after each change of state,
    outside the lock, in the thread that made it; it must not raise.
    """

    def __init__(
        self,
        name: str,
        policy: Callable[[], Policy],
        clock: Callable[[], float],
        changed: Callable[[Change], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._policy, self._clock, self._changed = policy, clock, changed
        self._lock = threading.Lock()
        self._circuit = Circuit()

    @property
    def circuit(self) -> Circuit:
        """How it stands now."""
        return self._circuit

    def retry_after(self) -> float:
        """Seconds until a call may be admitted; 0 where one would be now."""
        return self._circuit.wait(self._policy(), self._clock())

    @contextmanager
    def call(self, *failures: type[BaseException]) -> Iterator[None]:
        """Around one call to the part: one of ``failures`` counts as such, an end without exception as success, and
        anything else as nothing. Raises BreakerOpen where the part is not to be asked now."""
        turn = self._admit()
        try:
            yield
        except failures:
            self._move(lambda now: transitions.failed(now, self._policy(), turn, self._clock()))
            raise
        except BaseException:
            self._move(lambda now: transitions.let_go(now, turn))
            raise
        self._move(lambda now: transitions.succeeded(now, self._policy(), turn))

    def _admit(self) -> int:
        policy, moment = self._policy(), self._clock()
        after = self._move(lambda now: transitions.admitted(now, policy, moment))
        if after is None:
            raise BreakerOpen(self.name, self.retry_after())
        return after.turn

    def _move(self, transition: Callable[[Circuit], Circuit | None]) -> Circuit | None:
        with self._lock:
            before = self._circuit
            after = transition(before)
            if after is None:
                return None
            self._circuit = after
        if after.state != before.state:
            failures = max(before.failures, after.failures)
            wait = after.wait(self._policy(), self._clock())
            self._changed(Change(self.name, before.state, after.state, failures, wait))
        return after
