"""The connections of one event loop: their number, in all and per address, and the timer of their deadlines."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from typing import Protocol
from weakref import WeakKeyDictionary

from windlass import conf
from windlass.executors import in_thread
from windlass.http.memory_budget import budget
from windlass.kernel.memory_allocator import release_freed_memory
from windlass.kernel.network_addresses import counting_key
from windlass.kernel.shared_counts import shared_counts

#: Seconds between two checks of all connections, and the precision of deadlines.
TICK = 0.5
#: Connections that may at once read the rest of a body after an early reply.
MAX_LINGERING = 256
#: Seconds that they read: in all, and from a silent client.
LINGER_SECONDS, LINGER_SILENCE = 30.0, 5.0
#: Memory is returned to the system this many seconds after this many connections have closed.
TRIM_AFTER_CLOSED, TRIM_DELAY = 32, 2.0


class Watched(Protocol):
    def check(self, now: float, elapsed: float) -> None:
        """Close the connection if a deadline has passed. ``elapsed``: seconds since the last check."""

    def make_way(self) -> None:
        """Close the connection, which has no running request."""


class Connections:
    """All methods belong to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._members: set[Watched] = set()
        #: Those without a running request, in the order in which they began to wait for one.
        self._waiting: dict[Watched, None] = {}
        self._by_address: Counter[str] = Counter()
        self._peak = 0
        self._checked_at = 0.0
        self._trim_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._trimming: asyncio.Task[None] | None = None
        self.lingering = 0

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Watched) -> bool:
        """Watch a connection until it is removed. Returns whether MAX_CONNECTIONS allows it.

        Where there are as many, the one that has waited longest for a request makes way: a client sends the head of its
        request at once, and those that do not would otherwise keep all places until their deadlines.
        """
        self._members.add(member)
        self._peak = max(self._peak, len(self._members))
        if self._timer is None:
            self._checked_at = self._loop.time()
            self._timer = self._loop.call_later(TICK, self._tick)
        fits = len(self._members) <= _max_connections() or self._make_way()
        if fits:
            self._waiting[member] = None
        return fits

    def remove(self, member: Watched) -> None:
        self._members.discard(member)
        self._waiting.pop(member, None)

    def keep(self, member: Watched) -> None:
        """The connection has a running request, or is being closed: it does not make way for others."""
        self._waiting.pop(member, None)

    def wait(self, member: Watched) -> None:
        """The connection waits for a request again."""
        self._waiting[member] = None

    def acquire(self, address: str) -> bool:
        """Count one more for this address. False where it may have no more; else call ``release`` at the end."""
        address = counting_key(address)
        if self._by_address[address] + shared_counts.of_others(address) >= conf.get().max_connections_per_address:
            return False
        self._by_address[address] += 1
        shared_counts.add(address, 1)
        return True

    def release(self, address: str) -> None:
        address = counting_key(address)
        self._by_address[address] -= 1
        shared_counts.add(address, -1)
        if not self._by_address[address]:
            del self._by_address[address]

    def _make_way(self) -> bool:
        """Close the connection that has waited longest for a request. False where each has one."""
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        del self._waiting[longest]
        longest.make_way()
        return True

    def _tick(self) -> None:
        now = self._loop.time()
        elapsed, self._checked_at = now - self._checked_at, now
        for member in tuple(self._members):
            member.check(now, elapsed)
        self._trim_if_due(now)
        busy = self._members or self._trim_at is not None
        self._timer = self._loop.call_later(TICK, self._tick) if busy else None

    def _trim_if_due(self, now: float) -> None:
        if budget().trim_is_due() or len(self._members) + TRIM_AFTER_CLOSED <= self._peak:
            self._peak = len(self._members)
            self._trim_at = now + TRIM_DELAY
        elif self._trim_at is not None and now >= self._trim_at:
            self._trim_at = None
            self._trimming = self._loop.create_task(in_thread(release_freed_memory))


def connections_of(loop: asyncio.AbstractEventLoop) -> Connections:
    return _all.setdefault(loop, Connections(loop))


_all: WeakKeyDictionary[asyncio.AbstractEventLoop, Connections] = WeakKeyDictionary()


def _max_connections() -> int:
    """MAX_CONNECTIONS, or fewer where the limit of open files allows fewer: an upload holds a socket and a file."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = conf.get().max_connections
    return most if files == resource.RLIM_INFINITY else min(most, max(files - 128, 16) // 2)


def raise_file_limit() -> None:
    """Raise the limit of open files to the hard limit, at most 65,536 (macOS reports more than it allows)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    new_limit = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < new_limit:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (new_limit, hard))
        except (OSError, ValueError):  # pragma: no cover  a system that allows less than it reports
            return
