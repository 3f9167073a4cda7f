"""The client's loop against a server that a test plays, and what both exchange."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from windlass.client.calls import Calls
from windlass.client.effects import (
    Call,
    ConnectionFailure,
    Effect,
    Emit,
    Flow,
    OneAtATime,
    Outcome,
    Read,
    Request,
    Response,
    Sleep,
    Stream,
)
from windlass.client.models import File
from windlass.client.resume_state import ResumeState
from windlass.client.retries import RetryBudget
from windlass.client.send_source import upload_plan
from windlass.client.server import Server
from windlass.client.upload import Upload
from windlass.client.upload_settings import UploadSettings
from windlass.client.upload_source import Source, open_source

T = TypeVar("T")


BYTES = bytes(range(256)) * 4


SIZE = len(BYTES)


FILE = "0b9b2f0e-3c5e-4c1b-9d0a-2f6f6a3c1d11"


UPLOAD = "http://windlass.test/uploads/7"


CONNECTION_BROKE = ConnectionFailure("the connection broke", 0.1)


def problem(status: int, slug: str, detail: str = "It is so.", **headers: str) -> Response:
    document = {"type": f"/problems/{slug}", "title": "A title", "status": status, "detail": detail}
    return Response(status, {"content-type": "application/problem+json", **headers}, json.dumps(document).encode())


def appended(offset: int, **headers: str) -> Response:
    return Response(204, {"upload-offset": str(offset), **headers})


def offset_is(offset: int, **headers: str) -> Response:
    return Response(200, {"upload-offset": str(offset), **headers})


CREATED = Response(201, {"location": "/uploads/7"})


COMPLETE = {"windlass-file": f"/files/{FILE}/"}


class Exchange(Generic[T]):
    """Plays the client loop and the server: performs calls and pauses at once, and exposes each request."""

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self._flows: list[Flow[Any]] = [flow]
        self.pauses: list[float] = []
        self.result: T | None = None
        self.ended = False
        self.emitted: list[Any] = []
        self.request = self._next(lambda: next(flow))

    def answer(self, outcome: Outcome | Stream | bytes) -> Request | None:
        """Answer the current request, or the read of a stream; return the next one."""
        self.request = self._next(lambda: self._send(outcome))
        return self.request

    def _next(self, step: Callable[[], Effect]) -> Any:
        try:
            effect = step()
            while not isinstance(effect, Request | Read):
                effect = self._send(self._perform(effect))
        except StopIteration as end:
            self.result, self.ended = end.value, True
            return None
        return effect if isinstance(effect, Request) else None

    def _send(self, result: Any) -> Effect:
        """Continue the innermost flow that runs one at a time; when it ends, the flow that asked for it."""
        while len(self._flows) > 1:
            try:
                return self._flows[-1].send(result)
            except StopIteration as end:
                self._flows.pop()
                result = end.value
        return self._flows[0].send(result)

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Sleep(seconds):
                self.pauses.append(seconds)
            case Emit(value):
                self.emitted.append(value)
            case Call(function):
                return function()
            case OneAtATime(flow):
                self._flows.append(flow)
        return None


class StoredUrl(ResumeState):
    """Stores one URL in memory."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url

    def load_url(self) -> str | None:
        return self.url

    def save_url(self, url: str) -> None:
        self.url = url

    def delete(self) -> None:
        self.url = None


def retry_budget(limit: float = 60.0) -> RetryBudget:
    return RetryBudget(limit, first=limit, jitter=lambda _low, high: high)


def upload(
    resume_state: ResumeState | None = None,
    data: bytes = BYTES,
    limit: float = 60.0,
    source: Source | None = None,
    **options: Any,
) -> Exchange[str | None]:
    """An upload of ``data``, unless there is a ``source``. Its result is the file's id."""
    source = source or open_source(io.BytesIO(data))
    plan = upload_plan(source, UploadSettings(**options))
    return Exchange(_file_id(Upload(SERVER, source, plan, resume_state or StoredUrl(), retry_budget(limit))))


def _file_id(sent: Upload) -> Flow[str | None]:
    return (yield from sent.run()).file_id


def client_upload(directory: Path, source: Any = None, **options: Any) -> Exchange[File]:
    """The client's whole call: the upload, the record, and the comparison of the digests."""
    calls = Calls("http://windlass.test", "wl_secret", 60.0, None, directory)
    return Exchange(calls.upload(source or io.BytesIO(BYTES), **options))


SERVER = Server("http://windlass.test", "wl_secret")


def body_of(request: Request) -> bytes:
    """Return what the client would send."""
    if isinstance(request.body, bytes):
        return request.body
    sent = b""
    while len(sent) < request.body.length:
        sent += request.body.read(len(sent))
        request.body.report_sent(len(sent))
    return sent


def send_part(request: Request, count: int) -> None:
    """The connection takes ``count`` bytes and no more."""
    assert not isinstance(request.body, bytes)
    request.body.report_sent(count)


def answer_for_ever(exchange: Exchange[Any], *outcomes: Outcome) -> None:
    for outcome in outcomes * 100:
        if exchange.request.method == "PATCH":
            send_part(exchange.request, 500)
        exchange.answer(outcome)


RECORD: dict[str, Any] = {
    "id": FILE,
    "original_filename": "report.pdf",
    "size": SIZE,
    "status": "READY",
    "mime_type": "application/pdf",
    "declared_mime_type": None,
    "checksum": hashlib.sha256(BYTES).hexdigest(),
    "checksum_algorithm": "sha256",
    "width": None,
    "height": None,
    "duration": None,
    "page_count": 3,
    "extra_attributes": {},
    "metadata": {"a": "b"},
    "profile": "default",
    "reference": None,
    "duplicate_of": None,
    "thumbnail_url": None,
    "renditions": [
        {
            "name": "thumbnail",
            "kind": "image",
            "mime_type": "image/webp",
            "size": 9,
            "width": 1,
            "height": 2,
            "url": "/u",
        }
    ],
    "checks": [{"name": "size", "state": "passed", "detail": "5 bytes"}],
    "created_at": "2026-01-02T03:04:05Z",
    "updated_at": "2026-01-02T03:04:05.678Z",
    "expires_at": None,
    "rejection": None,
    "links": {"self": f"/files/{FILE}/"},
}


def json_response(document: Any) -> Response:
    return Response(200, {"content-type": "application/json"}, json.dumps(document).encode())
