"""Whether the calling thread runs an event loop, which must not be blocked."""

from __future__ import annotations

import asyncio


def runs_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
