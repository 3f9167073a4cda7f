"""Limit the rate of background reads and writes, and stop them on request."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from windlass.kernel.clock import monotonic


class Stopped(Exception):
    """``Throttle.stop`` was set."""


@dataclass(slots=True)
class Throttle:
    """At most ``per_second`` bytes per second; 0: no limit. Unused time is not made up for."""

    per_second: float
    stop: threading.Event
    _free_at: float = 0.0

    def wait(self, size: int) -> None:
        """Wait until ``size`` more bytes may be read. Raises Stopped."""
        moment = monotonic()
        if self.per_second:
            self._free_at = max(self._free_at, moment) + size / self.per_second
        if self.stop.wait(max(0.0, self._free_at - moment)):
            raise Stopped
