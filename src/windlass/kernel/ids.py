"""Random identifiers, which cannot be guessed from each other."""

from __future__ import annotations

import os
import re
import threading
import uuid

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class _RandomBytes:
    """Random bytes of the operating system, fetched for many ids at once.

    Each system call releases the interpreter, and in a busy process another thread takes it for milliseconds.
    """

    _FETCHED = 4096

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = b""

    def take(self, count: int) -> bytes:
        with self._lock:
            if len(self._left) < count:
                self._left = os.urandom(self._FETCHED)
            taken, self._left = self._left[:count], self._left[count:]
        return taken

    def reset_after_fork(self) -> None:
        """The child must not hand out what its parent hands out."""
        self.__init__()  # type: ignore[misc]


_random = _RandomBytes()
os.register_at_fork(after_in_child=_random.reset_after_fork)


def new_id() -> uuid.UUID:
    return uuid.UUID(bytes=_random.take(16), version=4)


def parse_id(text: str) -> uuid.UUID | None:
    """The UUID that ``text`` is the canonical form of, else None."""
    try:
        value = uuid.UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None


def request_id(proposed: str | None) -> str:
    """The client's ``X-Request-ID`` if it is a valid token, else a new one."""
    return proposed if proposed and _REQUEST_ID.fullmatch(proposed) else new_id().hex
