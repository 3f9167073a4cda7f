"""The embedded broker: a kombu transport with one directory per queue and one file per message.

Kombu's own filesystem transport writes messages in place, so a reader can see half of one; receives by moving files
through the system's temporary directory; and polls once a second. Here a message appears whole by a rename, belongs to
the process that unlinks it, and whoever puts it wakes the consumers by their named pipes. Nothing is synced: a
notification may be lost.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import virtual

from windlass.kernel import named_pipes
from windlass.kernel.ids import new_id

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SUFFIX = ".msg"
#: The directory of the consumers' pipes beside those of the queues: no queue can have this name.
_PIPES = ".consumers"


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
        hidden = self._folder / f".{name}"
        handle = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(handle, body)
        finally:
            os.close(handle)
        os.rename(hidden, self._folder / name)

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


class QoS(virtual.QoS):
    """Wakes the transport when a message is acknowledged, so that a full worker receives the next one at once."""

    def ack(self, delivery_tag: str) -> None:
        super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        transport: Transport | None = self.channel.connection
        if transport is not None:
            transport.acknowledged.set()


class Channel(virtual.Channel):
    """Queues below the directory in the transport option ``folder``."""

    QoS = QoS

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)  # type: ignore[no-untyped-call]
        self._folder = Path(connection.client.transport_options["folder"])
        self._queues: dict[str, QueueDirectory] = {}

    def _directory(self, queue: str) -> QueueDirectory:
        if queue not in self._queues:
            if not _NAME.fullmatch(queue):
                raise ChannelError(f"{queue!r} cannot be the name of a queue")
            self._queues[queue] = QueueDirectory(self._folder / queue)
        return self._queues[queue]

    def _next_delivery_tag(self) -> str:
        return str(new_id())

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self._directory(queue).prepare()

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return (self._folder / queue).is_dir()

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        self._directory(queue).put(json.dumps(message).encode())
        named_pipes.notify(self._folder / _PIPES)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        directory = self._directory(queue)
        while (body := directory.take()) is not None:
            # An unreadable message is dropped; the sweep notifies again.
            with suppress(ValueError):
                message: dict[str, Any] = json.loads(body)
                return message
        raise Empty

    def _size(self, queue: str) -> int:
        return len(self._directory(queue).names())

    def _purge(self, queue: str) -> int:
        return self._directory(queue).purge()


class Transport(virtual.Transport):
    """``windlass://`` as a broker URL, with the transport option ``folder``."""

    Channel = Channel
    driver_type = "filesystem"
    driver_name = "windlass"
    #: Seconds between two polls of an idle worker where the file system has no pipes. Polling an unchanged directory
    #: costs one ``stat``.
    polling_interval = 0.02
    #: Celery checks for a stop between two drains; its default of two seconds would delay every restart. So soon is a
    #: message found whose sender woke nobody.
    longest_drain = 0.25

    connection_errors: Any = (*virtual.Transport.connection_errors, OSError)

    def driver_version(self) -> str:
        return "1"

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)  # type: ignore[no-untyped-call]
        self.acknowledged = threading.Event()
        self._pipe: named_pipes.Pipe | None = None

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """Deliver one message. Raises TimeoutError if none arrives in time."""
        deadline = time.monotonic() + min(timeout or self.longest_drain, self.longest_drain)
        cycle: Any = self.cycle
        while True:
            try:
                cycle.get(self._deliver, timeout=timeout)
            except Empty:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError from None
                # A full worker receives nothing before it has acknowledged a message.
                if any(channel.qos.can_consume() for channel in self.channels):
                    self._wait_for_message(left)
                elif self.acknowledged.wait(left):
                    self.acknowledged.clear()
            else:
                return

    def close_connection(self, connection: Any) -> None:
        super().close_connection(connection)  # type: ignore[no-untyped-call]
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def _wait_for_message(self, seconds: float) -> None:
        """Wait until a message may have arrived. A publisher never calls this, and so has no pipe."""
        if self._pipe is not None:
            self._pipe.wait(seconds)
            return
        client: Any = self.client
        try:
            # Returns at once: a message may have arrived before the pipe was there.
            self._pipe = named_pipes.Pipe(Path(client.transport_options["folder"]) / _PIPES)
        except OSError:  # the file system has no pipes
            time.sleep(min(self.polling_interval, seconds))
