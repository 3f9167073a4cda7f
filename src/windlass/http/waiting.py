"""Waiting for what becomes of files that have just come in, by the journal."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import suppress

from windlass.http.follower import ENDED, follower
from windlass.http.progress import Topic


async def until_ended(file_ids: Sequence[uuid.UUID], seconds: float) -> None:
    """Return once processing of each has ended, or after this long."""
    if seconds <= 0:
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(_ended(file_id) for file_id in file_ids))


async def _ended(file_id: uuid.UUID) -> None:
    shared = follower()
    async with shared.following(Topic(file_id=file_id), 0) as subscriber:
        while not shared.closed:
            told = await subscriber.next()
            if any(event["type"] in ENDED and event["type"].startswith("file.") for event in told):
                return
            if not told:
                await subscriber.wake.wait()
