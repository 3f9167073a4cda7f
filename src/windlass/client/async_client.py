"""``AsyncClient``, whose methods are awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack

import httpx

from windlass.client.api_calls import FileFilters
from windlass.client.calls import RETRY_SECONDS, Calls
from windlass.client.credentials import Token
from windlass.client.effects import (
    BLOCK_SIZE,
    Call,
    ConnectionFailure,
    Effect,
    Emit,
    Flow,
    OneAtATime,
    Outcome,
    Read,
    Request,
    RequestBody,
    Sleep,
    Stream,
    Together,
)
from windlass.client.http_exchange import (
    DEFAULT_SERVER,
    LIMITS,
    TIMEOUT,
    connection_failure,
    headers_of,
    response_of,
    stream_timeout,
)
from windlass.client.models import Entity, Event, File

P = ParamSpec("P")
T = TypeVar("T")


def _awaited(
    flow: Callable[Concatenate[Calls, P], Flow[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    @wraps(flow)
    async def method(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client._performer.run(flow(client._calls, *args, **kwargs))

    return method


class AsyncClient:
    """``Client`` with methods to await, and with asynchronous iterators. Blocking file calls run in threads.

    Callbacks are called on the event loop and must not block; only functions that are a ``token``, and ``on_change``
    of a RefreshToken, are called in a thread.
    """

    def __init__(
        self,
        url: str = DEFAULT_SERVER,
        token: Token | None = None,
        *,
        retry_seconds: float = RETRY_SECONDS,
        state: Path | None = None,
        http: httpx.AsyncClient | None = None,
        patience: float | None = None,
    ) -> None:
        self._calls = Calls(url, token, retry_seconds, patience, state)
        self._owns_http = http is None
        self._http = http or httpx.AsyncClient(timeout=TIMEOUT, limits=LIMITS)
        self._performer = _Performer(self._http)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the sign-in that the client began by a password, and close the connections."""
        await self._performer.run(self._calls.server.end_sign_in())
        if self._owns_http:
            await self._http.aclose()

    upload = _awaited(Calls.upload)
    upload_many = _awaited(Calls.upload_many)
    download = _awaited(Calls.download)
    wait = _awaited(Calls.wait)
    file = _awaited(Calls.file)
    status = _awaited(Calls.status)
    text = _awaited(Calls.text)
    search = _awaited(Calls.search)
    file_graph = _awaited(Calls.file_graph)
    entity = _awaited(Calls.entity)
    merge_entity = _awaited(Calls.merge_entity)
    split_entity = _awaited(Calls.split_entity)
    paths = _awaited(Calls.paths)
    delete = _awaited(Calls.delete)
    restore = _awaited(Calls.restore)
    release = _awaited(Calls.release)
    reprocess = _awaited(Calls.reprocess)
    signed_url = _awaited(Calls.signed_url)

    def files(self, **filters: Unpack[FileFilters]) -> AsyncIterator[File]:
        return self._performer.iterate(self._calls.files(**filters))

    def entities(self, q: str = "", *, type: str | None = None, limit: int | None = None) -> AsyncIterator[Entity]:
        return self._performer.iterate(self._calls.entities(q, type=type, limit=limit))

    def events(
        self, file_id: str | None = None, *, upload_id: str | None = None, since: int | None = None
    ) -> AsyncIterator[Event]:
        return self._performer.iterate(self._calls.events(file_id, upload_id=upload_id, since=since))

    files.__doc__, events.__doc__ = Calls.files.__doc__, Calls.events.__doc__
    entities.__doc__ = Calls.entities.__doc__


class _AsyncStream(Stream):
    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.blocks = response.aiter_raw()


class _Performer:
    """Performs the effects of flows."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http, self._lock = http, asyncio.Lock()

    async def run(self, flow: Flow[T]) -> T:
        """Return the flow's result. An error of an effect is raised in the flow, which may handle it."""
        try:
            effect = next(flow)
            while True:
                try:
                    result = await self._perform(effect)
                except Exception as error:  # noqa: BLE001  the flow raises it again, unless it handles it
                    effect = flow.throw(error)
                else:
                    effect = flow.send(result)
        except StopIteration as end:
            ended: T = end.value
            return ended
        finally:
            flow.close()

    async def iterate(self, flow: Flow[None]) -> AsyncIterator[Any]:
        """Yield what the flow emits. A stream that it reads is closed when the iteration ends."""
        stream: _AsyncStream | None = None
        try:
            effect = next(flow)
            while True:
                if isinstance(effect, Emit):
                    yield effect.value
                    effect = next(flow)
                    continue
                if isinstance(effect, Request) and stream is not None:
                    await stream.response.aclose()
                result = await self._perform(effect)
                if isinstance(result, _AsyncStream):
                    stream = result
                effect = flow.send(result)
        except StopIteration:
            return
        finally:
            if stream is not None:
                await stream.response.aclose()
            flow.close()

    async def _perform(self, effect: Effect) -> Any:
        match effect:
            case Request():
                return await self._send(effect)
            case Sleep(seconds):
                await asyncio.sleep(seconds)
                return None
            case Call(function):
                return await asyncio.to_thread(function)
            case Read(stream):
                return await _read(stream)
            case Together():
                return await self._run_together(effect)
            case OneAtATime(flow):
                async with self._lock:
                    return await self.run(flow)
            case Emit():
                raise TypeError("This flow emits values; it is iterated, not run.")

    async def _run_together(self, group: Together) -> list[Any]:
        """Run flows as tasks. The first error stops the others and is raised."""
        flows = enumerate(group.flows)
        results: dict[int, Any] = {}

        async def work() -> None:
            for number, flow in flows:
                results[number] = await self.run(flow)

        tasks = [asyncio.create_task(work()) for _ in range(group.limit)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return [results[number] for number in sorted(results)]

    async def _send(self, request: Request) -> Outcome | Stream:
        started = time.monotonic()
        body = request.body if isinstance(request.body, bytes) else _blocks(request.body)
        idle = request.stream_idle_seconds
        timeout = httpx.USE_CLIENT_DEFAULT if idle is None else stream_timeout(self._http.timeout, idle)
        try:
            sent = self._http.build_request(
                request.method, request.url, headers=headers_of(request), content=body, timeout=timeout
            )
            response = await self._http.send(sent, stream=True)
            if idle is not None and response.is_success:
                return _AsyncStream(response)
            try:
                head = response_of(response, time.monotonic() - started)
                if request.sink is None or not await asyncio.to_thread(request.sink.start, head):
                    return response_of(response, time.monotonic() - started, await response.aread())
                async for block in response.aiter_raw(BLOCK_SIZE):
                    await asyncio.to_thread(request.sink.write, block)
                    request.sink.report_received()
                return head
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            return connection_failure(error, time.monotonic() - started)


async def _read(stream: Stream) -> bytes | ConnectionFailure:
    assert isinstance(stream, _AsyncStream)
    try:
        return await anext(stream.blocks, b"")
    except httpx.TransportError as error:
        return connection_failure(error, 0.0)


async def _blocks(body: RequestBody) -> AsyncIterator[bytes]:
    done = 0
    while done < body.length:
        block = await asyncio.to_thread(body.read, done)
        yield block
        done += len(block)
        body.report_sent(done)
