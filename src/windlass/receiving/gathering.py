"""The first bytes of a request: a body that is small and quick is taken whole before anything is started for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from windlass.receiving.pump import BATCH, LINGER
from windlass.receiving.source import ClientGone, Source
from windlass.storage.contract import Buffer


@dataclass
class Gathered:
    """``ended``: this is the whole body. ``gone``: the connection broke, and this is what arrived."""

    buffers: list[Buffer] = field(default_factory=list)
    size: int = 0
    ended: bool = False
    gone: bool = False


async def gather(source: Source) -> Gathered:
    """Up to one batch, or what comes within a moment: slow clients are not waited for with their bytes in memory."""
    found = Gathered()
    try:
        async with asyncio.timeout(LINGER):
            while found.size < BATCH:
                buffer = await source.read()
                if buffer is None:
                    found.ended = True
                    break
                found.buffers.append(buffer)
                found.size += len(buffer)
    except TimeoutError:
        pass
    except ClientGone:
        found.ended = found.gone = True
    return found
