"""A transfer with ``max_bytes_per_second`` writes what it has while it waits, and ends when it is asked to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from windlass.receiving.transfer import Transfer, TransferEnd
from windlass.resilience.pacing import Pace


class Slow(Pace):
    """Longer than any test lasts."""

    def __init__(self) -> None:
        super().__init__(1)
        self.sizes: list[int] = []

    def delay(self, size: int) -> float:
        self.sizes.append(size)
        return 3600.0 if len(self.sizes) > 1 else 0.0


class Source:
    """Has ten bytes, and then is silent."""

    reads = 0

    async def read(self) -> bytes:
        self.reads += 1
        if self.reads > 1:
            await asyncio.Event().wait()
        return b"b" * 10


def test_a_transfer_that_waits_has_written_what_came_and_ends_on_request() -> None:
    written: list[bytes] = []

    def write(offset: int, buffers: Sequence[Any]) -> None:
        written.extend(bytes(each) for each in buffers)

    async def run() -> TransferEnd:
        source, pace = Source(), Slow()
        transfer = Transfer(source, write, offset=0, limit=10**6, digest=None, pace=pace)
        task = asyncio.create_task(transfer.run([b"a" * 5]))
        while transfer.written < 15:
            await asyncio.sleep(0.001)
        assert (source.reads, pace.sizes) == (1, [5, 10]), "nothing is received while it waits"
        transfer.request_stop()
        return await asyncio.wait_for(task, 60)

    assert asyncio.run(run()) is TransferEnd.STOP_REQUESTED
    assert b"".join(written) == b"a" * 5 + b"b" * 10
