"""The clients: ``Client`` blocks, ``AsyncClient`` runs on asyncio. Both perform the same effects with httpx."""

from __future__ import annotations

import asyncio
import os
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack

import httpx

from windlass.client import api_calls
from windlass.client.download import Download
from windlass.client.effects import (
    BLOCK_SIZE,
    Call,
    ConnectionFailure,
    Effect,
    Flow,
    Outcome,
    Request,
    RequestBody,
    Response,
    Sleep,
    call,
)
from windlass.client.errors import WindlassError
from windlass.client.models import File, Page, SignedUrl, Status, file_of, signed_url_of
from windlass.client.resume_state import ResumeFile, ResumeState, state_directory
from windlass.client.retries import RetryBudget, send_with_retries
from windlass.client.server import Server
from windlass.client.upload import Progress, Upload, UploadOptions, UploadSettings
from windlass.client.upload_source import Readable, Source, open_source

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_SERVER = "http://127.0.0.1:8000"
#: Seconds without progress after which an upload, a download or a wait gives up.
RETRY_SECONDS = 300.0
#: Seconds after which a single API call gives up: somebody waits for its result.
API_CALL_RETRY_SECONDS = 15.0
#: A write may take as long as the server's disk; the last response may follow a long sync to disk.
TIMEOUT = httpx.Timeout(connect=10.0, write=60.0, read=120.0, pool=None)
#: No limit of connections: the caller decides how many uploads run at once.
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)


class _Calls:
    """The calls of both clients, as flows: each client runs them in its own way."""

    def __init__(
        self, url: str, token: str | None, retry_seconds: float, patience: float | None, state: Path | None
    ) -> None:
        if patience is not None:
            warnings.warn("`patience` is now called `retry_seconds`.", DeprecationWarning, stacklevel=3)
            retry_seconds = patience
        self.server = Server(url, token)
        self._retry_seconds = retry_seconds
        self._state = state

    def upload(self, source: Readable, **options: Unpack[UploadOptions]) -> Flow[File]:
        """Upload a path or a binary file object. ``windlass.client.upload.UploadSettings`` documents the options."""
        settings = UploadSettings(**options)
        opened = yield from call(lambda: open_source(source))
        try:
            resume_state = self._resume_state(opened, settings)
            file_id = yield from Upload(self.server, opened, settings, resume_state, self._budget()).run()
        finally:
            opened.close()
        return (yield from api_calls.get_file(self.server, file_id, self._budget()))

    def download(
        self, file_id: str, path: str | os.PathLike[str] = ".", on_progress: Progress | None = None
    ) -> Flow[Path]:
        """Download into a file, or into a directory under the file's own name. The SHA-256 is checked."""
        return Download(self.server, file_id, Path(path), self._budget(), on_progress).run()

    def wait(
        self, file_id: str, timeout: float | None = None, on_status: Callable[[Status], None] | None = None
    ) -> Flow[File]:
        """Return the record once the file is in an end state. Raises WaitTimeout."""
        return api_calls.wait_until_ended(self.server, file_id, self._budget(), timeout, on_status)

    def page(self, url: str) -> Flow[Page]:
        return api_calls.get_page(self.server, url, self._call_budget())

    def file(self, file_id: str) -> Flow[File]:
        return api_calls.get_file(self.server, file_id, self._call_budget())

    def status(self, file_id: str) -> Flow[Status]:
        return api_calls.get_status(self.server, file_id, self._call_budget())

    def text(self, file_id: str) -> Flow[str]:
        """The text extracted from the file. Raises Conflict before it is ready, NotFound if there is none."""
        response = yield from self._send("GET", self.server.url("files", file_id, "text"))
        return response.body.decode("utf-8", "replace")

    def delete(self, file_id: str, *, permanent: bool = False) -> Flow[None]:
        """Move the file to the trash, if the server has one. ``permanent`` deletes it, also from the trash."""
        yield from self._send("DELETE", self.server.url("files", file_id) + "?permanent=true" * permanent)

    def restore(self, file_id: str) -> Flow[File]:
        """Restore a file from the trash, which ``files(trashed=True)`` lists. NotFound once it has expired."""
        response = yield from self._send("POST", self.server.url("files", file_id, "restore"))
        return api_calls.parse(file_of, response)

    def release(self, file_id: str) -> Flow[File]:
        """Delete the bytes and keep the record."""
        response = yield from self._send("POST", self.server.url("files", file_id, "release"))
        return api_calls.parse(file_of, response)

    def reprocess(self, file_id: str) -> Flow[None]:
        yield from self._send("POST", self.server.url("files", file_id, "reprocess"))

    def signed_url(self, file_id: str, expires_in: int | None = None) -> Flow[SignedUrl]:
        """A download URL that needs no other credential, valid for ``expires_in`` seconds."""
        url = self.server.url("files", file_id, "signed-url")
        response = yield from self._send("POST", url, {} if expires_in is None else {"expires_in": expires_in})
        signed = api_calls.parse(signed_url_of, response)
        return SignedUrl(self.server.resolve(signed.url, url), signed.expires_at)

    def _send(self, method: str, url: str, payload: Any = None) -> Flow[Response]:
        return send_with_retries(self.server, method, url, self._call_budget(), payload)

    def _budget(self) -> RetryBudget:
        """The retry budget of a transfer or a wait."""
        return RetryBudget(self._retry_seconds)

    def _call_budget(self) -> RetryBudget:
        """The retry budget of a single API call."""
        return RetryBudget(min(self._retry_seconds, API_CALL_RETRY_SECONDS))

    def _resume_state(self, source: Source, settings: UploadSettings) -> ResumeState:
        if not settings.resume or source.identity is None:
            return ResumeState()
        path, size, modified = source.identity
        upload_key = {"server": self.server.base, "path": path, "size": size, "modified_ns": modified}
        return ResumeFile(self._state or state_directory(), upload_key | settings.identity())


