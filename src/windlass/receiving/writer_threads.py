"""Open and close writers in threads such that a request that is cancelled leaves none open.

An open writer keeps its object, or its part of it, locked for as long as the process lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from windlass.executors import in_thread
from windlass.files import api as files
from windlass.storage.contract import StoreError, Writer


async def open_in_thread(open_writer: Callable[[], Writer]) -> Writer:
    """Return the writer that ``open_writer`` opens. If this is cancelled meanwhile, the writer is closed."""
    opening = asyncio.ensure_future(in_thread(open_writer))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.shield(_close_opened(opening))
        raise


async def close_in_thread(close: Callable[[], object]) -> None:
    """Call ``close``, also if this is cancelled before a thread is free. Raises StoreError."""
    await asyncio.shield(in_thread(close))


async def _close_opened(opening: asyncio.Future[Writer]) -> None:
    with suppress(StoreError, files.LeaseLost):  # it was not opened
        await in_thread((await opening).close)
