"""Read the event journal once per process for all live streams.

The reader is woken by notifications, which may be lost, and polls as well. Each stream has a position of its own in the
journal. While it keeps up, it is given new events; when it falls behind, the events that wait for it are dropped and it
reads on from its position. So a slow client does not make this process grow. A stream without news costs nothing: what
is new is looked up by its topic.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import structlog

from windlass.database.outage import is_outage, log_outage
from windlass.events import api as events
from windlass.events.api import Event, EventType
from windlass.executors import in_database
from windlass.http.live.progress import Progress, SentProgress, progress_under_way
from windlass.http.live.topics import Subscribers, Topic
from windlass.kernel.clock import monotonic

#: Seconds between two reads of the journal without a notification, and the least between two reads.
POLL_SECONDS, PAUSE_SECONDS = 0.2, 0.02
#: Progress is sent at most four times a second (http-api section 6).
PROGRESS_SECONDS = 0.25
#: Reading progress takes at most one part in so many of the time.
PROGRESS_SHARE = 10
#: Events of one read of the journal, and events that wait for one stream.
PAGE = 200
#: Seconds to wait after a read that failed.
RETRY_SECONDS = 1.0

FINAL_EVENTS = frozenset(
    {
        EventType.FILE_READY,
        EventType.FILE_REJECTED,
        EventType.FILE_QUARANTINED,
        EventType.FILE_FAILED,
        EventType.FILE_RELEASED,
        EventType.FILE_TRASHED,
        EventType.FILE_DELETED,
        EventType.UPLOAD_COMPLETED,
        EventType.UPLOAD_CANCELLED,
        EventType.UPLOAD_EXPIRED,
    }
)

log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class Subscriber:
    """One stream. ``position`` is the last event that it was given; with ``behind`` it must read the journal itself.

    ``wake`` is set when there may be something for ``next``; its reader clears it before. Streams may share it.
    """

    topic: Topic
    wake: asyncio.Event
    position: int = 0
    behind: bool = True
    waiting: deque[Event] = field(default_factory=deque)
    progress: list[Progress] | None = None
    sent: SentProgress = field(default_factory=SentProgress)

    def offer(self, events_of_topic: Sequence[Event]) -> None:
        """Give it events of its topic. It holds at most a page of them."""
        if len(self.waiting) + len(events_of_topic) > PAGE:
            self.behind = True
            self.waiting.clear()
        elif not self.behind:
            self.waiting.extend(events_of_topic)
        self.wake.set()

    def offer_progress(self, progress_of_topic: list[Progress]) -> None:
        """Give it the latest progress of its topic, which replaces what it was given before."""
        self.progress = progress_of_topic
        self.wake.set()

    async def next(self) -> list[dict[str, Any]]:
        """The documents to send now, in order; empty where there is none.

        Progress comes after events: it was read before them, so it is never ahead of the events that follow.
        """
        while self.behind or self.waiting:
            documents = await self._read_journal() if self.behind else self._take_waiting()
            if documents:
                return documents
        progress, self.progress = self.progress, None
        return [] if progress is None else [each.document() for each in self.sent.advance(progress)]

    def _take_waiting(self) -> list[dict[str, Any]]:
        page = list(self.waiting)
        self.waiting.clear()
        return self._documents(page)

    async def _read_journal(self) -> list[dict[str, Any]]:
        # Events that are offered during the read are kept; those that the read returns too are dropped by their number.
        self.behind = False
        topic = self.topic
        page = await in_database(
            events.events_after,
            self.position,
            owners=topic.owners,
            file_id=topic.file_id,
            upload_id=topic.upload_id,
            limit=PAGE,
        )
        if len(page) == PAGE:
            self.behind = True
            self.waiting.clear()
        return self._documents(page)

    def _documents(self, page: Sequence[Event]) -> list[dict[str, Any]]:
        new = [event for event in page if event.id > self.position]
        for event in new:
            self.position = event.id
            self.sent.record(event)
            if event.type in FINAL_EVENTS and self.progress:
                ended = (event.file_id, event.upload_id)
                self.progress = [each for each in self.progress if each.subject_id not in ended]
        return [events.document(event) for event in new]


class Follower:
    """Reads the journal while there are subscribers. All methods belong to one event loop."""

    def __init__(self) -> None:
        self.closed = False
        self.subscribers: Subscribers[Subscriber] = Subscribers()
        self._reset()

    def _reset(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._notified = asyncio.Event()
        self._position = 0
        self._progress_due = 0.0

    @asynccontextmanager
    async def following(self, topic: Topic, since: int | None) -> AsyncIterator[Subscriber]:
        """Subscribe to the events after number ``since``; None: from now on."""
        subscriber = await self.subscribe(topic, since, asyncio.Event())
        try:
            yield subscriber
        finally:
            self.unsubscribe(subscriber)

    async def subscribe(self, topic: Topic, since: int | None, wake: asyncio.Event) -> Subscriber:
        """As ``following``, until ``unsubscribe``."""
        subscriber = Subscriber(topic, wake)
        self.subscribers.add(subscriber)
        try:
            if self._task is None:
                self._task = asyncio.create_task(self._run(), name="windlass-follower")
            # The follower has its position before this stream reads up to its own, so no event falls between them.
            await self._ready.wait()
            newest = await in_database(events.last_id)
        except BaseException:  # also if it is cancelled: nobody would read what it subscribed to
            self.unsubscribe(subscriber)
            raise
        subscriber.position = newest if since is None else min(since, newest)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        self.subscribers.discard(subscriber)
        if not self.subscribers:
            if self._task is not None:
                self._task.cancel()
            self._reset()

    def close(self) -> None:
        """End every stream of this loop. A new stream ends at once, and its client reconnects elsewhere."""
        self.closed = True
        for subscriber in self.subscribers:
            subscriber.wake.set()

    async def _run(self) -> None:
        notified, ready = self._notified, self._ready
        stop_listening = events.add_listener(setter(notified))
        try:
            while True:
                try:
                    await self._distribute(ready)
                    await _wait_for(notified, POLL_SECONDS)
                except Exception as error:  # whatever it is, every stream of this process needs this task to go on
                    if is_outage(error):
                        log_outage(error)
                    else:
                        log.exception("journal.unreadable")
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            stop_listening()

    async def _distribute(self, ready: asyncio.Event) -> None:
        """Offer everything new to the subscribers."""
        if not ready.is_set():
            self._position = await in_database(events.last_id)
            ready.set()
        # Progress is read before the journal; see Subscriber.next.
        progress = await self._read_progress()
        while True:
            page = await in_database(events.events_after, self._position, limit=PAGE)
            for subscriber, of_topic in self.subscribers.select(page):
                subscriber.offer(of_topic)
            self._position = page[-1].id if page else self._position
            if len(page) < PAGE:
                break
        for subscriber, latest in self.subscribers.select(progress):
            subscriber.offer_progress(latest)

    async def _read_progress(self) -> list[Progress]:
        """The progress of what is followed; nothing where it was read a moment ago.

        What takes long to read, since much is followed, is read less often.
        """
        began = monotonic()
        if began < self._progress_due:
            return []
        progress = await in_database(progress_under_way, self.subscribers.topics())
        self._progress_due = began + max(PROGRESS_SECONDS, PROGRESS_SHARE * (monotonic() - began))
        return progress


async def _wait_for(notified: asyncio.Event, seconds: float) -> None:
    """Wait for a notification, at most ``seconds`` and at least PAUSE_SECONDS."""
    await asyncio.sleep(PAUSE_SECONDS)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await notified.wait()
    notified.clear()


def setter(notified: asyncio.Event) -> Callable[[], None]:
    """A function that sets ``notified`` from any thread."""
    loop = asyncio.get_running_loop()

    def set_notified() -> None:
        with suppress(RuntimeError):  # the loop has closed: there is nobody to wake
            loop.call_soon_threadsafe(notified.set)

    return set_notified


_followers: WeakKeyDictionary[asyncio.AbstractEventLoop, Follower] = WeakKeyDictionary()


def follower() -> Follower:
    """The follower of the running loop."""
    return _followers.setdefault(asyncio.get_running_loop(), Follower())
