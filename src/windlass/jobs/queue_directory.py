"""The queues of the embedded broker: one directory per queue, one file per message.

A message appears whole by a rename, and belongs to the process that unlinks it. Nothing is synced: a notification may
be lost.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from windlass.kernel.ids import new_id

_SUFFIX = ".msg"
#: The directory of the consumers' pipes beside those of the queues: no queue can have this name.
PIPES = ".consumers"


class QueueDirectory:
    """The messages of one queue. Any number of processes put and take; each message is taken once.

    Not thread-safe: the last listing is cached without a lock.
    """

    #: A directory's modification time is too coarse to tell two changes within one tick apart: a listing is cached only
    #: if the directory was last changed this long ago.
    SETTLED_NS = 100_000_000
    #: List an unchanged directory this often all the same: network filesystems may report other times.
    RELIST_SECONDS = 1.0
    #: A hidden file older than this was left by a writer that died.
    ABANDONED_SECONDS = 60.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: deque[str] = deque()
        self._listed_mtime: int | None = None
        self._relist_at = 0.0

    def put(self, body: bytes) -> None:
        """Raises OSError."""
        name = f"{time.time_ns():020d}-{new_id().hex}{_SUFFIX}"
        hidden = f"{self._folder}/.{name}"
        handle = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(handle, body)
        finally:
            os.close(handle)
        os.rename(hidden, f"{self._folder}/{name}")

    def take(self) -> bytes | None:
        """Remove and return the oldest message; None if there is none."""
        while self._waiting or self._list():
            body = self._claim(self._waiting.popleft())
            if body is not None:
                return body
        return None

    def names(self) -> list[str]:
        """File names of the waiting messages, oldest first."""
        try:
            return sorted(n for n in os.listdir(self._folder) if n.endswith(_SUFFIX) and not n.startswith("."))
        except FileNotFoundError:
            return []

    def purge(self) -> int:
        return sum(self._claim(name) is not None for name in self.names())

    def prepare(self) -> None:
        """Create the directory; remove files that dead writers left in it."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        horizon = time.time() - self.ABANDONED_SECONDS
        for path in self._folder.glob(f".*{_SUFFIX}"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < horizon:
                    path.unlink()

    def _list(self) -> bool:
        """List the directory unless it is unchanged; return whether a message waits."""
        moment = time.monotonic()
        try:
            changed = os.stat(self._folder).st_mtime_ns
        except FileNotFoundError:
            return False
        if changed == self._listed_mtime and moment < self._relist_at:
            return False
        self._waiting.extend(self.names())
        self._listed_mtime = changed if time.time_ns() - changed > self.SETTLED_NS else None
        self._relist_at = moment + self.RELIST_SECONDS
        return bool(self._waiting)

    def _claim(self, name: str) -> bytes | None:
        path = self._folder / name
        try:
            body = path.read_bytes()
            path.unlink()  # succeeds for exactly one of its readers
        except FileNotFoundError:
            return None
        return body


def prove_writable(folder: Path) -> None:
    """Create and remove a file in the broker's directory. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryFile(dir=folder) as proof:
        proof.write(b"windlass")
