"""Wait until files that have just been stored are processed, by following the journal."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from windlass.events.api import EventType
from windlass.http.live.journal_follower import FINAL_EVENTS, follower
from windlass.http.live.topics import Topic

#: Seconds to wait for the steps that follow a file's thumbnail: previews may take long.
AFTER_THUMBNAIL = 1.0


async def until_processed(file_ids: Sequence[uuid.UUID], seconds: float) -> None:
    """Return once each file is processed, or has its facts and its thumbnail; after ``seconds`` in any case."""
    if seconds <= 0:
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(_until_processed(file_id) for file_id in file_ids))


async def _until_processed(file_id: uuid.UUID) -> None:
    shared = follower()
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as deadline, shared.following(Topic(file_id=file_id), 0) as subscriber:
            while not shared.closed:
                subscriber.wake.clear()
                events = await subscriber.next()
                if any(event["type"] in FINAL_EVENTS and event["type"].startswith("file.") for event in events):
                    return
                if any(_is_thumbnail(event) for event in events):
                    deadline.reschedule(asyncio.get_running_loop().time() + AFTER_THUMBNAIL)
                if not events:
                    await subscriber.wake.wait()


def _is_thumbnail(event: Mapping[str, Any]) -> bool:
    return event["type"] == EventType.FILE_STEP and str(event["data"].get("step", "")).endswith("thumbnail")
