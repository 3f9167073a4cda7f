"""Keep one slot of a worker free of heavy jobs, so that two films do not stop everything else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from windlass.jobs.api import CostClass, Queue


class HeavySlots:
    """Bounds the heavy jobs that a worker runs at a time. Thread-safe.

    A worker of both classes with several slots keeps one for light jobs; any other uses all of its slots for whatever
    comes. While as many heavy jobs run as may, the worker consumes no heavy queue: their messages stay in the broker,
    for other workers.
    """

    def __init__(self, queues: Collection[Queue], slots: int, changed: Callable[[], None]) -> None:
        """``changed`` is called when ``consumed`` has changed, in the thread of a job."""
        self._queues = tuple(queues)
        serves_both = {queue.cost for queue in queues} == set(CostClass)
        self._most = slots - 1 if serves_both and slots > 1 else slots
        self._keeps_one = self._most < slots
        self._changed = changed
        self._lock = threading.Lock()
        self._running = 0

    @property
    def consumed(self) -> Collection[Queue]:
        """The queues from which the worker takes messages now."""
        if self._keeps_one and self._running >= self._most:
            return tuple(queue for queue in self._queues if queue.cost != CostClass.HEAVY)
        return self._queues

    @contextmanager
    def job(self, queue: Queue | None) -> Iterator[bool]:
        """Give whether a job of this queue may run now: False for a heavy one that arrived before consuming stopped."""
        if not self._keeps_one or queue is None or queue.cost != CostClass.HEAVY:
            yield True
            return
        if not self._take():
            yield False
            return
        try:
            yield True
        finally:
            with self._lock:
                self._running -= 1
            self._changed()

    def _take(self) -> bool:
        with self._lock:
            if self._running >= self._most:
                return False
            self._running += 1
        self._changed()
        return True
