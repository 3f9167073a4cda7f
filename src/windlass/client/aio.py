"""The asynchronous client: runs the same conversations on asyncio; what blocks on files runs in threads."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar, Unpack

import httpx

from windlass.client.commands import Body, Call, Command, Flow, Outcome, Pause, Request
from windlass.client.core import DEFAULT_SERVER, Core
from windlass.client.models import File, SignedUrl, Status
from windlass.client.options import Progress, UploadOptions, Wanted
from windlass.client.source import Readable
from windlass.client.transport import LIMITS, PIECE, TIMEOUT, answer_of, headers_of, interrupted

T = TypeVar("T")


class AsyncClient:
    """``Client``, with methods to await. Callbacks are called on the event loop and must not block."""

    def __init__(
        self,
        url: str = DEFAULT_SERVER,
        token: str | None = None,
        *,
        patience: float = 300.0,
        state: Path | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._core = Core(url, token, patience, state)
        self._owned = http is None
        self._http = http or httpx.AsyncClient(timeout=TIMEOUT, limits=LIMITS)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._owned:
            await self._http.aclose()

    async def upload(self, source: Readable, **options: Unpack[UploadOptions]) -> File:
        return await self._run(self._core.upload(source, Wanted(**options)))

    async def download(
        self, file_id: str, path: str | os.PathLike[str] = ".", on_progress: Progress | None = None
    ) -> Path:
        return await self._run(self._core.download(file_id, Path(path), on_progress))

    async def wait(
        self, file_id: str, timeout: float | None = None, on_status: Callable[[Status], None] | None = None
    ) -> File:
        return await self._run(self._core.wait(file_id, timeout, on_status))

    async def files(self, **filters: Any) -> AsyncIterator[File]:
        url: str | None = self._core.first_page(filters)
        while url:
            page = await self._run(self._core.page(url))
            for file in page.results:
                yield file
            url = page.next

    async def file(self, file_id: str) -> File:
        return await self._run(self._core.file(file_id))

    async def status(self, file_id: str) -> Status:
        return await self._run(self._core.status(file_id))

    async def text(self, file_id: str) -> str:
        return await self._run(self._core.text(file_id))

    async def delete(self, file_id: str, *, permanent: bool = False) -> None:
        await self._run(self._core.delete(file_id, permanent))

    async def restore(self, file_id: str) -> File:
        return await self._run(self._core.restore(file_id))

    async def release(self, file_id: str) -> File:
        return await self._run(self._core.release(file_id))

    async def reprocess(self, file_id: str) -> None:
        await self._run(self._core.reprocess(file_id))

    async def signed_url(self, file_id: str, expires_in: int | None = None) -> SignedUrl:
        return await self._run(self._core.signed_url(file_id, expires_in))

    async def _run(self, flow: Flow[T]) -> T:
        try:
            command = next(flow)
            while True:
                command = flow.send(await self._perform(command))
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    async def _perform(self, command: Command) -> Any:
        match command:
            case Request():
                return await self._exchange(command)
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Call(function):
                return await asyncio.to_thread(function)

    async def _exchange(self, request: Request) -> Outcome:
        began = time.monotonic()
        body = request.body if isinstance(request.body, bytes) else _pieces(request.body)
        sending = self._http.stream(request.method, request.url, headers=headers_of(request), content=body)
        try:
            async with sending as response:
                head = answer_of(response, time.monotonic() - began)
                if request.sink is None or not await asyncio.to_thread(request.sink.begin, head):
                    return answer_of(response, time.monotonic() - began, await response.aread())
                async for piece in response.aiter_raw(PIECE):
                    await asyncio.to_thread(request.sink.write, piece)
                    request.sink.received()
                return head
        except httpx.TransportError as error:
            return interrupted(error, time.monotonic() - began)


async def _pieces(body: Body) -> AsyncIterator[bytes]:
    done = 0
    while done < body.length:
        piece = await asyncio.to_thread(body.read, done)
        yield piece
        done += len(piece)
        body.sent(done)
