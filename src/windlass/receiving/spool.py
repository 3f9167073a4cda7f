"""Bytes of a request that come before what says where they belong, kept in a file without a name until then."""

from __future__ import annotations

import asyncio
import tempfile
from typing import BinaryIO

from windlass import conf
from windlass.executors import in_thread
from windlass.kernel.errors import BodyTooLarge, ReceiveTimeout
from windlass.receiving.source import Source
from windlass.storage.contract import Buffer

_BLOCK = 1024 * 1024


class Spool:
    """A source of what another one gave. Close it in any case."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self.size = 0

    async def fill(self, source: Source, limit: int) -> None:
        """Take everything, at most ``limit`` bytes. Raises BodyTooLarge, ReceiveTimeout, and what the source raises."""
        self._file = await in_thread(_open)
        batch: list[Buffer] = []
        held = 0
        while (buffer := await _next(source)) is not None:
            batch.append(bytes(buffer))
            held += len(buffer)
            self.size += len(buffer)
            if self.size > limit:
                raise BodyTooLarge(
                    f"The bytes come before the fields that say where they belong, and are more than the {limit} bytes "
                    "that any chunk may have. Put the fields first.",
                    limit=limit,
                )
            if held >= _BLOCK:
                await in_thread(self._file.writelines, batch)
                batch, held = [], 0
        await in_thread(self._file.writelines, batch)
        await in_thread(self._file.seek, 0)

    async def read(self) -> Buffer | None:
        assert self._file is not None
        return await in_thread(self._file.read, _BLOCK) or None

    async def close(self) -> None:
        if self._file is not None:
            await in_thread(self._file.close)


async def _next(source: Source) -> Buffer | None:
    try:
        async with asyncio.timeout(conf.get().receive_timeout):
            return await source.read()
    except TimeoutError as error:
        raise ReceiveTimeout("Nothing came for too long. Send the chunk again.") from error


def _open() -> BinaryIO:
    directory = conf.get().windlass_home / "scratch"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return tempfile.TemporaryFile(dir=directory)
