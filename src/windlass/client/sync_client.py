"""``Client``, whose methods block."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
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

#: Seconds that threads have to end when their flows are stopped. One that waits for the network ends later, by itself.
STOP_SECONDS = 2.0


def _blocking(flow: Callable[Concatenate[Calls, P], Flow[T]]) -> Callable[Concatenate[Client, P], T]:
    @wraps(flow)
    def method(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client._performer.run(flow(client._calls, *args, **kwargs))

    return method


class Client:
    """A client of one Windlass server. Safe to share between threads.

    ``token``: a token, a function that returns the present one, a Password or a RefreshToken.
    ``retry_seconds``: time without progress after which a call raises GaveUp. ``state``: the directory that stores
    unfinished uploads. ``http``: your own ``httpx.Client``, for proxies, certificates or other time-outs; it is left
    open. ``patience`` is a deprecated alias of ``retry_seconds``.
    """

    def __init__(
        self,
        url: str = DEFAULT_SERVER,
        token: Token | None = None,
        *,
        retry_seconds: float = RETRY_SECONDS,
        state: Path | None = None,
        http: httpx.Client | None = None,
        patience: float | None = None,
    ) -> None:
        self._calls = Calls(url, token, retry_seconds, patience, state)
        self._owns_http = http is None
        self._http = http or httpx.Client(timeout=TIMEOUT, limits=LIMITS)
        self._performer = _Performer(self._http, threading.Lock())

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the sign-in that the client began by a password, and close the connections."""
        self._performer.run(self._calls.server.end_sign_in())
        if self._owns_http:
            self._http.close()

    upload = _blocking(Calls.upload)
    upload_many = _blocking(Calls.upload_many)
    download = _blocking(Calls.download)
    wait = _blocking(Calls.wait)
    file = _blocking(Calls.file)
    status = _blocking(Calls.status)
    text = _blocking(Calls.text)
    search = _blocking(Calls.search)
    file_graph = _blocking(Calls.file_graph)
    entity = _blocking(Calls.entity)
    merge_entity = _blocking(Calls.merge_entity)
    split_entity = _blocking(Calls.split_entity)
    paths = _blocking(Calls.paths)
    delete = _blocking(Calls.delete)
    restore = _blocking(Calls.restore)
    release = _blocking(Calls.release)
    reprocess = _blocking(Calls.reprocess)
    signed_url = _blocking(Calls.signed_url)

    def files(self, **filters: Unpack[FileFilters]) -> Iterator[File]:
        return self._performer.iterate(self._calls.files(**filters))

    def entities(self, q: str = "", *, type: str | None = None, limit: int | None = None) -> Iterator[Entity]:
        return self._performer.iterate(self._calls.entities(q, type=type, limit=limit))

    def events(
        self, file_id: str | None = None, *, upload_id: str | None = None, since: int | None = None
    ) -> Iterator[Event]:
        return self._performer.iterate(self._calls.events(file_id, upload_id=upload_id, since=since))

    files.__doc__, events.__doc__ = Calls.files.__doc__, Calls.events.__doc__
    entities.__doc__ = Calls.entities.__doc__


class _Stopped(Exception):
    """Another flow of the same group failed."""


