"""Read the JSON body of a byte-plane request whole, within bounds, whatever Content-Type the client gave it."""

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
from windlass.kernel.problem_types import BodyTooLarge, Problem, ReceiveTimeout
from windlass.protocols import request_heads
from windlass.protocols.intents import Head
from windlass.receiving.body import ByteSource
from windlass.storage.contract import Buffer

T = TypeVar("T")

#: Bytes up to which a body is parsed on the event loop and takes no share of the memory budget.
SMALL = 64 * 1024


@asynccontextmanager
async def parsed_body(
    head: Head, body: ByteSource, parse: Callable[[bytes], T], limit: int, too_large: Problem | None = None
) -> AsyncIterator[T]:
    """``parse`` of the whole body, whose memory is taken from the budget until the block ends.

    Raises ``too_large`` (by default BodyTooLarge) above ``limit`` bytes, ClientGone, ReceiveTimeout, Unavailable while
    the budget is used up, and what ``parse`` raises.
    """
    async with budget().share() as share:
        text = await _read(head, body, limit, too_large, share)
        if len(text) > SMALL:
            parsed = await asyncio.get_running_loop().run_in_executor(_parser_thread(), parse, text)
        else:
            parsed = parse(text)
        del text
        yield parsed


async def parse_body(head: Head, body: ByteSource, parse: Callable[[bytes], T], limit: int = SMALL) -> T:
    """As ``parsed_body``, for a result that is small."""
    async with parsed_body(head, body, parse, limit) as parsed:
        return parsed


@lru_cache(maxsize=1)
def _parser_thread() -> ThreadPoolExecutor:
    """One thread for all: parsing takes several times the body's size for a moment, and the C library keeps what a
    thread has freed for that thread. More threads would not be faster, because parsing holds the GIL."""
    return ThreadPoolExecutor(1, thread_name_prefix="windlass-decoder")


async def _read(head: Head, body: ByteSource, limit: int, too_large: Problem | None, share: Share) -> bytes:
    """A body that is not small waits on disk until it is complete: a slow client holds no memory."""
    refusal = too_large or BodyTooLarge(f"This call takes at most {limit // 1024} KiB of JSON.", limit=limit)
    if (request_heads.body_length(head) or 0) > limit:
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
            if size > SMALL:
                file = file or stack.enter_context(await in_thread(_temporary_file))
                await in_thread(file.writelines, pieces)
                pieces = []
        if file is None:
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
    """A file in Windlass's home directory, since the system's directory for temporary files may be in memory."""
    home = conf.get().windlass_home  # it may be missing inside another project
    return cast(BinaryIO, tempfile.TemporaryFile(dir=home if home.is_dir() else None))


def _content(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()
