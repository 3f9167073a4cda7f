"""Waiting for what becomes of files that have just come in, by the journal."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from windlass.events.api import EventType
from windlass.http.live.journal_follower import ENDED, follower
from windlass.http.live.progress import Topic

#: Seconds that what comes after a file's thumbnail (previews, which may take long) is waited for besides.
GRACE = 1.0


async def until_shown(file_ids: Sequence[uuid.UUID], seconds: float) -> None:
    """Return once each has ended, or has its facts and its thumbnail; after this long in any case."""
    if seconds <= 0:
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(_shown(file_id) for file_id in file_ids))


async def _shown(file_id: uuid.UUID) -> None:
    shared = follower()
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as patience, shared.following(Topic(file_id=file_id), 0) as subscriber:
            while not shared.closed:
                told = await subscriber.next()
                if any(event["type"] in ENDED and event["type"].startswith("file.") for event in told):
                    return
                if any(_is_thumbnail(event) for event in told):
                    patience.reschedule(asyncio.get_running_loop().time() + GRACE)
                if not told:
                    await subscriber.wake.wait()


def _is_thumbnail(event: Mapping[str, Any]) -> bool:
    return event["type"] == EventType.FILE_STEP and str(event["data"].get("step", "")).endswith("thumbnail")
