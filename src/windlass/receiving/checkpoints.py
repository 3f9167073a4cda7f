"""When the offset of a running transfer is committed, beside receiving (docs/decisions/0002)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from windlass import conf
from windlass.kernel.clock import monotonic
from windlass.receiving.body import BATCH_SIZE

#: Make the bytes below an offset durable and commit it; returns the offset that was committed, which may be a little
#: lower.
Checkpoint = Callable[[int], Awaitable[int]]


class Checkpoints:
    """The checkpoints of one transfer that starts at ``offset``; there are none without a ``checkpoint``.

    A crash may cost CHECKPOINT_BYTES. Each checkpoint covers half of them, so that the other half can be received
    meanwhile; a quarter where it waits for the disk (``is_durable``), so that receiving seldom waits for it.
    """

    def __init__(self, checkpoint: Checkpoint | None, offset: int, *, is_durable: bool) -> None:
        self._checkpoint = checkpoint
        self._parts = 4 if is_durable else 2
        self._committed = self._target = offset
        self._started_at = monotonic()
        self._task: asyncio.Task[None] | None = None

    @property
    def interval(self) -> int:
        """Bytes between two checkpoints, if the first has ended by then."""
        return conf.get().checkpoint_bytes // self._parts

    async def run_if_due(self, received: int, written: int) -> None:
        """Start a checkpoint at ``written`` if one is due; wait for the running one if too much would be lost.

        Raises what the checkpoint raises.
        """
        if self._checkpoint is None or written <= self._committed:
            return
        settings = conf.get()
        if self._task is not None and not self._task.done():
            if received - self._committed + BATCH_SIZE < settings.checkpoint_bytes:
                return
            await self._task
        is_due = (
            written - self._target >= self.interval or monotonic() - self._started_at >= settings.checkpoint_seconds
        )
        if is_due:
            await self.finish()
            self._target, self._started_at = written, monotonic()
            self._task = asyncio.create_task(self._run(self._checkpoint, written))

    async def finish(self) -> None:
        """Wait for the running checkpoint. Raises what it raises."""
        if self._task is not None:
            await self._task

    async def _run(self, checkpoint: Checkpoint, offset: int) -> None:
        self._committed = await checkpoint(offset)
