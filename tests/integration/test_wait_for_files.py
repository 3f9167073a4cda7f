"""Replies that wait for a file: until its processing has ended, or it has all that the media API returns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.asgi_client import ApiClient, make_file

pytest_plugins = ["tests.integration.record_plane"]

#: Far above what a test may take, so that an answer within it was not given by the clock.
LONG = 900.0


def assert_wait_ends(asset: Any) -> None:
    from windlass.http.live import event_streams
    from windlass.http.live.wait_for_files import until_processed

    async def wait() -> None:
        try:
            async with asyncio.timeout(60):
                await until_processed([asset.id], LONG)
        finally:
            await event_streams.shut_down()

    asyncio.run(wait())


def publish(asset: Any, kind: str, **data: Any) -> None:
    from windlass.events.api import EventType, recording

    with recording() as told:
        told.add(EventType(kind), owner=asset.owner, file_id=asset.id, data=data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("file.ready", {}),
        ("file.rejected", {}),
        ("file.step", {"step": "thumbnail", "state": "done"}),
        ("file.step", {"step": "video_thumbnail", "state": "failed"}),
    ],
)
def test_waiting_ends_with_the_thumbnail_or_the_end_of_processing(
    user: Callable[..., ApiClient], kind: str, data: dict[str, Any]
) -> None:
    asset = make_file(user().owner)
    publish(asset, kind, **data)
    assert_wait_ends(asset)


@pytest.mark.slow
def test_waiting_does_not_end_with_other_steps(user: Callable[..., ApiClient]) -> None:
    from windlass.http.live import event_streams
    from windlass.http.live.wait_for_files import until_processed

    asset = make_file(user().owner)
    publish(asset, "file.step", step="image_facts", state="done")

    async def wait() -> bool:
        waiting = asyncio.ensure_future(until_processed([asset.id], LONG))
        done, _ = await asyncio.wait([waiting], timeout=3)
        waiting.cancel()
        await event_streams.shut_down()
        return bool(done)

    assert not asyncio.run(wait())
