"""One budget per process for bytes that wait in memory: bodies, JSON, blocks on their way to slow clients.

Each connection may hold FREE_PER_CONNECTION bytes without a share, so that slow clients that hold the whole budget do
not keep others from being served. Memory is bounded by the budget and these bytes of every connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from windlass import conf
from windlass.kernel.problem_types import Unavailable

FREE_PER_CONNECTION = 64 * 1024
#: Seconds that a request waits for its share before it is refused.
WAIT_SECONDS = 10.0

_MB = 1024 * 1024


class MemoryBudget:
    """A number of bytes to be shared. All methods belong to one event loop."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0
        self._peak = 0
        self._freed = asyncio.Event()

    def try_take(self, size: int) -> bool:
        if self.used + size > self.size:
            return False
        self.used += size
        self._peak = max(self._peak, self.used)
        return True

    def give_back(self, size: int) -> None:
        self.used -= size
        if size:
            self._freed.set()

    async def take(self, size: int) -> None:
        """Take ``size`` bytes, once they are free. Raises Unavailable after WAIT_SECONDS."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not self.try_take(size):
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError as error:
            raise Unavailable(
                "Too many requests hold their bodies in memory at present. Send large files by PUT, PATCH or as a "
                "form, which are streamed, or try again."
            ) from error

    @asynccontextmanager
    async def share(self) -> AsyncIterator[Share]:
        """A share that is given back at the end of the block."""
        share = Share(self)
        try:
            yield share
        finally:
            self.give_back(share.size)

    def trim_is_due(self) -> bool:
        """Whether much less is in use than at some time since the last call that returned true."""
        due = self._peak >= self.size // 4 and self.used <= self._peak // 4
        if due:
            self._peak = self.used
        return due


class Share:
    """Bytes of the budget that one request holds."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.size = 0

    def try_change(self, size: int) -> bool:
        """Take ``size`` more bytes if they are free, or give ``-size`` back; return whether that was possible."""
        if size > 0 and not self._budget.try_take(size):
            return False
        self._budget.give_back(max(0, -size))
        self.size += size
        return True

    async def grow(self, size: int) -> None:
        """Take ``size`` more bytes. Raises Unavailable."""
        await self._budget.take(size)
        self.size += size


def budget() -> MemoryBudget:
    """The budget of the running event loop, of which a process has one."""
    loop = asyncio.get_running_loop()
    existing = _budgets.get(loop)
    if existing is None:
        existing = _budgets[loop] = MemoryBudget(conf.get().memory_in_flight_mb * _MB)
    return existing


_budgets: WeakKeyDictionary[asyncio.AbstractEventLoop, MemoryBudget] = WeakKeyDictionary()
