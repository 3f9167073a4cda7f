"""When checkpoints begin, and when receiving waits for one."""

from __future__ import annotations

import asyncio

import pytest

from windlass import conf
from windlass.receiving.checkpoints import Checkpoints


@pytest.mark.parametrize(("is_durable", "parts"), [(True, 4), (False, 2)])
def test_a_part_is_committed_while_the_rest_is_received(is_durable: bool, parts: int) -> None:
    """The disk answers nothing until it is told to: receiving goes on until a crash would cost the whole amount."""
    whole = conf.get().checkpoint_bytes
    part = whole // parts
    begun: list[int] = []

    async def run() -> None:
        disk = asyncio.Event()

        async def checkpoint(offset: int) -> int:
            begun.append(offset)
            await disk.wait()
            return offset

        checkpoints = Checkpoints(checkpoint, 0, is_durable=is_durable)
        assert checkpoints.interval == part
        for offset in range(part, whole, part):
            await checkpoints.run_if_due(offset, offset)
            await asyncio.sleep(0)
        assert begun == [part], "one at a time"
        waiting = asyncio.create_task(checkpoints.run_if_due(whole, whole))
        await asyncio.sleep(0)
        assert not waiting.done(), "more would be lost than CHECKPOINT_BYTES"
        disk.set()
        await waiting
        await checkpoints.finish()
        assert begun == [part, whole], "the next has all that has come"

    asyncio.run(run())