class _Stop:
    """Tells the flows of a group, and the groups that these have started, to end."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.children: set[_Stop] = set()

    def set(self) -> None:
        self._event.set()
        for child in tuple(self.children):
            child.set()

    def check(self) -> None:
        if self._event.is_set():
            raise _Stopped

    def sleep(self, seconds: float) -> None:
        self._event.wait(seconds)
        self.check()


class _SyncStream(Stream):
    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.blocks = response.iter_raw()


class _Performer:
    """Performs the effects of flows, until ``stop`` is set."""

    def __init__(self, http: httpx.Client, lock: threading.Lock, stop: _Stop | None = None) -> None:
        self._http, self._lock, self._stop = http, lock, stop or _Stop()

    def run(self, flow: Flow[T]) -> T:
        """Return the flow's result. An error of an effect is raised in the flow, which may handle it."""
        try:
            effect = next(flow)
            while True:
                try:
                    result = self._perform(effect)
                except Exception as error:  # noqa: BLE001  the flow raises it again, unless it handles it
                    effect = flow.throw(error)
                else:
                    effect = flow.send(result)
        except StopIteration as end:
            ended: T = end.value
            return ended
        finally:
            flow.close()

    def iterate(self, flow: Flow[None]) -> Iterator[Any]:
        """Yield what the flow emits. A stream that it reads is closed when the iteration ends."""
        stream: _SyncStream | None = None
        try:
            effect = next(flow)
            while True:
                if isinstance(effect, Emit):
                    yield effect.value
                    effect = next(flow)
                    continue
                if isinstance(effect, Request) and stream is not None:
                    stream.response.close()
                result = self._perform(effect)
                if isinstance(result, _SyncStream):
                    stream = result
                effect = flow.send(result)
        except StopIteration:
            return
        finally:
            if stream is not None:
                stream.response.close()
            flow.close()

    def _perform(self, effect: Effect) -> Any:
        self._stop.check()
        match effect:
            case Request():
                return self._send(effect)
            case Sleep(seconds):
                self._stop.sleep(seconds)
                return None
            case Call(function):
                return function()
            case Read(stream):
                return _read(stream)
            case Together():
                return _Group(self._http, self._lock, self._stop, effect).run()
            case OneAtATime(flow):
                with self._lock:
                    return self.run(flow)
            case Emit():
                raise TypeError("This flow emits values; it is iterated, not run.")

    def _send(self, request: Request) -> Outcome | Stream:
        started = time.monotonic()
        body = request.body if isinstance(request.body, bytes) else self._blocks(request.body)
        idle = request.stream_idle_seconds
        timeout = httpx.USE_CLIENT_DEFAULT if idle is None else stream_timeout(self._http.timeout, idle)
        try:
            sent = self._http.build_request(
                request.method, request.url, headers=headers_of(request), content=body, timeout=timeout
            )
            response = self._http.send(sent, stream=True)
            if idle is not None and response.is_success:
                return _SyncStream(response)
            try:
                head = response_of(response, time.monotonic() - started)
                if request.sink is None or not request.sink.start(head):
                    return response_of(response, time.monotonic() - started, response.read())
                for block in response.iter_raw(BLOCK_SIZE):
                    self._stop.check()
                    request.sink.write(block)
                    request.sink.report_received()
                return head
            finally:
                response.close()
        except httpx.TransportError as error:
            return connection_failure(error, time.monotonic() - started)

    def _blocks(self, body: RequestBody) -> Iterator[bytes]:
        done = 0
        while done < body.length:
            self._stop.check()
            block = body.read(done)
            yield block
            done += len(block)
            body.report_sent(done)


class _Group:
    """Flows in threads. The first error stops the others and is raised."""

    def __init__(self, http: httpx.Client, lock: threading.Lock, stop: _Stop, group: Together) -> None:
        self._parent, self._stop = stop, _Stop()
        self._performer = _Performer(http, lock, self._stop)
        self._flows = enumerate(group.flows)
        self._take = threading.Lock()
        self._results: dict[int, Any] = {}
        self._errors: list[BaseException] = []
        self._ended = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(group.limit)]

    def run(self) -> list[Any]:
        self._parent.children.add(self._stop)
        try:
            for thread in self._threads:
                thread.start()
            for _ in self._threads:
                self._ended.acquire()
                if self._errors:
                    raise self._errors[0]
        except BaseException:  # also Ctrl-C: the flows must not go on behind the caller
            self._stop.set()
            self._join()
            raise
        finally:
            self._parent.children.discard(self._stop)
        return [self._results[number] for number in sorted(self._results)]

    def _join(self) -> None:
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        try:
            while (taken := self._next()) is not None:
                number, flow = taken
                self._results[number] = self._performer.run(flow)
        except BaseException as error:  # noqa: BLE001  ``run`` raises it
            self._errors.append(error)
        finally:
            self._ended.release()

    def _next(self) -> tuple[int, Flow[Any]] | None:
        with self._take:
            return next(self._flows, None)


def _read(stream: Stream) -> bytes | ConnectionFailure:
    assert isinstance(stream, _SyncStream)
    try:
        return next(stream.blocks, b"")
    except httpx.TransportError as error:
        return connection_failure(error, 0.0)
