"""JSON bodies of the byte plane: read whole, within bounds, whatever Content-Type the client put on them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from functools import lru_cache
from typing import BinaryIO, TypeVar, cast

from windlass import conf
from windlass.executors import in_thread
from windlass.http.memory_budget import Share, budget
from windlass.http.uploads.upload_request import Incoming
from windlass.kernel.errors import BodyTooLarge, Problem, ReceiveTimeout
from windlass.protocols import heads
from windlass.protocols.intents import Head
from windlass.receiving.body import ByteSource
from windlass.storage.contract import Buffer

T = TypeVar("T")

#: Bodies up to this size are parsed at once, and need no share of the memory budget (bytes).
SMALL = 64 * 1024


@asynccontextmanager
async def parsed(
    head: Head, body: ByteSource, parse: Callable[[bytes], T], limit: int, too_large: Problem | None = None
) -> AsyncIterator[T]:
    """What ``parse`` makes of the whole body, whose memory is taken from the budget until the block ends.

    Raises ``too_large`` (BodyTooLarge) above ``limit`` bytes, ClientGone, ReceiveTimeout, Unavailable where too much
    is in memory already, and what ``parse`` raises.
    """
    async with budget().share() as share:
        text = await _read(head, body, limit, too_large, share)
        found = await decode(parse, text) if len(text) > SMALL else parse(text)
        del text
        yield found


async def parse_whole(head: Head, body: ByteSource, parse: Callable[[bytes], T], limit: int) -> T:
    """Likewise, where what is found is small."""
    async with parsed(head, body, parse, limit) as found:
        return found


async def read(incoming: Incoming, limit: int, too_large: Problem | None = None) -> bytes:
    """A whole body that is small. Raises ``too_large`` (BodyTooLarge) above ``limit`` bytes, and as ``parsed`` does."""
    return await _read(incoming.head, incoming.body, limit, too_large, None)


async def decode(parse: Callable[[bytes], T], body: bytes) -> T:
    """Parse a large body beside the loop.

    Always on the same thread: it takes several times the body's size for a moment, and the C library keeps what a
    thread has freed for that thread. More threads would not be faster, for parsing does not let go of the GIL.
    """
    return await asyncio.get_running_loop().run_in_executor(_decoder(), parse, body)


@lru_cache(maxsize=1)
def _decoder() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="windlass-decoder")


async def _read(head: Head, body: ByteSource, limit: int, too_large: Problem | None, share: Share | None) -> bytes:
    """With a share of the memory budget a body that is not small waits on disk until it is whole: a slow client holds
    no memory."""
    refusal = too_large or BodyTooLarge(f"This call takes at most {limit // 1024} KiB of JSON.", limit=limit)
    if (heads.body_length(head) or 0) > limit:
        raise refusal
    pieces: list[Buffer] = []
    size = 0
    with ExitStack() as stack:
        file: BinaryIO | None = None
        while (buffer := await _next(body)) is not None:
            size += len(buffer)
            if size > limit:
                raise refusal
            pieces.append(buffer)
            if share is not None and size > SMALL:
                file = file or stack.enter_context(await in_thread(_temporary_file))
                await in_thread(file.writelines, pieces)
                pieces = []
        if share is None or file is None:
            return b"".join(pieces)
        await share.grow(size)
        return await in_thread(_content, file)


async def _next(body: ByteSource) -> Buffer | None:
    try:
        async with asyncio.timeout(conf.get().receive_timeout):
            return await body.read()
    except TimeoutError as error:
        raise ReceiveTimeout("The body did not come to its end. Send it again.") from error


def _temporary_file() -> BinaryIO:
    """Not in the system's directory for them, which may be memory."""
    home = conf.get().windlass_home  # there may be none inside another project
    return cast(BinaryIO, tempfile.TemporaryFile(dir=home if home.is_dir() else None))


def _content(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()
