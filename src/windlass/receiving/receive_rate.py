"""How fast all uploads of this process are received together."""

from __future__ import annotations

import threading

#: The rate is that of the last so many bytes. A pause of so many seconds is not counted: nothing was to be received.
MEASURED_BYTES, PAUSE_SECONDS = 16 * 1024 * 1024, 0.1
#: Seconds after which a rate that was measured says nothing any more.
VALID_SECONDS = 1.0


class ReceiveRate:
    """``add`` may be called in any thread. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = 0
        self._began_at = self._last_at = self._measured_at = float("-inf")
        self._rate = 0.0

    def add(self, size: int, at: float) -> None:
        """Count bytes that were received until ``at``."""
        with self._lock:
            if at - self._last_at > PAUSE_SECONDS:  # it is unknown when these began to come
                self._bytes, self._began_at = 0, at
            else:
                self._bytes += size
            self._last_at = at
            if self._bytes >= MEASURED_BYTES and at > self._began_at:
                self._rate, self._measured_at = self._bytes / (at - self._began_at), at
                self._bytes, self._began_at = 0, at

    def at(self, now: float) -> float:
        """Bytes a second; 0 where fewer than MEASURED_BYTES have come lately."""
        return self._rate if now - self._measured_at <= VALID_SECONDS else 0.0


receive_rate = ReceiveRate()
