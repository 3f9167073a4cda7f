"""The embedded broker: a kombu transport with one directory per queue and one file per message.

Kombu's own filesystem transport writes messages in place, so a reader can see half of one; receives by moving files
through the system's temporary directory; and polls once a second. Here whoever puts a message (``queue_directory``)
wakes the consumers by their named pipes. Processes that only notify do so without kombu (``embedded_messages``).
"""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import virtual

from windlass.jobs.queue_directory import PIPES, QueueDirectory
from windlass.kernel import named_pipes
from windlass.kernel.ids import new_id

_NAME = re.compile(r"[A-Za-z0-9_-]+")


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
        named_pipes.notify(self._folder / PIPES)

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
            self._pipe = named_pipes.Pipe(Path(client.transport_options["folder"]) / PIPES)
        except OSError:  # the file system has no pipes
            time.sleep(min(self.polling_interval, seconds))
