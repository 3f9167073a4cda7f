"""The embedded broker: a directory for each queue, a file for each message.

Kombu's own filesystem transport writes a message in place, so that a reader can meet half of it, takes one by moving
it through the system's temporary directory, and looks once a second. Here a message appears whole by a rename, belongs
to whoever unlinks it, and is found within ``Transport.polling_interval``. Nothing is synced: a message is only a bell.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import virtual

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SUFFIX = ".msg"


class Inbox:
    """One queue's directory. Any number of processes put and take; each message is taken once.

    Not for two threads at once: what it saw at its last look is kept without a lock.
    """

    #: A directory's modification time ticks too coarsely to tell two changes within one tick apart.
    #: A look is believed only if the directory had been still for this long.
    SETTLED_NS = 100_000_000
    #: However still it seems, look this often: some network filesystems keep times of their own.
    LOOK_ANYWAY_SECONDS = 1.0
    #: A writer that is not done after this long has died.
    ABANDONED_SECONDS = 60.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: deque[str] = deque()
        self._seen: int | None = None
        self._look_anyway_at = 0.0

    def put(self, body: bytes) -> None:
        """Raises OSError."""
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex}{_SUFFIX}"
        hidden = self._folder / f".{name}"
        handle = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(handle, body)
        finally:
            os.close(handle)
        os.rename(hidden, self._folder / name)

    def take(self) -> bytes | None:
        """The oldest message, now gone from the queue; None where there is none."""
        while self._waiting or self._look():
            body = self._claim(self._waiting.popleft())
            if body is not None:
                return body
        return None

    def names(self) -> list[str]:
        """The messages that wait, oldest first."""
        try:
            return sorted(n for n in os.listdir(self._folder) if n.endswith(_SUFFIX) and not n.startswith("."))
        except FileNotFoundError:
            return []

    def purge(self) -> int:
        return sum(self._claim(name) is not None for name in self.names())

    def tidy(self) -> None:
        """Make the directory, and remove what writers that died left in it."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        horizon = time.time() - self.ABANDONED_SECONDS
        for path in self._folder.glob(f".*{_SUFFIX}"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < horizon:
                    path.unlink()

    def _look(self) -> bool:
        """List the directory unless it is as it was; whether anything waits."""
        moment = time.monotonic()
        try:
            changed = os.stat(self._folder).st_mtime_ns
        except FileNotFoundError:
            return False
        if changed == self._seen and moment < self._look_anyway_at:
            return False
        self._waiting.extend(self.names())
        self._seen = changed if time.time_ns() - changed > self.SETTLED_NS else None
        self._look_anyway_at = moment + self.LOOK_ANYWAY_SECONDS
        return bool(self._waiting)

    def _claim(self, name: str) -> bytes | None:
        path = self._folder / name
        try:
            body = path.read_bytes()
            path.unlink()  # succeeds for one of all that read it
        except FileNotFoundError:
            return None
        return body


class QoS(virtual.QoS):
    """Tells the transport when a message is acknowledged, so that a full worker takes the next one at once."""

    def ack(self, delivery_tag: str) -> None:
        super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        transport: Transport | None = self.channel.connection
        if transport is not None:
            transport.acknowledged.set()


class Channel(virtual.Channel):
    """Queues below the directory that the transport option ``folder`` names."""

    QoS = QoS

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)  # type: ignore[no-untyped-call]
        self._folder = Path(connection.client.transport_options["folder"])
        self._inboxes: dict[str, Inbox] = {}

    def _inbox(self, queue: str) -> Inbox:
        if queue not in self._inboxes:
            if not _NAME.fullmatch(queue):
                raise ChannelError(f"{queue!r} cannot be the name of a queue")
            self._inboxes[queue] = Inbox(self._folder / queue)
        return self._inboxes[queue]

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self._inbox(queue).tidy()

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return (self._folder / queue).is_dir()

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        self._inbox(queue).put(json.dumps(message).encode())

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        inbox = self._inbox(queue)
        while (body := inbox.take()) is not None:
            # What cannot be read is dropped: the sweep rings again for its job.
            with suppress(ValueError):
                message: dict[str, Any] = json.loads(body)
                return message
        raise Empty

    def _size(self, queue: str) -> int:
        return len(self._inbox(queue).names())

    def _purge(self, queue: str) -> int:
        return self._inbox(queue).purge()


class Transport(virtual.Transport):
    """``windlass://`` as a broker URL, with the transport option ``folder``."""

    Channel = Channel
    driver_type = "filesystem"
    driver_name = "windlass"
    #: Seconds from a message's arrival until an idle worker has it. A look at a still directory costs one ``stat``.
    polling_interval = 0.02
    #: The consumer sees that it should stop between two drains; its own two seconds would delay every restart.
    longest_drain = 0.25

    connection_errors: Any = (*virtual.Transport.connection_errors, OSError)

    def driver_version(self) -> str:
        return "1"

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)  # type: ignore[no-untyped-call]
        self.acknowledged = threading.Event()

    def _may_take(self) -> bool:
        return any(channel.qos.can_consume() for channel in self.channels)

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """Deliver one message. Raises TimeoutError where none came in time."""
        deadline = time.monotonic() + min(timeout or self.longest_drain, self.longest_drain)
        cycle: Any = self.cycle
        while True:
            try:
                cycle.get(self._deliver, timeout=timeout)
            except Empty:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError from None
                # A worker that is full takes nothing before it has acknowledged something.
                if self.acknowledged.wait(self.polling_interval if self._may_take() else left):
                    self.acknowledged.clear()
            else:
                return
