"""The synchronous client: runs conversations with blocking calls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
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


class Client:
    """A Windlass server. Safe to share between threads.

    ``patience``: seconds without any progress after which a call raises GaveUp. ``state``: the directory that
    remembers unfinished uploads. ``http``: your own ``httpx.Client``, for proxies or certificates; it is left open.
    """

    def __init__(
        self,
        url: str = DEFAULT_SERVER,
        token: str | None = None,
        *,
        patience: float = 300.0,
        state: Path | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._core = Core(url, token, patience, state)
        self._owned = http is None
        self._http = http or httpx.Client(timeout=TIMEOUT, limits=LIMITS)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._owned:
            self._http.close()

    def upload(self, source: Readable, **options: Unpack[UploadOptions]) -> File:
        """Send a file by its path, or a binary file object. Options: see ``windlass.client.options.Wanted``."""
        return self._run(self._core.upload(source, Wanted(**options)))

    def download(self, file_id: str, path: str | os.PathLike[str] = ".", on_progress: Progress | None = None) -> Path:
        """Fetch the bytes into a file, or into a directory under their own name; checked against the SHA-256."""
        return self._run(self._core.download(file_id, Path(path), on_progress))

    def wait(
        self, file_id: str, timeout: float | None = None, on_status: Callable[[Status], None] | None = None
    ) -> File:
        """The record once the file is in an end state. Raises WaitTimeout."""
        return self._run(self._core.wait(file_id, timeout, on_status))

    def files(self, **filters: Any) -> Iterator[File]:
        """Every file, newest first. Filters: ``status, mime_type, reference, q``; ``limit`` is the size of a page;
        ``trashed=True``: what is in the trash."""
        url: str | None = self._core.first_page(filters)
        while url:
            page = self._run(self._core.page(url))
            yield from page.results
            url = page.next

    def file(self, file_id: str) -> File:
        return self._run(self._core.file(file_id))

    def status(self, file_id: str) -> Status:
        return self._run(self._core.status(file_id))

    def text(self, file_id: str) -> str:
        """The text that was got out of the file. Conflict while it is being made, NotFound where there is none."""
        return self._run(self._core.text(file_id))

    def delete(self, file_id: str, *, permanent: bool = False) -> None:
        """Into the trash where the server has one. ``permanent``: for good, and also what is in the trash."""
        self._run(self._core.delete(file_id, permanent))

    def restore(self, file_id: str) -> File:
        """Take a file out of the trash, which ``files(trashed=True)`` lists. NotFound once its time is over."""
        return self._run(self._core.restore(file_id))

    def release(self, file_id: str) -> File:
        """Delete the bytes and keep the record."""
        return self._run(self._core.release(file_id))

    def reprocess(self, file_id: str) -> None:
        self._run(self._core.reprocess(file_id))

    def signed_url(self, file_id: str, expires_in: int | None = None) -> SignedUrl:
        """A download URL that needs no other credential, for ``expires_in`` seconds."""
        return self._run(self._core.signed_url(file_id, expires_in))

    def _run(self, flow: Flow[T]) -> T:
        try:
            command = next(flow)
            while True:
                command = flow.send(self._perform(command))
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    def _perform(self, command: Command) -> Any:
        match command:
            case Request():
                return self._exchange(command)
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Call(function):
                return function()

    def _exchange(self, request: Request) -> Outcome:
        began = time.monotonic()
        body = request.body if isinstance(request.body, bytes) else _pieces(request.body)
        try:
            with self._http.stream(request.method, request.url, headers=headers_of(request), content=body) as response:
                head = answer_of(response, time.monotonic() - began)
                if request.sink is None or not request.sink.begin(head):
                    return answer_of(response, time.monotonic() - began, response.read())
                for piece in response.iter_raw(PIECE):
                    request.sink.write(piece)
                    request.sink.received()
                return head
        except httpx.TransportError as error:
            return interrupted(error, time.monotonic() - began)


def _pieces(body: Body) -> Iterator[bytes]:
    done = 0
    while done < body.length:
        piece = body.read(done)
        yield piece
        done += len(piece)
        body.sent(done)
