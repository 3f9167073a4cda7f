"""How fast bytes may be read and written by what is done beside the serving, and whether it is still wanted."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from windlass.kernel.clock import monotonic


class Stopped(Exception):
    """Whoever asked for it wants it no more."""


@dataclass(slots=True)
class Pace:
    """Not more than so many bytes a second; 0 is as fast as it goes. Time that passed unused is not made up for."""

    per_second: float
    stop: threading.Event
    _free_at: float = 0.0

    def took(self, size: int) -> None:
        """Waits until that much may have been read. Raises Stopped."""
        moment = monotonic()
        if self.per_second:
            self._free_at = max(self._free_at, moment) + size / self.per_second
        if self.stop.wait(max(0.0, self._free_at - moment)):
            raise Stopped
