"""One reader of the journal per process, for all who follow it live.

It is woken by the bell, and looks by itself too, because workers are other processes. Each stream has a place of its
own in the journal: news is handed to it while it keeps up; one that falls behind loses what was handed over, not its
place, and reads on from the journal. So no client, however slow, makes this process grow.
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
from windlass.http.live.progress import Progress, Shown, Topic, under_way
from windlass.kernel.clock import monotonic

#: How often the journal is looked at when no bell rings, and how soon again after a bell.
POLL_SECONDS, PAUSE_SECONDS = 0.2, 0.02
#: Progress is told at most four times a second (http-api section 6).
PROGRESS_SECONDS = 0.25
#: Events of one look at the journal, and events that are kept ready for one stream.
PAGE = 200
#: Wait after a look that failed.
RETRY_SECONDS = 1.0

ENDED = frozenset(
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
    """One stream. ``position`` is the last event told; ``behind`` says that it must read the journal itself."""

    topic: Topic
    position: int = 0
    behind: bool = True
    news: deque[Event] = field(default_factory=deque)
    running: list[Progress] | None = None
    shown: Shown = field(default_factory=Shown)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, found: Sequence[Event], running: Sequence[Progress] | None) -> None:
        """Hand over what concerns this stream. Holds at most a page of events and the newest progress."""
        mine = [event for event in found if self.topic.concerns(event)]
        if len(self.news) + len(mine) > PAGE:
            self.behind = True
            self.news.clear()
        elif not self.behind:
            self.news.extend(mine)
        if running is not None:
            self.running = [each for each in running if self.topic.concerns(each)]
        if mine or self.running:
            self.wake.set()

    async def next(self) -> list[dict[str, Any]]:
        """What to tell now, in order; empty where there is nothing. Progress comes after the journal's news: its
        figures were read before that news, so they can never tell less than what follows."""
        self.wake.clear()
        while self.behind or self.news:
            told = await self._read_on() if self.behind else self._take()
            if told:
                return told
        running, self.running = self.running, None
        return [] if running is None else [each.document() for each in self.shown.risen(running)]

    def _take(self) -> list[dict[str, Any]]:
        found = list(self.news)
        self.news.clear()
        return self._told(found)

    async def _read_on(self) -> list[dict[str, Any]]:
        # News handed over during the read is kept: what the read has seen of it is left out by its number.
        self.behind = False
        topic = self.topic
        page = await in_database(
            events.events_after,
            self.position,
            owner=topic.owner,
            file_id=topic.file_id,
            upload_id=topic.upload_id,
            limit=PAGE,
        )
        if len(page) == PAGE:
            self.behind = True
            self.news.clear()
        return self._told(page)

    def _told(self, found: Sequence[Event]) -> list[dict[str, Any]]:
        new = [event for event in found if event.id > self.position]
        for event in new:
            self.position = event.id
            self.shown.journal(event)
            if event.type in ENDED and self.running:
                self.running = [each for each in self.running if each.thing not in (event.file_id, event.upload_id)]
        return [events.document(event) for event in new]


class Follower:
    """Reads the journal while anybody follows it. All methods belong to one event loop."""

    def __init__(self) -> None:
        self.closed = False
        self.subscribers: set[Subscriber] = set()
        self._reset()

    def _reset(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._bell = asyncio.Event()
        self._position = 0
        self._progress_due = 0.0

    @asynccontextmanager
    async def following(self, topic: Topic, since: int | None) -> AsyncIterator[Subscriber]:
        """Follow from after event ``since``; None: from now on."""
        subscriber = Subscriber(topic)
        self.subscribers.add(subscriber)
        try:
            if self._task is None:
                self._task = asyncio.create_task(self._run(), name="windlass-follower")
            # Nothing falls between the two readers: the follower has its place before this stream reads up to its own.
            await self._ready.wait()
            newest = await in_database(events.last_id)
            subscriber.position = newest if since is None else min(since, newest)
            yield subscriber
        finally:
            self.subscribers.discard(subscriber)
            if not self.subscribers:
                self._stop()

    def close(self) -> None:
        """Every stream of this loop ends now; a new one ends at once, and its client asks elsewhere."""
        self.closed = True
        for subscriber in self.subscribers:
            subscriber.wake.set()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._reset()

    async def _run(self) -> None:
        bell, ready = self._bell, self._ready
        stop_listening = events.add_listener(_ringer(bell))
        try:
            while True:
                try:
                    await self._look(ready)
                    await _wait_for(bell, POLL_SECONDS)
                except Exception as error:
                    if is_outage(error):
                        log_outage(error)
                    else:
                        log.exception("journal.unreadable")
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            stop_listening()

    async def _look(self, ready: asyncio.Event) -> None:
        if not ready.is_set():
            self._position = await in_database(events.last_id)
            ready.set()
        # Before the journal, see Subscriber.next.
        running = await self._under_way()
        while True:
            page = await in_database(events.events_after, self._position, limit=PAGE)
            last = len(page) < PAGE
            for subscriber in self.subscribers:
                subscriber.offer(page, running if last else None)
            self._position = page[-1].id if page else self._position
            if last:
                return

    async def _under_way(self) -> list[Progress] | None:
        if monotonic() < self._progress_due:
            return None
        self._progress_due = monotonic() + PROGRESS_SECONDS
        return await in_database(under_way, [subscriber.topic for subscriber in self.subscribers])


async def _wait_for(bell: asyncio.Event, seconds: float) -> None:
    """Wait for the bell, or this long; a bell that rings all the time is heard as often as is useful."""
    await asyncio.sleep(PAUSE_SECONDS)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await bell.wait()
    bell.clear()


def _ringer(bell: asyncio.Event) -> Callable[[], None]:
    """What the journal's bell calls, from whichever thread committed."""
    loop = asyncio.get_running_loop()

    def ring() -> None:
        with suppress(RuntimeError):  # the loop closed while the bell rang: nobody is left to wake
            loop.call_soon_threadsafe(bell.set)

    return ring


_followers: WeakKeyDictionary[asyncio.AbstractEventLoop, Follower] = WeakKeyDictionary()


def follower() -> Follower:
    """The follower of the running loop."""
    return _followers.setdefault(asyncio.get_running_loop(), Follower())