def _blocking(flow: Callable[Concatenate[_Calls, P], Flow[T]]) -> Callable[Concatenate[Client, P], T]:
    @wraps(flow)
    def method(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client._run(flow(client._calls, *args, **kwargs))

    return method


def _awaited(
    flow: Callable[Concatenate[_Calls, P], Flow[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    @wraps(flow)
    async def method(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client._run(flow(client._calls, *args, **kwargs))

    return method


class Client:
    """A client of one Windlass server. Safe to share between threads.

    ``retry_seconds``: time without progress after which a call raises GaveUp. ``state``: the directory that stores
    unfinished uploads. ``http``: your own ``httpx.Client``, for proxies or certificates; it is left open.
    ``patience`` is a deprecated alias of ``retry_seconds``.
    """

    def __init__(
        self,
        url: str = DEFAULT_SERVER,
        token: str | None = None,
        *,
        retry_seconds: float = RETRY_SECONDS,
        state: Path | None = None,
        http: httpx.Client | None = None,
        patience: float | None = None,
    ) -> None:
        self._calls = _Calls(url, token, retry_seconds, patience, state)
        self._owns_http = http is None
        self._http = http or httpx.Client(timeout=TIMEOUT, limits=LIMITS)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._owns_http:
            self._http.close()

    upload = _blocking(_Calls.upload)
    download = _blocking(_Calls.download)
    wait = _blocking(_Calls.wait)
    file = _blocking(_Calls.file)
    status = _blocking(_Calls.status)
    text = _blocking(_Calls.text)
    delete = _blocking(_Calls.delete)
    restore = _blocking(_Calls.restore)
    release = _blocking(_Calls.release)
    reprocess = _blocking(_Calls.reprocess)
    signed_url = _blocking(_Calls.signed_url)

    def files(self, **filters: Any) -> Iterator[File]:
        """Every file, newest first. Filters: ``status, mime_type, reference, q``; ``limit`` is the size of a page;
        ``trashed=True`` lists the trash."""
        url: str | None = api_calls.list_url(self._calls.server, filters)
        while url:
            page = self._run(self._calls.page(url))
            yield from page.results
            url = page.next

    def _run(self, flow: Flow[T]) -> T:
        try:
            effect = next(flow)
            while True:
                effect = flow.send(self._perform(effect))
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Request():
                return self._send(effect)
            case Sleep(seconds):
                time.sleep(seconds)
                return None
            case Call(function):
                return function()

    def _send(self, request: Request) -> Outcome:
        started = time.monotonic()
        body = request.body if isinstance(request.body, bytes) else _blocks(request.body)
        try:
            with self._http.stream(request.method, request.url, headers=_headers(request), content=body) as response:
                head = _response(response, time.monotonic() - started)
                if request.sink is None or not request.sink.start(head):
                    return _response(response, time.monotonic() - started, response.read())
                for block in response.iter_raw(BLOCK_SIZE):
                    request.sink.write(block)
                    request.sink.report_received()
                return head
        except httpx.TransportError as error:
            return _connection_failure(error, time.monotonic() - started)


class AsyncClient:
    """``Client`` with methods to await. Blocking file calls run in threads.

    Callbacks are called on the event loop and must not block.
    """

    def __init__(
        self,
        url: str = DEFAULT_SERVER,
        token: str | None = None,
        *,
        retry_seconds: float = RETRY_SECONDS,
        state: Path | None = None,
        http: httpx.AsyncClient | None = None,
        patience: float | None = None,
    ) -> None:
        self._calls = _Calls(url, token, retry_seconds, patience, state)
        self._owns_http = http is None
        self._http = http or httpx.AsyncClient(timeout=TIMEOUT, limits=LIMITS)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._owns_http:
            await self._http.aclose()

    upload = _awaited(_Calls.upload)
    download = _awaited(_Calls.download)
    wait = _awaited(_Calls.wait)
    file = _awaited(_Calls.file)
    status = _awaited(_Calls.status)
    text = _awaited(_Calls.text)
    delete = _awaited(_Calls.delete)
    restore = _awaited(_Calls.restore)
    release = _awaited(_Calls.release)
    reprocess = _awaited(_Calls.reprocess)
    signed_url = _awaited(_Calls.signed_url)

    async def files(self, **filters: Any) -> AsyncIterator[File]:
        url: str | None = api_calls.list_url(self._calls.server, filters)
        while url:
            page = await self._run(self._calls.page(url))
            for file in page.results:
                yield file
            url = page.next

    async def _run(self, flow: Flow[T]) -> T:
        try:
            effect = next(flow)
            while True:
                effect = flow.send(await self._perform(effect))
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
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

    async def _send(self, request: Request) -> Outcome:
        started = time.monotonic()
        body = request.body if isinstance(request.body, bytes) else _async_blocks(request.body)
        sending = self._http.stream(request.method, request.url, headers=_headers(request), content=body)
        try:
            async with sending as response:
                head = _response(response, time.monotonic() - started)
                if request.sink is None or not await asyncio.to_thread(request.sink.start, head):
                    return _response(response, time.monotonic() - started, await response.aread())
                async for block in response.aiter_raw(BLOCK_SIZE):
                    await asyncio.to_thread(request.sink.write, block)
                    request.sink.report_received()
                return head
        except httpx.TransportError as error:
            return _connection_failure(error, time.monotonic() - started)


def _blocks(body: RequestBody) -> Iterator[bytes]:
    done = 0
    while done < body.length:
        block = body.read(done)
        yield block
        done += len(block)
        body.report_sent(done)


async def _async_blocks(body: RequestBody) -> AsyncIterator[bytes]:
    done = 0
    while done < body.length:
        block = await asyncio.to_thread(body.read, done)
        yield block
        done += len(block)
        body.report_sent(done)


def _headers(request: Request) -> dict[str, str]:
    """The request's headers, with the length of a streamed body."""
    if isinstance(request.body, bytes):
        return dict(request.headers)
    return {**request.headers, "Content-Length": str(request.body.length)}


def _response(response: httpx.Response, seconds: float, body: bytes = b"") -> Response:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status_code, headers, body, seconds)


def _connection_failure(error: httpx.TransportError, seconds: float) -> ConnectionFailure:
    """Raises WindlassError for a request that can never be sent."""
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        raise WindlassError(f"The request cannot be sent: {error}") from error
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            reason = f"the server cannot be reached ({error or 'no answer'})"
        case httpx.TimeoutException():
            reason = "the server did not answer in time"
        case _:
            reason = f"the connection broke ({error or type(error).__name__})"
    return ConnectionFailure(reason, seconds)
