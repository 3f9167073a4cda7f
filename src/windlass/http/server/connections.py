"""The connections of one event loop: how many there are, from where, and whether each keeps its deadlines."""

from __future__ import annotations

import asyncio
import ipaddress
import resource
from collections import Counter
from functools import lru_cache
from typing import Protocol
from weakref import WeakKeyDictionary

from windlass import conf
from windlass.executors import in_thread
from windlass.http.memory_budget import budget, give_back_freed_memory

#: Seconds between two looks at all connections; deadlines are kept to within this.
TICK = 0.5
#: Connections that may wait at once for a client that was answered before its body ended.
MAX_LINGERING = 256
#: How long they wait: in all, and for a client that is silent (seconds).
LINGER_SECONDS, LINGER_SILENCE = 30.0, 5.0
#: Memory is given back to the system when this many connections have gone, and their requests have ended (seconds).
MANY, TRIM_AFTER = 32, 2.0


class Watched(Protocol):
    def check(self, now: float, elapsed: float) -> None:
        """Close the connection if it is too slow. ``elapsed``: seconds since the last look."""


class Connections:
    """All methods belong to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._members: set[Watched] = set()
        self._by_address: Counter[str] = Counter()
        self._peak = 0
        self._looked_at = 0.0
        self._trim_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._trimming: asyncio.Task[None] | None = None
        self.lingering = 0

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Watched) -> bool:
        """Whether there is room for it. It is watched either way, until it is removed."""
        self._members.add(member)
        self._peak = max(self._peak, len(self._members))
        if self._timer is None:
            self._looked_at = self._loop.time()
            self._timer = self._loop.call_later(TICK, self._tick)
        return len(self._members) <= _most_connections()

    def remove(self, member: Watched) -> None:
        self._members.discard(member)

    def acquire(self, address: str) -> bool:
        """Count one more for this address, if it may have one more. ``release`` takes the same address."""
        address = _counted_as(address)
        if self._by_address[address] >= conf.get().max_connections_per_address:
            return False
        self._by_address[address] += 1
        return True

    def release(self, address: str) -> None:
        address = _counted_as(address)
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def _tick(self) -> None:
        now = self._loop.time()
        elapsed, self._looked_at = now - self._looked_at, now
        for member in tuple(self._members):
            member.check(now, elapsed)
        self._trim_if_due(now)
        busy = self._members or self._trim_at is not None
        self._timer = self._loop.call_later(TICK, self._tick) if busy else None

    def _trim_if_due(self, now: float) -> None:
        if budget().trim_is_due() or len(self._members) + MANY <= self._peak:
            self._peak = len(self._members)
            self._trim_at = now + TRIM_AFTER
        elif self._trim_at is not None and now >= self._trim_at:
            self._trim_at = None
            self._trimming = self._loop.create_task(in_thread(give_back_freed_memory))


def connections_of(loop: asyncio.AbstractEventLoop) -> Connections:
    found = _all.get(loop)
    if found is None:
        found = _all[loop] = Connections(loop)
    return found


_all: WeakKeyDictionary[asyncio.AbstractEventLoop, Connections] = WeakKeyDictionary()


@lru_cache(maxsize=1024)
def _counted_as(address: str) -> str:
    """A network of 64 bits of IPv6 is what one customer has."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4 or found.ipv4_mapped is not None:
        return str(getattr(found, "ipv4_mapped", None) or found)
    return str(ipaddress.ip_network((found, 64), strict=False))


def _most_connections() -> int:
    """An upload has its socket and its file open; and some files are open whatever happens."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = conf.get().max_connections
    return most if files == resource.RLIM_INFINITY else min(most, max(files - 128, 16) // 2)


def raise_file_limit() -> None:
    """As many open files as the system allows this process (macOS says more than it can: at most 65,536)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # pragma: no cover  a system that allows less than it says
            return
